"""The commands for domains, accounts and their quotas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from emailsys.ops.operation import Run, Understand
from emailsys.ops.request_fields import Fields
from emailsys.ops.store_access import Doors, Hooks

_MOST_OCTETS: Final = 1 << 50


def _domain_add(fields: Fields) -> Run:
    name, postmaster = fields.domain("name"), fields.address("postmaster")
    return lambda doors, hooks: doors.accounts.add_domain(name, postmaster)


def _domain_list(fields: Fields) -> Run:
    async def run(doors: Doors, hooks: Hooks) -> list[dict[str, Any]]:
        return [
            {
                "name": row.name,
                "postmaster": str(row.postmaster) if row.postmaster else None,
                "users": row.users,
                **_usage_fields(row.octets, row.quota),
            }
            for row in await doors.accounts.list_domains()
        ]

    return run


def _domain_remove(fields: Fields) -> Run:
    name = fields.text("name")
    return lambda doors, hooks: doors.accounts.remove_domain(name)


def _user_add(fields: Fields) -> Run:
    address, credentials = fields.address("address"), fields.credentials("credentials")
    return lambda doors, hooks: doors.accounts.add_user(address, credentials)


def _user_list(fields: Fields) -> Run:
    domain = fields.text_or_none("domain")

    async def run(doors: Doors, hooks: Hooks) -> list[dict[str, Any]]:
        return [
            {
                "address": str(row.address),
                "enabled": row.enabled,
                "messages": row.messages,
                **_usage_fields(row.octets, row.quota),
            }
            for row in await doors.accounts.list_users(domain)
        ]

    return run


def _usage_fields(octets: int, quota: int) -> dict[str, Any]:
    """How full a maildrop or domain is: `used` is the share of its quota, 1 for all; null without one."""
    return {"octets": octets, "quota": quota or None, "used": round(octets / quota, 4) if quota else None}


def _user_remove(fields: Fields) -> Run:
    address, purge = fields.address("address"), fields.flag("purge")
    return lambda doors, hooks: doors.accounts.remove_user(address, purge)


def _user_password(fields: Fields) -> Run:
    address, credentials = fields.address("address"), fields.credentials("credentials")
    return lambda doors, hooks: doors.accounts.set_credentials(address, credentials)


def _user_enabled(fields: Fields) -> Run:
    address, enabled = fields.address("address"), fields.flag("enabled")
    return lambda doors, hooks: doors.accounts.set_enabled(address, enabled)


def _user_quota(fields: Fields) -> Run:
    address, octets = fields.address("address"), fields.count_or_none("octets", _MOST_OCTETS)
    return lambda doors, hooks: doors.quotas.set_quota(address, octets)


def _domain_quota(fields: Fields) -> Run:
    name, octets = fields.text("name"), fields.count_or_none("octets", _MOST_OCTETS)
    return lambda doors, hooks: doors.quotas.set_quota(name, octets)


ACCOUNT_COMMANDS: Final[Mapping[str, Understand]] = {
    "domain.add": _domain_add,
    "domain.list": _domain_list,
    "domain.remove": _domain_remove,
    "domain.quota": _domain_quota,
    "user.add": _user_add,
    "user.list": _user_list,
    "user.remove": _user_remove,
    "user.password": _user_password,
    "user.enabled": _user_enabled,
    "user.quota": _user_quota,
}

"""Handlers of the commands for domains, accounts and quotas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from emailsys.control import requests
from emailsys.control.long_answers import in_slices
from emailsys.control.store_access import Handlers, Hooks, StoreAccess
from emailsys.interfaces.operators import DomainRow, UserRow


async def _add_domain(request: requests.DomainAdd, store: StoreAccess, hooks: Hooks) -> None:
    await store.accounts.add_domain(request.name, request.postmaster)


async def _add_domains(request: requests.DomainAddMany, store: StoreAccess, hooks: Hooks) -> dict[str, Any]:
    return {"refused": _numbered(await store.accounts.add_domains(request.rows))}


async def _list_domains(request: requests.DomainList, store: StoreAccess, hooks: Hooks) -> list[dict[str, Any]]:
    return await in_slices(await store.accounts.list_domains(), _domain_fields, hooks.turn)


def _domain_fields(row: DomainRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "postmaster": str(row.postmaster) if row.postmaster else None,
        "users": row.users,
        **_usage_fields(row.octets, row.quota),
    }


async def _remove_domain(request: requests.DomainRemove, store: StoreAccess, hooks: Hooks) -> None:
    await store.accounts.remove_domain(request.name)


async def _add_user(request: requests.UserAdd, store: StoreAccess, hooks: Hooks) -> None:
    await store.accounts.add_user(request.address, request.credentials)


async def _add_users(request: requests.UserAddMany, store: StoreAccess, hooks: Hooks) -> dict[str, Any]:
    return {"refused": _numbered(await store.accounts.add_users(request.rows))}


def _numbered(refusals: Sequence[str | None]) -> list[dict[str, Any]]:
    """Return the rows that were refused; `row` counts from 0."""
    return [{"row": number, "problem": why} for number, why in enumerate(refusals) if why is not None]


async def _list_users(request: requests.UserList, store: StoreAccess, hooks: Hooks) -> list[dict[str, Any]]:
    return await in_slices(await store.accounts.list_users(request.domain), _user_fields, hooks.turn)


async def _get_user(request: requests.UserGet, store: StoreAccess, hooks: Hooks) -> dict[str, Any] | None:
    row = await store.accounts.find_user(request.address)
    return None if row is None else _user_fields(row)


def _user_fields(row: UserRow) -> dict[str, Any]:
    return {
        "address": str(row.address),
        "enabled": row.enabled,
        "messages": row.messages,
        **_usage_fields(row.octets, row.quota),
        "forward": [] if row.forward is None else list(map(str, row.forward.targets)),
        "keeps_copy": row.forward is None or row.forward.keeps_copy,
    }


def _usage_fields(octets: int, quota: int) -> dict[str, Any]:
    """Return the usage of a maildrop or domain; `used` is its share of the quota (1 is full), null without a quota."""
    return {"octets": octets, "quota": quota or None, "used": round(octets / quota, 4) if quota else None}


async def _remove_user(request: requests.UserRemove, store: StoreAccess, hooks: Hooks) -> None:
    await store.accounts.remove_user(request.address, request.purge)


async def _set_password(request: requests.UserPassword, store: StoreAccess, hooks: Hooks) -> None:
    await store.accounts.set_credentials(request.address, request.credentials)


async def _set_enabled(request: requests.UserEnabled, store: StoreAccess, hooks: Hooks) -> None:
    await store.accounts.set_enabled(request.address, request.enabled)


async def _set_forward(request: requests.UserForward, store: StoreAccess, hooks: Hooks) -> None:
    await store.accounts.set_forward(request.address, request.targets or (), request.keeps_copy)


async def _set_user_quota(request: requests.UserQuota, store: StoreAccess, hooks: Hooks) -> None:
    await store.quotas.set_quota(request.address, request.octets)


async def _set_domain_quota(request: requests.DomainQuota, store: StoreAccess, hooks: Hooks) -> None:
    await store.quotas.set_quota(request.name, request.octets)


async def _may_send_as(request: requests.UserMaySendAs, store: StoreAccess, hooks: Hooks) -> dict[str, Any]:
    delegated = store.delegated_senders
    if not request.senders:
        rows = await delegated.senders(request.address)
    elif request.remove:
        rows = await delegated.forbid(request.address, request.senders)
    else:
        rows = await delegated.allow(request.address, request.senders)
    return {
        "address": str(request.address),
        "may_send_as": [str(row) if row.local else f"@{row.domain}" for row in rows if row.domain],
        "any": any(not row.domain for row in rows),
    }


ACCOUNT_HANDLERS: Final[Handlers] = {
    requests.DomainAdd: _add_domain,
    requests.DomainAddMany: _add_domains,
    requests.DomainList: _list_domains,
    requests.DomainRemove: _remove_domain,
    requests.DomainQuota: _set_domain_quota,
    requests.UserAdd: _add_user,
    requests.UserAddMany: _add_users,
    requests.UserGet: _get_user,
    requests.UserList: _list_users,
    requests.UserRemove: _remove_user,
    requests.UserPassword: _set_password,
    requests.UserEnabled: _set_enabled,
    requests.UserForward: _set_forward,
    requests.UserQuota: _set_user_quota,
    requests.UserMaySendAs: _may_send_as,
}

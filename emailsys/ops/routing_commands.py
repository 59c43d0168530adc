"""The commands for aliases and routes."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, Final

from emailsys.mail.address import is_domain, is_mail_domain
from emailsys.mail.next_hop import HostLogin, HostRoute, NextHop, TLSPolicy
from emailsys.mail.trace_fields import address_literal
from emailsys.operations import AdminError, AliasRow
from emailsys.ops.operation import Run, Understand
from emailsys.ops.request_fields import Fields, MalformedRequest
from emailsys.ops.store_access import Doors, Hooks

_MOST_PORT: Final = 65535


def _alias_set(fields: Fields) -> Run:
    name, targets = fields.name_or_catch_all("name"), fields.addresses("targets")

    async def run(doors: Doors, hooks: Hooks) -> dict[str, Any]:
        return _alias_fields(await doors.aliases.set_alias(name, targets))

    return run


def _alias_add(fields: Fields) -> Run:
    name, targets = fields.name_or_catch_all("name"), fields.addresses("targets")

    async def run(doors: Doors, hooks: Hooks) -> dict[str, Any]:
        return _alias_fields(await doors.aliases.add_targets(name, targets))

    return run


def _alias_remove(fields: Fields) -> Run:
    name, targets = fields.name_or_catch_all("name"), fields.addresses_or_none("targets")

    async def run(doors: Doors, hooks: Hooks) -> dict[str, Any]:
        if targets is not None:
            return _alias_fields(await doors.aliases.remove_targets(name, targets))
        await doors.aliases.remove_alias(name)
        return _alias_fields(AliasRow(name, ()))

    return run


def _alias_list(fields: Fields) -> Run:
    domain = fields.text_or_none("domain")

    async def run(doors: Doors, hooks: Hooks) -> list[dict[str, Any]]:
        return [_alias_fields(row) for row in await doors.aliases.list_aliases(domain)]

    return run


def _alias_fields(row: AliasRow) -> dict[str, Any]:
    return {
        "name": str(row.name) if row.name.local else f"@{row.name.domain}",
        "targets": [str(target) for target in row.targets],
    }


def _route_set(fields: Fields) -> Run:
    recipient_domain, sender_domain = fields.word("recipient_domain"), fields.word("sender_domain")
    host, port = fields.text("host"), fields.count("port", _MOST_PORT)
    tls, implicit_tls = fields.choice("tls", TLSPolicy), fields.flag("implicit_tls")
    certificate_name = fields.word("certificate_name")
    username, password = fields.word("username"), fields.secret("password")
    host = _host(host)
    for domain in filter(None, (recipient_domain, sender_domain)):
        if not is_mail_domain(domain):
            raise MalformedRequest(f"domain: found {domain!r}; allowed: the name of a domain")
    if not port:
        raise MalformedRequest(f"port: found 0; allowed: 1 to {_MOST_PORT}")
    if implicit_tls and tls is TLSPolicy.NONE:
        raise MalformedRequest(f"tls: found {tls.value!r}; allowed: another policy where implicit_tls is true")
    login = HostLogin(username, password) if username else None
    hop = NextHop(host, port, False, tls, implicit_tls, login, certificate_name)
    route = HostRoute(hop, recipient_domain, sender_domain)

    async def run(doors: Doors, hooks: Hooks) -> dict[str, Any]:
        await doors.routes.set_route(route)
        return _route_fields(route)

    return run


def _host(host: str) -> str:
    """The name of a host, or the address literal of an IP address."""
    try:
        return address_literal(str(ip_address(host.removeprefix("[").removesuffix("]").removeprefix("IPv6:"))))
    except ValueError:
        if is_domain(host):
            return host
        raise MalformedRequest(f"host: found {host!r}; allowed: the name of a host or an IP address") from None


def _route_remove(fields: Fields) -> Run:
    recipient_domain, sender_domain = fields.word("recipient_domain"), fields.word("sender_domain")
    return lambda doors, hooks: doors.routes.remove_route(recipient_domain, sender_domain)


def _route_list(fields: Fields) -> Run:
    async def run(doors: Doors, hooks: Hooks) -> list[dict[str, Any]]:
        return [_route_fields(route) for route in await doors.routes.routes()]

    return run


def _route_fields(route: HostRoute) -> dict[str, Any]:
    hop = route.next_hop
    return {
        "to": route.recipient_domain or None,
        "from": route.sender_domain or None,
        "host": hop.name,
        "port": hop.port,
        "tls": hop.tls.value,
        "implicit_tls": hop.implicit_tls,
        "certificate_name": hop.certificate_name or None,
        # The password is never told.
        "username": None if hop.login is None else hop.login.username,
    }


def _route_explain(fields: Fields) -> Run:
    address, sender = fields.address("address"), fields.address_or_none("sender")

    async def run(doors: Doors, hooks: Hooks) -> Mapping[str, Any]:
        if hooks.explain is None:
            raise AdminError("routing is not to be asked here")
        return await hooks.explain(address, sender)

    return run


ROUTING_COMMANDS: Final[Mapping[str, Understand]] = {
    "alias.set": _alias_set,
    "alias.add": _alias_add,
    "alias.remove": _alias_remove,
    "alias.list": _alias_list,
    "route.set": _route_set,
    "route.remove": _route_remove,
    "route.list": _route_list,
    "route.explain": _route_explain,
}

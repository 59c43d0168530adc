"""Handlers of the commands for aliases and routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from emailsys.control import requests
from emailsys.control.long_answers import in_slices
from emailsys.control.request_values import MalformedRequest
from emailsys.control.store_access import Handlers, Hooks, StoreAccess
from emailsys.interfaces.operators import AdminError, AliasRow
from emailsys.mail.address import Address
from emailsys.mail.next_hop import (
    DESTINATIONS,
    HostLogin,
    HostRoute,
    NextHop,
    TLSPolicy,
    default_port,
    read_destination,
)
from emailsys.mail.pipe import is_pipe
from emailsys.mail.webhook import is_webhook


async def _set_alias(request: requests.AliasSet, store: StoreAccess, hooks: Hooks) -> dict[str, Any]:
    return alias_fields(await store.aliases.set_alias(request.name, request.targets))


async def _add_targets(request: requests.AliasAdd, store: StoreAccess, hooks: Hooks) -> dict[str, Any]:
    return alias_fields(await store.aliases.add_targets(request.name, request.targets))


async def _remove_targets(request: requests.AliasRemove, store: StoreAccess, hooks: Hooks) -> dict[str, Any]:
    if request.targets is not None:
        return alias_fields(await store.aliases.remove_targets(request.name, request.targets))
    await store.aliases.remove_alias(request.name)
    return alias_fields(AliasRow(request.name, ()))


async def _list_aliases(request: requests.AliasList, store: StoreAccess, hooks: Hooks) -> list[dict[str, Any]]:
    return await in_slices(await store.aliases.list_aliases(request.domain), alias_fields, hooks.turn)


def alias_fields(row: AliasRow) -> dict[str, Any]:
    """Return the fields of an alias in an answer."""
    return {"name": alias_name(row.name), "targets": [str(target) for target in row.targets]}


def alias_name(name: Address) -> str:
    """Return the name of an alias as answers carry it: @domain for the catch-all."""
    return str(name) if name.local else f"@{name.domain}"


async def _set_route(request: requests.RouteSet, store: StoreAccess, hooks: Hooks) -> dict[str, Any]:
    if request.implicit_tls and request.tls is TLSPolicy.NONE:
        raise MalformedRequest(f"tls: found {request.tls.value!r}; allowed: another policy if implicit_tls is true")
    for what, is_one in (("a webhook", is_webhook), ("a command", is_pipe)):
        if is_one(request.host):
            raise MalformedRequest(f"host: found {request.host!r}; {what} is set in the configuration: routing.routes")
    destination = read_destination(request.host)
    if destination is None:
        raise MalformedRequest(f"host: found {request.host!r}; allowed: {DESTINATIONS}")
    login = HostLogin(request.username, request.password) if request.username else None
    hop = NextHop(
        destination,
        request.port or default_port(destination),
        tls=request.tls,
        implicit_tls=request.implicit_tls,
        login=login,
        certificate_name=request.certificate_name,
        certificate_fingerprint=request.certificate_fingerprint,
    ).at_destination()
    if hop.is_socket and (hop.implicit_tls or hop.insists_on_tls):
        raise MalformedRequest(f"tls: found {request.tls.value!r}; allowed: neither TLS nor a login at a Unix socket")
    route = HostRoute(hop, request.recipient_domain, request.sender_domain)
    await store.routes.set_route(route)
    tell_queue(hooks)
    return _route_fields(route)


async def _remove_route(request: requests.RouteRemove, store: StoreAccess, hooks: Hooks) -> None:
    await store.routes.remove_route(request.recipient_domain, request.sender_domain)
    tell_queue(hooks)


def tell_queue(hooks: Hooks) -> None:
    """End the pauses of next hops, because an operator has changed a route."""
    if hooks.queue_changed is not None:
        hooks.queue_changed()


async def _list_routes(request: requests.RouteList, store: StoreAccess, hooks: Hooks) -> list[dict[str, Any]]:
    return [_route_fields(route) for route in await store.routes.routes()]


def _route_fields(route: HostRoute) -> dict[str, Any]:
    hop = route.next_hop
    return {
        "to": route.recipient_domain or None,
        "from": route.sender_domain or None,
        "host": hop.destination,
        "port": hop.port,
        "tls": hop.tls.value,
        "implicit_tls": hop.implicit_tls,
        "certificate_name": hop.certificate_name or None,
        "certificate_fingerprint": hop.certificate_fingerprint or None,
        # An answer never contains the password.
        "username": None if hop.login is None else hop.login.username,
    }


async def _explain_route(request: requests.RouteExplain, store: StoreAccess, hooks: Hooks) -> Mapping[str, Any]:
    if hooks.explain is None:
        raise AdminError("the routing policy is not available here")
    return await hooks.explain(request.address, request.sender)


ROUTING_HANDLERS: Final[Handlers] = {
    requests.AliasSet: _set_alias,
    requests.AliasAdd: _add_targets,
    requests.AliasRemove: _remove_targets,
    requests.AliasList: _list_aliases,
    requests.RouteSet: _set_route,
    requests.RouteRemove: _remove_route,
    requests.RouteList: _list_routes,
    requests.RouteExplain: _explain_route,
}

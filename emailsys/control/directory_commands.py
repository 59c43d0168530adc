"""Handlers of the commands for the directory as a whole."""

from __future__ import annotations

import secrets
from typing import Any, Final

from emailsys.control.account_commands import ACCOUNT_HANDLERS
from emailsys.control.directory_requests import CHANGES, DirectoryChange, DirectoryRead, password_digest
from emailsys.control.long_answers import in_slices
from emailsys.control.request_reading import read_request
from emailsys.control.request_values import MalformedRequest
from emailsys.control.requests import RouteRemove, RouteSet, UserRemove
from emailsys.control.routing_commands import ROUTING_HANDLERS, alias_fields, alias_name, tell_queue
from emailsys.control.store_access import Handlers, Hooks, StoreAccess
from emailsys.interfaces.operators import AdminError
from emailsys.interfaces.operators.declaration import AccountState, DirectoryAccess
from emailsys.mail.address import Address
from emailsys.mail.next_hop import HostRoute

_CHANGES: Final[Handlers] = {**ACCOUNT_HANDLERS, **ROUTING_HANDLERS}


async def _read(request: DirectoryRead, store: StoreAccess, hooks: Hooks) -> dict[str, Any]:
    state = await store.declaration.read()
    return {
        "domains": [
            {"name": row.name, "postmaster": str(row.postmaster) if row.postmaster else None, "quota": row.quota}
            for row in state.domains
        ],
        "accounts": await in_slices(state.accounts, _account_fields, hooks.turn),
        "aliases": await in_slices(state.aliases, alias_fields, hooks.turn),
        "routes": list(map(_route_fields, state.routes)),
    }


def _account_fields(row: AccountState) -> dict[str, Any]:
    forward = row.forward
    return {
        "address": str(row.address),
        "credentials": list(map(list, row.credentials)),
        "enabled": row.enabled,
        "quota": row.quota,
        "forward": [] if forward is None else list(map(str, forward.targets)),
        "keeps_copy": forward is None or forward.keeps_copy,
        "may_send_as": list(map(_sender_name, row.may_send_as)),
    }


def _sender_name(sender: Address) -> str:
    return alias_name(sender) if sender.domain else "*"


def _route_fields(route: HostRoute) -> dict[str, Any]:
    hop, login = route.next_hop, route.next_hop.login
    salt = secrets.token_hex(16)
    return {
        "host": hop.destination,
        "port": hop.port,
        "recipient_domain": route.recipient_domain,
        "sender_domain": route.sender_domain,
        "tls": hop.tls.value,
        "implicit_tls": hop.implicit_tls,
        "certificate_name": hop.certificate_name,
        "certificate_fingerprint": hop.certificate_fingerprint,
        "username": "" if login is None else login.username,
        # An answer never contains the password. Its digest tells whether a declared one is the same.
        "password_digest": None if login is None else [salt, password_digest(salt, login.password)],
    }


async def _change(request: DirectoryChange, store: StoreAccess, hooks: Hooks) -> dict[str, Any]:
    known = [read_request(each) for each in request.changes]
    for each in known:
        if not isinstance(each, CHANGES) or (isinstance(each, UserRemove) and each.purge):
            raise MalformedRequest(
                f"changes: found {each.command!r}; allowed: changes of the directory, without a purge"
            )

    async def carry_out(access: DirectoryAccess) -> None:
        transaction: Any = access
        for number, each in enumerate(known, 1):
            try:
                # The hooks of the daemon belong to the reactor's thread.
                await _CHANGES[type(each)](each, transaction, Hooks())
            except AdminError as error:
                raise AdminError(f"{error} (step {number}, {each.command}; nothing was changed)") from None

    await store.declaration.change(carry_out)
    if any(isinstance(each, RouteSet | RouteRemove) for each in known):
        tell_queue(hooks)
    return {"changed": len(known)}


DIRECTORY_HANDLERS: Final[Handlers] = {DirectoryRead: _read, DirectoryChange: _change}

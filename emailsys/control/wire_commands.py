"""Handlers of the commands for recorded connections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from emailsys.control.request_values import MalformedRequest
from emailsys.control.store_access import Handlers, Hooks, StoreAccess
from emailsys.control.wire_requests import WireGet, WireList
from emailsys.interfaces.operators.wire import IWireRecords


def _records(hooks: Hooks) -> IWireRecords:
    if hooks.wire is None:
        raise MalformedRequest("command: recorded connections are in the memory of a running daemon, and none runs")
    return hooks.wire


async def _list(request: WireList, store: StoreAccess, hooks: Hooks) -> Sequence[Mapping[str, Any]]:
    return _records(hooks).conversations(request.limit)


async def _get(request: WireGet, store: StoreAccess, hooks: Hooks) -> Mapping[str, Any] | None:
    return _records(hooks).conversation(request.session)


WIRE_HANDLERS: Final[Handlers] = {WireList: _list, WireGet: _get}

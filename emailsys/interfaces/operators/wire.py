"""Recorded connections, as operators see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zope.interface import Interface

#: Receives one line of JSON, without its line end.
Hear = Callable[[bytes], None]


class IWireRecords(Interface):
    """The recorded connections of a running daemon. All values are JSON."""

    def conversations(limit: int) -> Sequence[Mapping[str, Any]]:
        """Return the newest conversations without their events, the oldest of them first."""

    def conversation(session: str) -> Mapping[str, Any] | None:
        """Return one conversation with its events."""

    def watch(hear: Hear, past: int) -> Callable[[], None]:
        """Record connections that begin from now on, and pass their events on as they happen.

        @param hear: gets first the newest `past` conversations, and all that are open without their events; then
            each event.
        @return: ends the watch; a second call does nothing.
        """

"""Recorded connections, as operators see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from zope.interface import Interface

from emailsys.interfaces.operators.history import EventKind

#: Receives one line of JSON, without its line end.
Hear = Callable[[bytes], None]


@dataclass(frozen=True, slots=True)
class TracedStep:
    """One step in the history of a message, as far as it helps to find the conversation in which it happened.

    @ivar at: seconds since 1970.
    @ivar session: the session that submitted the message, "" for a message of this system.
    """

    kind: EventKind
    at: float
    queue_id: str
    session: str = ""
    remote: str = ""
    reply: str = ""
    uid: str = ""

    @classmethod
    def from_json(cls, event: Mapping[str, Any], life: Mapping[str, Any]) -> TracedStep:
        """Read an event of a message as the command `trace` answers both."""
        return cls(
            EventKind(event["kind"]),
            datetime.fromisoformat(event["at"]).timestamp(),
            life["queue_id"],
            (life["client"] or {}).get("session") or "",
            event["remote"] or "",
            event["reply"] or "",
            event.get("uid") or "",
        )


class IWireRecords(Interface):
    """The recorded connections of a running daemon. All values are JSON."""

    def conversations(limit: int) -> Sequence[Mapping[str, Any]]:
        """Return the newest conversations without their events, the oldest of them first."""

    def conversation(session: str) -> Mapping[str, Any] | None:
        """Return one conversation with its events."""

    def sessions_of(steps: Sequence[TracedStep]) -> Sequence[str]:
        """Return for each step the id of the conversation in which it happened, "" if that is not recorded."""

    def watch(hear: Hear, past: int) -> Callable[[], None]:
        """Record connections that begin from now on, and pass their events on as they happen.

        @param hear: gets first the newest `past` conversations, and all that are open without their events; then
            each event.
        @return: ends the watch; a second call does nothing.
        """

"""Operations for conversations with other hosts, as they are recorded on the wire."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.interfaces import IReactorTime

from emailsys.interfaces.operators import Scope
from emailsys.interfaces.operators.wire import IWireRecords
from emailsys.web.api.live import event
from emailsys.web.api.operation import EVENTS_TYPE, Call, Operation, Parameter, Result, Success, in_path
from emailsys.web.api.problem import Problem, not_found
from emailsys.web.api.schema import anything, choice, count, flag, record, several, text
from emailsys.web.api.wire_watchers import WireStream, WireWatchers
from emailsys.wiretap.conversation import Direction, Kind

# Watchers at the same time.
_MAX_WATCHERS: Final = 50
_MAX_LISTED: Final = 1000
# Pieces that wait before another conversation of the past is added, and seconds until the next look.
_MAX_AHEAD: Final = 20
_PAST_SECONDS: Final = 0.1

_FIELDS: Final = {
    "id": text("The id of the session, as in the log."),
    "protocol": text("The protocol: smtp, submission or pop3."),
    "role": text("What this host is: server or client."),
    "opened": {"type": "number", "description": "Seconds since 1970."},
    "peer": text("The other host and its port."),
    "peer_name": text("Its name, if it is known."),
    "local": text("The address and port here."),
    "closed": flag("Whether it is over."),
    "dropped": count("Events that were dropped for want of room."),
}
_EVENT: Final = record(
    {
        "at": {"type": "number", "description": "Seconds since the conversation began."},
        "kind": choice("What it tells.", *(kind.value for kind in Kind)),
        "direction": choice("Which way octets went, as this host sees it.", *(way.value for way in Direction)),
        "text": text("A line, without control characters and perhaps cut.", 100_000),
        "octets": count("The true size on the wire."),
        "details": anything("More about it, by name."),
    },
    optional=("direction", "text", "octets", "details"),
)
_SUMMARY: Final = record({**_FIELDS, "events": several(_EVENT, "Empty in a list.")})


class Wire:
    """Conversations."""

    def __init__(self, records: IWireRecords, clock: IReactorTime) -> None:
        self._records = records
        self._clock = clock
        self._watchers = WireWatchers(records, clock)

    def close(self) -> None:
        """End all streams, at the end of the daemon."""
        self._watchers.close()

    async def list_conversations(self, call: Call) -> Result:
        """Answer GET /wire."""
        found: list[Any] = list(self._records.conversations(call.values["limit"]))
        return Result({"items": found[::-1], "next": None})

    async def get_conversation(self, call: Call) -> Result:
        """Answer GET /wire/{session}."""
        found = self._records.conversation(call.values["session"])
        if found is None:
            raise not_found(
                "There is no such conversation.", "The oldest are dropped. GET /wire lists those that are kept."
            )
        return Result(dict(found))

    async def watch(self, call: Call) -> Result:
        """Answer GET /wire/events."""
        return Result(self.stream(call.values["past"]), content_type=EVENTS_TYPE)

    def stream(self, past: int) -> WireStream:
        """Begin to watch.

        @raise Problem: too many clients watch.
        """
        if len(self._watchers) >= _MAX_WATCHERS:
            raise Problem(
                429, "too-many-watchers", "Too many clients watch", help="Close one.", headers=[("Retry-After", "30")]
            )
        stream = self._watchers.join()
        if past:
            self._send_past(stream, [str(one["id"]) for one in self._records.conversations(past)])
        return stream

    def _send_past(self, stream: WireStream, sessions: list[str]) -> None:
        """Send one conversation of the past, and the others in later turns of the reactor, as they are read."""
        if stream.is_closed or not sessions:
            return
        if stream.waiting > _MAX_AHEAD or stream.is_behind:
            self._clock.callLater(_PAST_SECONDS, self._send_past, stream, sessions)
            return
        found = self._records.conversation(sessions[0])
        if found is not None:
            # It has the events that are gathered. They must not come after it.
            self._watchers.catch_up(stream)
            stream.put(event("conversation", {"conversation": found}))
        self._clock.callLater(0, self._send_past, stream, sessions[1:])


def wire_operations(wire: Wire) -> tuple[Operation, ...]:
    """Return the operations."""
    read = Scope.WIRE_READ
    note = "Passwords and tokens are never recorded; bodies only if `wiretap.keep_bodies` is set."
    return (
        Operation(
            "listConversations",
            "GET",
            "/wire",
            "List conversations.",
            read,
            wire.list_conversations,
            Success("The newest first.", record({"items": several(_SUMMARY), "next": {"type": "null"}})),
            "Wire",
            note,
            (Parameter("limit", count("How many.", 1, _MAX_LISTED, default=100)),),
        ),
        Operation(
            "watchConversations",
            "GET",
            "/wire/events",
            "Watch conversations as they happen.",
            read,
            wire.watch,
            Success(
                "Server-Sent Events `conversation`, `event` and `lost`, each with a JSON object.", None, EVENTS_TYPE
            ),
            "Wire",
            "Recording is on while somebody watches. Conversations of the past come one by one, between new events: "
            "`conversation` replaces what was known of that conversation. Events come ten times a second. A client "
            "that reads slowly loses events, and `lost` says how many. A client that reads nothing is disconnected. "
            + note,
            (Parameter("past", count("How many of the newest conversations to begin with.", 0, 100, default=0)),),
            problems={429: "Too many clients watch."},
        ),
        Operation(
            "getConversation",
            "GET",
            "/wire/{session}",
            "Show a conversation.",
            read,
            wire.get_conversation,
            Success("The conversation.", _SUMMARY),
            "Wire",
            note,
            (in_path("session", text("Its id.", 200, 1)),),
            problems={404: "There is no such conversation."},
        ),
    )

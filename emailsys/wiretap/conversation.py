"""A recorded conversation: a list of timed events between this host and one peer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

#: What an event or a conversation consists of in JSON.
Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None


class Role(StrEnum):
    """Which side of the connection this host is."""

    SERVER = "server"
    CLIENT = "client"


class Direction(StrEnum):
    """Which way octets went, as this host sees it."""

    IN = "in"
    OUT = "out"


class Kind(StrEnum):
    """The kinds of event. Events with octets of the wire have a direction, all others have none."""

    OPENED = "opened"
    #: A command or a line of a dialogue, without its CRLF.
    COMMAND = "command"
    #: One line of a reply, without its CRLF.
    REPLY = "reply"
    #: Part of a message. Its text is kept only if the operator says so.
    BODY = "body"
    #: One message of the TLS handshake, or an alert.
    TLS = "tls"
    #: TLS is established: version, cipher suite, key exchange, certificates.
    SECURED = "secured"
    #: A login succeeded or failed.
    LOGIN = "login"
    #: The session entered another state: authorization, transaction, update.
    STATE = "state"
    #: A decision about the peer, a sender, a recipient or a message.
    VERDICT = "verdict"
    #: A message of a maildrop was sent or marked as deleted; the details name it.
    MESSAGE = "message"
    #: A message or a deletion is on disk.
    COMMIT = "commit"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a conversation.

    `at` is in seconds since the conversation began, by the monotonic clock. `text` has no control characters and may
    be cut; `octets` is the true size on the wire, CRLF included, 0 for an event without octets.
    `details["tampered"]` says what an attacker of the lab did to the line, `details["was"]` what the line was before.
    """

    at: float
    kind: Kind
    text: str = ""
    direction: Direction | None = None
    octets: int = 0
    details: Mapping[str, Json] = field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        """Returns the event as JSON; what is empty is left out."""
        found: dict[str, Json] = {"at": round(self.at, 6), "kind": str(self.kind)}
        if self.direction is not None:
            found["direction"] = str(self.direction)
        if self.text:
            found["text"] = self.text
        if self.octets:
            found["octets"] = self.octets
        if self.details:
            found["details"] = dict(self.details)
        return found

    @classmethod
    def from_json(cls, found: Mapping[str, Json]) -> Event:
        """Reads what `to_json` wrote.

        @raise ValueError: it is not an event.
        """
        direction, details = found.get("direction"), found.get("details", {})
        if not isinstance(details, Mapping):
            raise ValueError(f"details of an event are an object, not {details!r}")
        return cls(
            at=_seconds(found.get("at")),
            kind=Kind(str(found.get("kind"))),
            text=str(found.get("text", "")),
            direction=None if direction is None else Direction(str(direction)),
            octets=_count(found.get("octets", 0)),
            details=details,
        )


@dataclass(frozen=True, slots=True)
class Conversation:
    """The record of one connection, as far as it was recorded.

    `id` is the session's name in the mail log. `opened` is in seconds since 1970. `dropped` counts events that did not
    fit into the limit of a conversation. `peer` and `local` are `HOST:PORT`, `peer_name` is a host name where one is
    known.
    """

    id: str
    protocol: str
    role: Role
    opened: float
    peer: str
    local: str = ""
    peer_name: str = ""
    closed: bool = False
    dropped: int = 0
    events: tuple[Event, ...] = ()

    @property
    def seconds(self) -> float:
        """From the beginning to the last event."""
        return self.events[-1].at if self.events else 0.0

    def octets(self, direction: Direction) -> int:
        """Returns how many octets went that way in the recorded events."""
        return sum(event.octets for event in self.events if event.direction is direction)

    def to_json(self) -> dict[str, Json]:
        """Returns the conversation as JSON."""
        return {
            "id": self.id,
            "protocol": self.protocol,
            "role": str(self.role),
            "opened": round(self.opened, 6),
            "peer": self.peer,
            "local": self.local,
            "peer_name": self.peer_name,
            "closed": self.closed,
            "dropped": self.dropped,
            "events": [event.to_json() for event in self.events],
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Json]) -> Conversation:
        """Reads what `to_json` wrote.

        @raise ValueError: it is not a conversation.
        """
        events = found.get("events", ())
        if isinstance(events, str) or not isinstance(events, Sequence):
            raise ValueError("events of a conversation are a list")
        return cls(
            id=str(found.get("id", "")),
            protocol=str(found.get("protocol", "")),
            role=Role(str(found.get("role"))),
            opened=_seconds(found.get("opened")),
            peer=str(found.get("peer", "")),
            local=str(found.get("local", "")),
            peer_name=str(found.get("peer_name", "")),
            closed=found.get("closed") is True,
            dropped=_count(found.get("dropped", 0)),
            events=tuple(Event.from_json(_object(event)) for event in events),
        )


def _object(found: Json) -> Mapping[str, Json]:
    if not isinstance(found, Mapping):
        raise ValueError(f"an event is an object, not {found!r}")
    return found


def _seconds(found: Json) -> float:
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise ValueError(f"a time is a number of seconds, not {found!r}")
    return float(found)


def _count(found: Json) -> int:
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise ValueError(f"a count is a whole number, not {found!r}")
    return found

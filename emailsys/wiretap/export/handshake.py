"""A TLS handshake as a page shows it: flights, records, messages within them, and what was agreed on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from emailsys.wiretap import explain
from emailsys.wiretap.conversation import Conversation, Direction, Event, Json, Kind, Role
from emailsys.wiretap.export.wording import said

_MOST_MESSAGES: Final = 100
_MOST_CERTIFICATES: Final = 10
# What is shown of a list, such as the suites that a client offers.
_MOST_ITEMS: Final = 6
# The details of SECURED in the order of the page, with their names.
_AGREED: Final = {
    "version": "version",
    "cipher": "cipher suite",
    "group": "key exchange",
    "signature": "signature",
    "sni": "name asked for (SNI)",
    "alpn": "protocol inside (ALPN)",
    "resumed": "session resumed",
    "forward_secrecy": "forward secrecy",
    "post_quantum": "safe from quantum computers",
}
_OF_CERTIFICATES: Final = {
    "subject": "subject",
    "names": "names",
    "issuer": "issuer",
    "not_before": "valid from",
    "not_after": "valid until",
    "key": "key",
    "signature": "signature",
    "sha256": "SHA-256",
    "octets": "octets",
    "error": "error",
}


@dataclass(frozen=True, slots=True)
class Message:
    """A handshake message in a record. `octets` is without its share of the record."""

    name: str
    octets: int
    encrypted: bool
    explanation: explain.Explanation
    facts: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Record:
    """A record on the wire, or several that carry one message. `octets` has headers and tags in it."""

    at: float
    from_client: bool
    octets: int = 0
    messages: list[Message] = field(default_factory=list)

    @property
    def encrypted(self) -> bool:
        """Whether only the two sides can read it."""
        return any(message.encrypted for message in self.messages)

    @property
    def around(self) -> int:
        """The octets of the record that are not of a message: headers, padding, authentication tags."""
        return max(0, self.octets - sum(message.octets for message in self.messages))


@dataclass(frozen=True, slots=True)
class Handshake:
    """All of it. `left` is how many messages are not shown."""

    records: tuple[Record, ...]
    agreed: tuple[tuple[str, str], ...]
    certificates: tuple[tuple[tuple[str, str], ...], ...]
    summary: str
    left: int
    largest: int


def handshake(conversation: Conversation) -> Handshake | None:
    """Returns the handshake of a conversation, None if it has none."""
    messages = [event for event in conversation.events if event.kind is Kind.TLS]
    secured = next((event for event in conversation.events if event.kind is Kind.SECURED), None)
    if not messages and secured is None:
        return None
    records = tuple(_records(messages[:_MOST_MESSAGES], conversation.role))
    details = {} if secured is None else secured.details
    certificates = details.get("certificates", ())
    chain = certificates if isinstance(certificates, Sequence) and not isinstance(certificates, str) else ()
    return Handshake(
        records,
        tuple(_facts(details, _AGREED)),
        tuple(tuple(_facts(one, _OF_CERTIFICATES)) for one in chain[:_MOST_CERTIFICATES] if isinstance(one, Mapping)),
        "" if secured is None else said(secured.text),
        max(0, len(messages) - _MOST_MESSAGES),
        max((record.octets for record in records), default=1) or 1,
    )


def _records(events: Iterable[Event], role: Role) -> Iterable[Record]:
    """Groups messages: one whose octets have no share of a record came in the record of the one before."""
    current: Record | None = None
    for event in events:
        inner = event.details.get("message_octets")
        own = inner if isinstance(inner, int) and not isinstance(inner, bool) else event.octets
        from_client = (event.direction is Direction.OUT) is (role is Role.CLIENT)
        if current is None or current.from_client is not from_client or own != event.octets or inner is None:
            if current is not None:
                yield current
            current = Record(event.at, from_client)
        current.octets += event.octets
        current.messages.append(
            Message(
                event.text,
                own,
                event.details.get("encrypted") is True,
                explain.message(event.text),
                tuple(
                    (said(name.replace("_", " "), 40), _value(value))
                    for name, value in event.details.items()
                    if name not in ("encrypted", "message_octets")
                ),
            )
        )
    if current is not None:
        yield current


def _facts(details: Mapping[str, Json], names: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    for name, shown in names.items():
        if name in details and details[name] not in ("", None, [], ()):
            yield shown, _value(details[name])


def _value(value: Json) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sequence) and not isinstance(value, str):
        shown = ", ".join(said(one, 60) for one in value[:_MOST_ITEMS])
        left = len(value) - _MOST_ITEMS
        return f"{shown} and {left} more" if left > 0 else shown
    return f"{value:,}" if isinstance(value, int) else said(value, 300)

"""Layout of a sequence diagram: the rows of a conversation between a client and a server, in pixels."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from emailsys.wiretap.conversation import Conversation, Direction, Event, Kind, Role
from emailsys.wiretap.export.wording import elapsed, line_of, octets, wrapped

# Rows that are drawn at the beginning and at the end of a conversation; those between are counted.
_FIRST: Final = 90
_LAST: Final = 50
_LINES: Final = 2
_CONTINUED: Final = re.compile(r"[2-5]\d\d-")
_STATUS: Final = re.compile(r"(\+OK|-ERR)\b|\+( |$)", re.I)
_ON_THE_WIRE: Final = frozenset({Kind.COMMAND, Kind.REPLY, Kind.BODY, Kind.TLS})


@dataclass(frozen=True, slots=True)
class Size:
    """Measures of a diagram in pixels. `letter` is the width of a letter of its fixed-width font."""

    width: int
    left: int
    right: int
    box: int
    font: float
    letter: float
    line: int

    @property
    def letters(self) -> int:
        """How many letters fit between the two sides."""
        return int((self.right - self.left - 16) / self.letter)


#: For screens and paper, and for phones: letters are not scaled, so that both can be read.
WIDE: Final = Size(width=860, left=104, right=800, box=196, font=13, letter=7.9, line=17)
NARROW: Final = Size(width=320, left=58, right=304, box=116, font=11, letter=6.7, line=14)


@dataclass(frozen=True, slots=True)
class Arrow:
    """Octets that went from one side to the other. `y` is that of its line; the text stands above it."""

    y: int
    to_right: bool
    kind: str
    text: tuple[str, ...]
    time: str
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """An event without octets, in a box across both sides."""

    y: int
    height: int
    kind: str
    text: tuple[str, ...]
    time: str = ""


@dataclass(frozen=True, slots=True)
class Band:
    """A background behind rows: the handshake, or what is encrypted."""

    y: int
    height: int
    kind: str
    label: str


@dataclass(slots=True)
class Diagram:
    """A whole diagram. @ivar names: client and server, each a title and a name."""

    size: Size
    height: int
    names: tuple[tuple[str, str], tuple[str, str]]
    arrows: list[Arrow] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    bands: list[Band] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Row:
    event: Event
    text: str
    more: int = 0


def sides(conversation: Conversation) -> tuple[tuple[str, str], tuple[str, str]]:
    """Returns client and server, each as a title and a name."""
    peer = conversation.peer_name or conversation.peer or "peer"
    own = conversation.local or "this host"
    is_server = conversation.role is Role.SERVER
    return ("client", peer if is_server else own), ("server", own if is_server else peer)


def diagram(conversation: Conversation, size: Size, *, times: bool = True) -> Diagram:
    """Lays a conversation out.

    @param times: whether each row has its time.
    """
    client, server = sides(conversation)
    most = int((size.box - 12) / size.letter)
    drawn = Diagram(size, 0, ((client[0], line_of(client[1], most)), (server[0], line_of(server[1], most))))
    rows = _rows(conversation)
    y, began, secured, handshake = 64, 0, 0, 0
    for row in rows:
        kind = row.event.kind
        if handshake and kind not in (Kind.TLS, Kind.SECURED):
            drawn.bands.append(Band(handshake, y - handshake, "handshake", "TLS handshake"))
            began, handshake = (y if secured else 0), 0
        if kind is Kind.TLS and not handshake and not secured:
            handshake = y
        if kind is Kind.SECURED:
            secured = 1
            handshake = handshake or y
        y = _draw(drawn, row, y, conversation.role, times)
    if handshake:
        drawn.bands.append(Band(handshake, y - handshake, "handshake", "TLS handshake"))
    elif began:
        drawn.bands.append(Band(began, y - began + 6, "encrypted", "encrypted"))
    drawn.height = y + 18
    return drawn


def _draw(drawn: Diagram, row: _Row, y: int, role: Role, times: bool) -> int:
    """Adds a row. Returns the y below it."""
    size, event = drawn.size, row.event
    text = tuple(wrapped(row.text, size.letters, _LINES))
    time = elapsed(event.at) if times else ""
    height = size.line * len(text)
    if event.kind in _ON_THE_WIRE and event.direction is not None:
        to_right = (event.direction is Direction.OUT) is (role is Role.CLIENT)
        at = y + height + 10
        secret = event.kind is Kind.TLS and event.details.get("encrypted") is True
        drawn.arrows.append(Arrow(at, to_right, event.kind.value, text, time, secret))
        return at + 10
    drawn.notes.append(Note(y + 8, height + 10, event.kind.value if event.text or not row.more else "gap", text, time))
    return y + height + 26


def _rows(conversation: Conversation) -> list[_Row]:
    rows = list(_merged(conversation.events, conversation.protocol))
    if conversation.dropped:
        rows.append(_gap(rows, f"{conversation.dropped:,} events of this conversation were not kept"))
    if len(rows) <= _FIRST + _LAST:
        return rows
    left = len(rows) - _FIRST - _LAST
    return [*rows[:_FIRST], _gap(rows[:_FIRST], f"{left:,} more steps are not drawn"), *rows[-_LAST:]]


def _gap(before: Sequence[_Row], text: str) -> _Row:
    return _Row(Event(before[-1].event.at if before else 0.0, Kind.STATE), text, 1)


def _merged(events: Iterable[Event], protocol: str) -> Iterable[_Row]:
    """Yields rows: the lines of one reply are one row, and those of a message. What an attacker did has its own."""
    is_pop3 = protocol.startswith("pop3")
    first: Event | None = None
    lines = 0
    for event in _with_bodies_merged(events):
        if event.kind is Kind.REPLY and "tampered" not in event.details:
            goes_on = first is not None and (not _STATUS.match(event.text) if is_pop3 else lines > 0)
            if first is not None and not goes_on:
                yield _reply_row(first, lines)
                first = None
            if first is None:
                first, lines = event, 1
            else:
                lines += 1
            if not is_pop3 and not _CONTINUED.match(event.text):
                yield _reply_row(first, lines)
                first, lines = None, 0
            continue
        if first is not None:
            yield _reply_row(first, lines)
            first, lines = None, 0
        yield _Row(event, _text_of(event))
    if first is not None:
        yield _reply_row(first, lines)


def _with_bodies_merged(events: Iterable[Event]) -> Iterable[Event]:
    body: Event | None = None
    for event in events:
        is_body = event.kind is Kind.BODY and "tampered" not in event.details
        if is_body and body is not None and body.direction is event.direction:
            body = replace(body, octets=body.octets + event.octets)
            continue
        if body is not None:
            yield body
        body = event if is_body else None
        if not is_body:
            yield event
    if body is not None:
        yield body


def _reply_row(first: Event, lines: int) -> _Row:
    return _Row(
        first, first.text if lines == 1 else f"{first.text}  (+{lines - 1:,} {'line' if lines == 2 else 'lines'})"
    )


def _text_of(event: Event) -> str:
    if tampered := event.details.get("tampered"):
        return f"{event.text}  ({tampered})"
    if event.kind in (Kind.TLS, Kind.BODY):
        name = event.text if event.kind is Kind.TLS else "the message"
        return f"{name}, {octets(event.octets)}" if event.octets else name
    if event.kind in (Kind.OPENED, Kind.CLOSED):
        return event.text or f"connection {event.kind.value}"
    return event.text or event.kind.value

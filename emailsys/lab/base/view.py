"""The attacker's view: octets of one connection, recorded as the events of a conversation."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from itertools import count
from typing import Final

from emailsys.wiretap.conversation import Conversation, Direction, Event, Json, Kind, Role
from emailsys.wiretap.tls.observer import TLSObserver

# Characters of one event, and lines of one message; the others are counted.
MAX_TEXT: Final = 400
MAX_BODY_LINES: Final = 40
_NUMBERS: Final = count(1)
# RFC 8446 §5.1: content types of records, and the octets before the content.
_HANDSHAKE: Final = 22
_ENCRYPTED: Final = 23
_HEADER: Final = 5


def printable(octets: bytes) -> str:
    """Returns octets as text without control characters; all that are not printable ASCII are escaped."""
    return octets.decode("latin-1").translate(_ESCAPES)


_ESCAPES: Final = {
    **{code: f"\\x{code:02x}" for code in (*range(32), *range(127, 256))},
    9: "\\t",
    10: "\\n",
    13: "\\r",
}


class View:
    """Records what an attacker, or a weak host, sees of one connection. Safe to use from several threads.

    Octets from the client and from the server are cut into lines, or, after TLS has begun, into TLS records.

    @param role: whether the attacker stands in the place of the server (also between both) or of the client.
    """

    def __init__(self, protocol: str, role: Role, peer: str, local: str = "") -> None:
        self.id = f"lab-{next(_NUMBERS)}"
        self._protocol, self._role, self._peer, self._local = protocol, role, peer, local
        self._opened = time.time()
        self._start = time.monotonic()
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._rest = {Direction.IN: b"", Direction.OUT: b""}
        self._is_tls = {Direction.IN: False, Direction.OUT: False}
        self._in_body = False
        self._body_lines = 0
        self._octets = {Direction.IN: bytearray(), Direction.OUT: bytearray()}
        self._closed = False
        # Names what is not encrypted of a handshake.
        self._observer = TLSObserver(role)
        self._has_told = False
        self._add(Kind.OPENED, f"connection with {peer}")

    def from_client(self, octets: bytes, **details: Json) -> None:
        """Records octets that the client sent."""
        self._feed(Direction.IN if self._role is Role.SERVER else Direction.OUT, True, octets, details)

    def from_server(self, octets: bytes, **details: Json) -> None:
        """Records octets that the server sent."""
        self._feed(Direction.OUT if self._role is Role.SERVER else Direction.IN, False, octets, details)

    def note(self, kind: Kind, text: str, **details: Json) -> None:
        """Records an event without octets."""
        with self._lock:
            self._add(kind, text, details=details)

    def decrypted(self, text: str, **details: Json) -> None:
        """Records that the attacker is an end of TLS, and reads the octets that follow in the clear."""
        with self._lock:
            for direction in Direction:
                self._is_tls[direction] = False
                self._rest[direction] = b""
            self._add(Kind.SECURED, text, details=details)

    def close(self) -> None:
        """Records the end of the connection, once."""
        with self._lock:
            if not self._closed:
                self._closed = True
                for direction, rest in self._rest.items():
                    if rest:
                        self._line(direction, (direction is Direction.IN) is (self._role is Role.SERVER), rest, {})
                self._add(Kind.CLOSED, "connection closed")

    def saw(self, octets: bytes) -> bool:
        """Returns whether the attacker could read these octets on the connection."""
        with self._lock:
            return any(octets in seen for seen in self._octets.values())

    def line_with(self, octets: bytes) -> str:
        """Returns the text of the first event that has these octets, "" if none has."""
        wanted = printable(octets)
        with self._lock:
            return next((event.text for event in self._events if wanted in event.text), "")

    @property
    def is_closed(self) -> bool:
        """Whether the connection has ended."""
        return self._closed

    @property
    def total(self) -> int:
        """The number of octets that were seen."""
        with self._lock:
            return sum(map(len, self._octets.values()))

    def conversation(self) -> Conversation:
        """Returns what was recorded so far."""
        with self._lock:
            return Conversation(
                id=self.id,
                protocol=self._protocol,
                role=self._role,
                opened=self._opened,
                peer=self._peer,
                local=self._local,
                closed=self._closed,
                events=tuple(self._events),
            )

    def _feed(self, direction: Direction, is_client: bool, octets: bytes, details: Mapping[str, Json]) -> None:
        with self._lock:
            self._octets[direction] += octets
            rest, at = self._rest[direction] + octets, 0
            while at < len(rest):
                # A line of SMTP or POP3 never begins with this octet; a TLS record of a handshake does.
                if self._is_tls[direction] or rest[at] == _HANDSHAKE:
                    self._is_tls[direction] = True
                    end = at + _HEADER + int.from_bytes(rest[at + 3 : at + _HEADER], "big")
                    if len(rest) < max(end, at + _HEADER):
                        break
                    self._record(direction, rest[at:end])
                else:
                    end = rest.find(b"\r\n", at) + 2
                    if end < 2:
                        break
                    self._line(direction, is_client, rest[at:end], details)
                at = end
            self._rest[direction] = rest[at:]

    def _record(self, direction: Direction, record: bytes) -> None:
        at = time.monotonic() - self._start
        if record[0] != _ENCRYPTED:
            self._events += self._observer.feed(direction, record, at)
            return
        if not self._has_told:
            self._has_told = True
            self._events += self._observer.established(at)
        size = len(record) - _HEADER
        text = f"encrypted record, {size} octets: {record[_HEADER : _HEADER + 8].hex(' ')} ..."
        self._add(Kind.TLS, text, direction, len(record), {"message": "encrypted record", "encrypted": True})

    def _line(self, direction: Direction, is_client: bool, line: bytes, details: Mapping[str, Json]) -> None:
        text = line.removesuffix(b"\r\n")
        if b"\n" in text or b"\r" in text:
            # What one program takes for the end of a line, and another does not, is what the attack is about.
            details = {"tampered": "has a bare LF or CR", **details}
        if not is_client:
            kind = Kind.REPLY
            if text[:4] == b"354 ":
                self._in_body, self._body_lines = True, 0
        elif self._in_body:
            kind = Kind.BODY
            self._body_lines += 1
            if text == b".":
                self._in_body = False
            elif self._body_lines > MAX_BODY_LINES and not details:
                self._count_line(direction, len(line))
                return
        else:
            kind = Kind.COMMAND
        self._add(kind, printable(text), direction, len(line), details)

    def _count_line(self, direction: Direction, octets: int) -> None:
        """Records a further line of a long message by its size alone."""
        left_out = self._body_lines - MAX_BODY_LINES
        if left_out > 1:
            octets += self._events.pop().octets
        self._add(Kind.BODY, f"({left_out} more line{'s' if left_out > 1 else ''})", direction, octets)

    def _add(
        self,
        kind: Kind,
        text: str,
        direction: Direction | None = None,
        octets: int = 0,
        details: Mapping[str, Json] | None = None,
    ) -> None:
        shown = text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 3]}..."
        self._events.append(Event(time.monotonic() - self._start, kind, shown, direction, octets, dict(details or {})))

"""The client's side of a POP3 session without I/O: commands become octets, and octets of answers become events."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from emailsys.wire.pop3.client_commands import Command, Shape, greeting
from emailsys.wire.stuffing import Unstuffer

# RFC 1939 §3 allows 512 octets; servers that explain themselves are understood up to four times that.
MAX_STATUS_LINE: Final = 2048
# A UIDL of a million messages has 80 MB at most. Real ones have a tenth.
MAX_LISTING: Final = 96 * 1024 * 1024
#: Commands under way at once where PIPELINING is offered (RFC 2449 §6.6). Their answers may be messages, so it is the
#: reading that is bounded, not this.
MAX_UNDER_WAY: Final = 200

_STATUS: Final = re.compile(rb"(\+OK|-ERR|\+)(?:[ \t]+(.*))?", re.DOTALL)
# RFC 2449 §8: resp-codes, hierarchical by slashes.
_CODE: Final = re.compile(r"\[([A-Za-z0-9/\-]{1,64})\] *")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Answer:
    """How a command ended: +OK or -ERR, the response code (RFC 2449 §8, such as IN-USE or AUTH) in upper case, "" for
    none, the text fit to be shown, and the lines of a listing."""

    ok: bool
    text: str = ""
    code: str = ""
    lines: Sequence[bytes] = ()


@dataclass(frozen=True, slots=True)
class Answered:
    """A command has its complete answer. A requested message ends with these octets."""

    command: Command
    answer: Answer
    octets: bytes = b""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a requested message, with CRLF lines. It never ends within a CRLF."""

    command: Command
    octets: bytes


@dataclass(frozen=True, slots=True)
class Broken:
    """The input is not POP3. The session is over, and pending commands stay unanswered."""

    why: str


Event = Answered | Piece | Broken


def _printed(octets: bytes) -> str:
    """Decode a text of the server for display: UTF-8 (RFC 6856 §3) or escaped. Control octets are escaped."""
    text = octets.decode("utf-8", "backslashreplace").strip()
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


class POP3ClientSession:
    """A POP3 client session without I/O.

    Queue commands with `ask`, write the octets from `take`, pass received octets to `feed`, and call `next_event` until
    it returns None. Answers arrive in the order of the commands. The greeting is the answer to `greeting`.
    """

    def __init__(self) -> None:
        self.greeting = greeting()
        self._buffer = b""
        self._position = 0
        self._waiting: deque[Command] = deque()
        self._under_way: deque[Command] = deque([self.greeting])
        self._out: list[bytes] = []
        self._unstuffer: Unstuffer | None = None
        self._listing: list[bytes] | None = None
        self._listing_octets = 0
        self._answer = Answer(True)
        #: Whether several commands may be sent at once (PIPELINING in CAPA).
        self.pipelining = False
        #: Whether the input was not POP3.
        self.broken = False

    # Calls from the caller

    def ask(self, command: Command) -> None:
        """Queue a command."""
        self._waiting.append(command)
        self._send_more()

    def take(self) -> bytes:
        """Return the octets to send."""
        out, self._out = self._out, []
        return out[0] if len(out) == 1 else b"".join(out)

    @property
    def expects(self) -> Command | None:
        """The command whose answer is awaited; None when idle."""
        return self._under_way[0] if self._under_way else None

    @property
    def unanswered(self) -> list[Command]:
        """The commands without a complete answer, sent or not."""
        return [*self._under_way, *self._waiting]

    def tls_began(self) -> None:
        """Continue after a TLS handshake. Everything learned before it is discarded (RFC 2595 §4)."""
        self.pipelining = False

    def _send_more(self) -> None:
        under_way, waiting = self._under_way, self._waiting
        most = MAX_UNDER_WAY if self.pipelining else 1
        while waiting and not self.broken and len(under_way) < most:
            if under_way and (waiting[0].alone or under_way[-1].alone):
                return
            command = waiting.popleft()
            self._out.append(command.octets)
            under_way.append(command)

    # Input from the server

    def feed(self, octets: bytes) -> None:
        """Receive octets from the server."""
        if self._position < len(self._buffer):
            octets = self._buffer[self._position :] + octets
        self._buffer = octets
        self._position = 0

    def next_event(self) -> Event | None:
        """Return the next event; None if more input is needed."""
        if self.broken:
            return None
        if self._unstuffer is not None:
            return self._read_message(self._unstuffer)
        if self._listing is not None:
            return self._read_listing(self._listing)
        return self._read_status()

    def _break(self, why: str) -> Broken:
        self.broken = True
        self._buffer = b""
        self._position = 0
        return Broken(why)

    def _line(self) -> bytes | None:
        """Return the next line without its end; None if incomplete, b"\\n" if too long."""
        start = self._position
        # LF alone is accepted in a status or a listing.
        end = self._buffer.find(b"\n", start)
        if (len(self._buffer) if end < 0 else end) - start > MAX_STATUS_LINE:
            return b"\n"
        if end < 0:
            return None
        self._position = end + 1
        return self._buffer[start : end - 1 if end > start and self._buffer[end - 1] == 0x0D else end]

    def _read_status(self) -> Event | None:
        while True:
            if not self._under_way:
                if self._position < len(self._buffer):
                    return self._break(f"unasked: {_printed(self._buffer[self._position :][:80])!r}")
                return None
            line = self._line()
            if line is None:
                return None
            event = self._status(self._under_way[0], line)
            if event is not None:
                return event
            if self._unstuffer is not None or self._listing is not None:
                return self.next_event()

    def _status(self, command: Command, line: bytes) -> Event | None:
        """Handle the first line of an answer, or a challenge."""
        found = _STATUS.fullmatch(line)
        if found is None:
            return self._break(f"in answer to {command.shown} came {_printed(line[:80])!r}")
        text = _printed(found[2] or b"")
        if found[1] == b"+":
            if not command.shown.startswith("AUTH "):
                return self._break(f"in answer to {command.shown} came a challenge")
            # Without a response left, cancel the exchange (RFC 5034 §4).
            self._out.append(command.responses.pop(0) if command.responses else b"*\r\n")
            return None
        ok = found[1] == b"+OK"
        code = _CODE.match(text)
        if code is not None:
            text = text[code.end() :]
        self._answer = Answer(ok, text, code[1].upper() if code is not None else "")
        if ok and command.shape is Shape.MESSAGE:
            self._unstuffer = Unstuffer()
            return None
        if ok and command.shape is Shape.LISTING:
            self._listing = []
            self._listing_octets = 0
            return None
        if ok and command.shown == "STLS" and self._position < len(self._buffer):
            # These octets would be read as if received over TLS (CVE-2021-33515 and similar).
            return self._break("octets in the clear behind the answer to STLS: somebody is in between")
        return self._answered(self._answer)

    def _answered(self, answer: Answer, octets: bytes = b"") -> Answered:
        command = self._under_way.popleft()
        self._send_more()
        return Answered(command, answer, octets)

    def _read_message(self, unstuffer: Unstuffer) -> Event | None:
        if self._position >= len(self._buffer):
            return None
        command = self._under_way[0]
        block = self._buffer[self._position :] if self._position else self._buffer
        octets, rest = unstuffer.take(block)
        self._position = 0
        if rest is None:
            self._buffer = b""
            return Piece(command, octets) if octets else None
        self._buffer = rest
        self._unstuffer = None
        return self._answered(self._answer, octets)

    def _read_listing(self, lines: list[bytes]) -> Event | None:
        while (line := self._line()) is not None:
            self._listing_octets += len(line)
            if line == b"\n" or self._listing_octets > MAX_LISTING:
                return self._break("an endless line or listing")
            if line == b".":
                self._listing = None
                answer = self._answer
                return self._answered(Answer(True, answer.text, answer.code, lines))
            lines.append(line[1:] if line.startswith(b".") else line)
        return None

"""Message readers: dot-stuffed lines of DATA (RFC 5321 §4.5.2), counted chunks of BDAT (RFC 3030)."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Final

from emailsys.mail import reply as replies
from emailsys.mail.reply import Reply
from emailsys.wire.stuffing import Unstuffer

# RFC 5321 §4.5.3.1.6: octets of a text line, CRLF included.
MAX_TEXT_LINE: Final = 1000


@dataclass(frozen=True, slots=True)
class BodyRules:
    """The limits for a message: its octets, and whether NUL and lines over 998 octets are accepted."""

    max_size: int
    accepts_nul: bool = True
    accepts_long_lines: bool = True


class _Message:
    """Checks of both readers: size, line ends, NUL and the length of lines."""

    __slots__ = ("_line_begun", "_line_ends", "_rules", "has_nul", "octets", "refusal")

    def __init__(self, rules: BodyRules) -> None:
        self._rules = rules
        # Records the kinds of line ends it reads, several times faster than a search for a lone CR or LF.
        self._line_ends = io.IncrementalNewlineDecoder(None, False)
        # Octets of the unfinished line at the end of the pieces so far.
        self._line_begun = 0
        #: The size of the message so far, in octets.
        self.octets = 0
        #: Whether the message has a NUL octet.
        self.has_nul = False
        #: The reply that refuses the message. The rest of the message is then read and discarded.
        self.refusal: Reply | None = None

    def _checked(self, piece: bytes) -> bytes:
        """Returns the piece, or nothing if the message is refused. The piece must not end within a CRLF."""
        if self.refusal is not None:
            return b""
        self.octets += len(piece)
        rules = self._rules
        if self.octets > rules.max_size:
            self.refusal = replies.TOO_BIG
            return b""
        self._line_ends.decode(piece.decode("latin-1"))
        newlines = self._line_ends.newlines
        if newlines != "\r\n" and newlines is not None:
            self.refusal = replies.BARE_LF if newlines == "\n" or "\n" in tuple(newlines) else replies.BARE_CR
        elif b"\0" in piece:
            self.has_nul = True
            if not rules.accepts_nul:
                self.refusal = replies.NUL_IN_MESSAGE
        if not rules.accepts_long_lines and self.refusal is None and self._has_long_line(piece):
            self.refusal = replies.LINE_TOO_LONG
        return piece if self.refusal is None else b""

    def _has_long_line(self, piece: bytes) -> bool:
        """Returns whether a line ends or goes on beyond the limit in the next piece.

        Looks for the last line end within reach of the limit, and goes on behind it: some steps for each 1000 octets.
        """
        last_line_end, end = piece.rfind, len(piece)
        at = last_line_end(b"\n", 0, MAX_TEXT_LINE - self._line_begun) + 1
        if not at and self._line_begun + end > MAX_TEXT_LINE:
            return True
        while end - at > MAX_TEXT_LINE:
            at = last_line_end(b"\n", at, at + MAX_TEXT_LINE) + 1
            if not at:
                return True
        if piece.endswith(b"\n"):
            self._line_begun = 0
        else:
            last = last_line_end(b"\n")
            self._line_begun = self._line_begun + end if last < 0 else end - last - 1
        return False


class StuffedMessage(_Message):
    """Reader of the message after DATA."""

    __slots__ = ("_unstuffer",)

    def __init__(self, rules: BodyRules) -> None:
        super().__init__(rules)
        self._unstuffer = Unstuffer()

    def take(self, block: bytes) -> tuple[bytes, bytes | None]:
        """Read octets from the peer.

        @return: the next piece of the message, unstuffed, which never ends within a CRLF; and the octets after the end
            of data, None until the end was read.
        """
        piece, rest = self._unstuffer.take(block)
        return self._checked(piece), rest


class ChunkedMessage(_Message):
    """Reader of a message in BDAT chunks (RFC 3030)."""

    __slots__ = ("_chunk_last", "_chunk_left", "_held", "_last_two")

    def __init__(self, rules: BodyRules) -> None:
        super().__init__(rules)
        self._held = b""
        self._last_two = b""
        self._chunk_left = 0
        self._chunk_last = False

    @property
    def wanted(self) -> int:
        """How many octets of the chunk are missing."""
        return self._chunk_left

    def begin_chunk(self, octets: int, last: bool) -> None:
        """Begin the chunk of a BDAT command."""
        self._chunk_left = octets
        self._chunk_last = last
        if self.refusal is None and self.octets + octets > self._rules.max_size:
            self.refusal = replies.TOO_BIG

    def take(self, block: bytes) -> bytes:
        """Read octets of the chunk, at most `wanted`.

        @return: the next piece of the message. A CR at its end is held back until the octet after it is known.
        """
        self._chunk_left -= len(block)
        block = self._held + block
        self._held = b""
        if self._chunk_left == 0 and self._chunk_last:
            # Without BINARYMIME a message consists of lines. If the last line has no end, one is added.
            if block.endswith(b"\r"):
                self.refusal = self.refusal or replies.BARE_CR
            elif (block or self._last_two) and not (self._last_two + block[-2:]).endswith(b"\r\n"):
                block += b"\r\n"
        elif block.endswith(b"\r"):
            self._held = b"\r"
            block = block[:-1]
        if block:
            self._last_two = (self._last_two + block[-2:])[-2:]
        return self._checked(block)

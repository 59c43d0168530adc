"""Take a message out of the stream: dot-stuffed lines of DATA, counted chunks of BDAT."""

from __future__ import annotations

import io

from emailsys.mail import reply as replies
from emailsys.mail.reply import Reply
from emailsys.wire.stuffing import Unstuffer


class _Message:
    """What both ways have in common: the limit, and that lines end with CRLF."""

    __slots__ = ("_limit", "_line_ends", "octets", "refusal")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # Notes which kinds of line ends it meets, several times faster than any search for a lone CR or LF.
        self._line_ends = io.IncrementalNewlineDecoder(None, False)
        #: How many octets the message has so far.
        self.octets = 0
        #: Why the message cannot be accepted; the rest of it is then read and dropped.
        self.refusal: Reply | None = None

    def _checked(self, piece: bytes) -> bytes:
        """The piece if it may be part of the message, else nothing. It holds each CRLF whole."""
        if self.refusal is not None:
            return b""
        self.octets += len(piece)
        if self.octets > self._limit:
            self.refusal = replies.TOO_BIG
            return b""
        self._line_ends.decode(piece.decode("latin-1"))
        met = self._line_ends.newlines
        if met != "\r\n" and met is not None:
            self.refusal = replies.BARE_LF if met == "\n" or "\n" in tuple(met) else replies.BARE_CR
            return b""
        return piece


class StuffedMessage(_Message):
    """The message after DATA."""

    __slots__ = ("_unstuffer",)

    def __init__(self, limit: int) -> None:
        """@param limit: the largest message, in octets."""
        super().__init__(limit)
        self._unstuffer = Unstuffer()

    def take(self, block: bytes) -> tuple[bytes, bytes | None]:
        """Take octets from the peer; give those of the message, dots unstuffed, and what follows the end of data.

        What follows is None until the end was seen. A CRLF is never torn between two pieces.
        """
        piece, rest = self._unstuffer.take(block)
        return self._checked(piece), rest


class ChunkedMessage(_Message):
    """The message after BDAT, RFC 3030."""

    __slots__ = ("_chunk_last", "_chunk_left", "_held", "_last_two")

    def __init__(self, limit: int) -> None:
        """@param limit: the largest message, in octets."""
        super().__init__(limit)
        self._held = b""
        self._last_two = b""
        self._chunk_left = 0
        self._chunk_last = False

    @property
    def wanted(self) -> int:
        """How many octets of the chunk are still to come."""
        return self._chunk_left

    def begin_chunk(self, octets: int, last: bool) -> None:
        """A BDAT command was given."""
        self._chunk_left = octets
        self._chunk_last = last
        if self.refusal is None and self.octets + octets > self._limit:
            self.refusal = replies.TOO_BIG

    def take(self, block: bytes) -> bytes:
        """Take octets of the chunk, at most as many as are wanted; give those of the message that are certain."""
        self._chunk_left -= len(block)
        block = self._held + block
        self._held = b""
        if self._chunk_left == 0 and self._chunk_last:
            # Without BINARYMIME a message consists of lines: the last one is ended where the client left it open.
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

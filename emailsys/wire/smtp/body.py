"""Message readers: dot-stuffed lines of DATA (RFC 5321 §4.5.2), counted chunks of BDAT (RFC 3030)."""

from __future__ import annotations

import io

from emailsys.mail import reply as replies
from emailsys.mail.reply import Reply
from emailsys.wire.stuffing import Unstuffer


class _Message:
    """Checks of both readers: the size limit, and that lines end with CRLF."""

    __slots__ = ("_limit", "_line_ends", "octets", "refusal")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # Records the kinds of line ends it reads, several times faster than a search for a lone CR or LF.
        self._line_ends = io.IncrementalNewlineDecoder(None, False)
        #: The size of the message so far, in octets.
        self.octets = 0
        #: The reply that refuses the message. The rest of the message is then read and discarded.
        self.refusal: Reply | None = None

    def _checked(self, piece: bytes) -> bytes:
        """Returns the piece, or nothing if the message is refused. The piece must not end within a CRLF."""
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
    """Reader of the message after DATA."""

    __slots__ = ("_unstuffer",)

    def __init__(self, limit: int) -> None:
        """@param limit: the size limit of the message, in octets."""
        super().__init__(limit)
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

    def __init__(self, limit: int) -> None:
        """@param limit: the size limit of the message, in octets."""
        super().__init__(limit)
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
        if self.refusal is None and self.octets + octets > self._limit:
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

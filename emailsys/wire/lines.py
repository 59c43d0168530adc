"""Cut a stream of octets into CRLF lines; name what is wrong with those that are none."""

from __future__ import annotations

import enum


class Flaw(enum.Enum):
    """Why a line cannot be acted on. The text is for a reply, after its code."""

    TOO_LONG = "line too long"
    LF_ALONE = "line ended by LF alone; use CRLF (s_client -crlf)"
    CR_ALONE = "CR alone inside a line; lines end with CRLF"


class LineReader:
    """Octets as they come, taken out again as lines or as blocks.

    It never holds more than one limit of an unfinished line: an over-long line is dropped as it comes and is
    reported once, as `Flaw.TOO_LONG`, when it ends. What was fed and not yet taken stays until it is asked for;
    `waiting` tells how much that is, so that the caller can stop reading from the peer.
    """

    __slots__ = ("_buffer", "_fed", "_fed_octets", "_position", "_skipping")

    def __init__(self) -> None:
        self._buffer = b""
        self._position = 0
        self._skipping = False
        # Joined only when something is taken: a peer that sends octet by octet while a command is in flight
        # must not cost a copy of the buffer each time.
        self._fed: list[bytes] = []
        self._fed_octets = 0

    @property
    def waiting(self) -> int:
        """How many octets were fed and not yet taken."""
        return len(self._buffer) - self._position + self._fed_octets

    def feed(self, octets: bytes) -> None:
        """Take octets from the peer."""
        if self._fed or self._position < len(self._buffer):
            self._fed.append(octets)
            self._fed_octets += len(octets)
        else:
            # Nearly always: a peer that waits for its answer, or begins a block of its own.
            self._buffer = octets
            self._position = 0

    def _gather(self) -> None:
        self._buffer = b"".join((self._buffer[self._position :], *self._fed))
        self._position = 0
        self._fed = []
        self._fed_octets = 0

    def next_line(self, limit: int) -> bytes | Flaw | None:
        """The next line without its CRLF, or what is wrong with it, or None until more comes.

        A line ends at LF in any case, so that a peer that sends LF alone gets its answer.

        @param limit: the longest line allowed, in octets, CRLF included.
        """
        if self._fed:
            self._gather()
        buffer, start = self._buffer, self._position
        end = buffer.find(b"\n", start)
        if end < 0:
            if self._skipping or len(buffer) - start > limit:
                self._skipping = True
                self._buffer = b""
                self._position = 0
            return None
        self._position = end + 1
        if self._skipping or end + 1 - start > limit:
            self._skipping = False
            return Flaw.TOO_LONG
        if end == start or buffer[end - 1] != 0x0D:
            return Flaw.LF_ALONE
        line = buffer[start : end - 1]
        if b"\r" in line:
            return Flaw.CR_ALONE
        return line

    def take(self, most: int | None = None) -> bytes:
        """All that waits, or at most so many octets of it, whatever they are. Not to be called inside a line."""
        if self._fed:
            self._gather()
        start = self._position
        if most is None or most >= len(self._buffer) - start:
            block = self._buffer[start:] if start else self._buffer
            self._buffer = b""
            self._position = 0
            return block
        self._position = start + most
        return self._buffer[start : self._position]

    def put_back(self, octets: bytes) -> None:
        """Return the end of what `take` gave, to be taken again first."""
        if octets:
            if self._fed:
                self._gather()
            self._buffer = octets + self._buffer[self._position :]
            self._position = 0

    def discard(self) -> int:
        """Forget all that waits, a half line too; how many octets that was (STARTTLS, STLS)."""
        octets = self.waiting
        self._buffer = b""
        self._position = 0
        self._skipping = False
        self._fed = []
        self._fed_octets = 0
        return octets

"""Line reader: cuts a stream of octets into CRLF lines, and names the flaws of malformed lines."""

from __future__ import annotations

import enum
import re
from typing import Final

# Octets of an over-long line that `LineReader.flawed` keeps: enough to recognize a request of another protocol.
_KEPT: Final = 256


class Flaw(enum.Enum):
    """Why a line is rejected. The text goes into the reply, after the code."""

    TOO_LONG = "line too long"
    LF_ALONE = "line ended by LF alone; use CRLF (s_client -crlf)"
    CR_ALONE = "CR alone inside a line; lines end with CRLF"


class LineReader:
    """A buffer of octets that is read as lines or as blocks.

    It never holds more of an unfinished line than the limit allows. An over-long line is discarded as it arrives, and
    reported once, as `Flaw.TOO_LONG`, at its end. Unread octets stay in the buffer. `waiting` is their number, so that
    the caller can stop reading from the peer.
    """

    __slots__ = ("_buffer", "_fed", "_fed_octets", "_position", "_skipping", "flawed")

    def __init__(self) -> None:
        self._buffer = b""
        self._position = 0
        self._skipping = False
        #: The last line that had a flaw; of an over-long one the beginning.
        self.flawed = b""
        # Joined only when the buffer is read: while a command is in progress, a peer that sends octet by octet must not
        # cost a copy of the buffer each time.
        self._fed: list[bytes] = []
        self._fed_octets = 0

    @property
    def waiting(self) -> int:
        """How many octets were fed and not read yet."""
        return len(self._buffer) - self._position + self._fed_octets

    def feed(self, octets: bytes) -> None:
        """Append octets from the peer."""
        if self._fed or self._position < len(self._buffer):
            self._fed.append(octets)
            self._fed_octets += len(octets)
        else:
            # The usual case: the peer waits for each reply, or begins a new block.
            self._buffer = octets
            self._position = 0

    def _gather(self) -> None:
        self._buffer = b"".join((self._buffer[self._position :], *self._fed))
        self._position = 0
        self._fed = []
        self._fed_octets = 0

    def next_line(self, limit: int) -> bytes | Flaw | None:
        """Returns the next line without its CRLF, or its flaw; None until more octets arrive.

        Every LF ends a line, so that a peer that sends LF alone gets a reply.

        @param limit: the longest line allowed, in octets, CRLF included.
        """
        if self._fed:
            self._gather()
        buffer, start = self._buffer, self._position
        end = buffer.find(b"\n", start)
        if end < 0:
            if self._skipping or len(buffer) - start > limit:
                self._keep(buffer, start)
                self._skipping = True
                self._buffer = b""
                self._position = 0
            return None
        self._position = end + 1
        if self._skipping or end + 1 - start > limit:
            self._keep(buffer, start)
            self._skipping = False
            return Flaw.TOO_LONG
        if end == start or buffer[end - 1] != 0x0D:
            self.flawed = buffer[start:end]
            return Flaw.LF_ALONE
        line = buffer[start : end - 1]
        if b"\r" in line:
            self.flawed = line
            return Flaw.CR_ALONE
        return line

    def next_match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
        """Remove the next line and return its match; None if it does not match or may be incomplete.

        A frequent command is read in half of the time that way. `next_line` returns all other lines.

        @param pattern: matches one whole line with its CRLF, of a permitted length.
        """
        if self._fed or self._skipping:
            return None
        found = pattern.match(self._buffer, self._position)
        if found is not None:
            self._position = found.end()
        return found

    @property
    def begun(self) -> bytes:
        """The beginning of the unfinished line, b"" if there is none. Read it after `next_line` has returned None."""
        if self._skipping:
            return self.flawed
        return self._buffer[self._position : self._position + _KEPT]

    def cut(self) -> None:
        """End the unfinished line here. Call after `next_line` has returned None: `flawed` is the beginning then."""
        self.flawed = self.begun
        self._skipping = False
        self._buffer = b""
        self._position = 0

    def _keep(self, buffer: bytes, start: int) -> None:
        if not self._skipping:
            self.flawed = buffer[start : start + _KEPT]

    def take(self, most: int | None = None) -> bytes:
        """Remove and return all unread octets, or at most `most` of them. Do not call within a line."""
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
        """Put the end of what `take` returned back in front of the unread octets."""
        if octets:
            if self._fed:
                self._gather()
            self._buffer = octets + self._buffer[self._position :]
            self._position = 0

    def discard(self) -> int:
        """Discard all unread octets, an unfinished line too, as STARTTLS and STLS require.

        @return: how many octets were discarded.
        """
        octets = self.waiting
        self._buffer = b""
        self._position = 0
        self._skipping = False
        self._fed = []
        self._fed_octets = 0
        return octets

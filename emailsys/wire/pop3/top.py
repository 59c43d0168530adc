"""TOP: cuts a message, which arrives in pieces, after its header and some lines of its body (RFC 1939 §7)."""

from __future__ import annotations


class TopCutter:
    """Returns the part of a message that TOP sends. The message has CRLF lines, and its pieces may be cut anywhere."""

    __slots__ = ("_in_header", "_left", "_tail", "done")

    def __init__(self, lines: int) -> None:
        """@param lines: the number of body lines, 0 or more. A header without a body is sent whole."""
        self._left = lines
        self._in_header = True
        # The last octets of the header so far. An empty header ends with the first CRLF of the message.
        self._tail = b"\n"
        #: Whether the rest of the message is not needed.
        self.done = False

    def cut(self, piece: bytes) -> bytes:
        """Returns the part of the next piece that is sent."""
        start = 0
        if self._in_header:
            window = self._tail + piece
            found = window.find(b"\n\r\n")
            if found < 0:
                self._tail = window[-2:]
                return piece
            self._in_header = False
            start = found + 3 - len(self._tail)
        if not self._left:
            self.done = True
            return piece[:start]
        lines = piece.count(b"\n", start)
        if lines < self._left:
            self._left -= lines
            return piece
        self.done = True
        return piece[: _after_line(piece, start, self._left)]


def _after_line(piece: bytes, start: int, lines: int) -> int:
    """Returns the end of that many lines after `start`, by bisection: a loop over lines would take milliseconds."""
    low, high = start, len(piece)
    while high - low > 1:
        middle = (low + high) // 2
        counted = piece.count(b"\n", low, middle)
        if counted < lines:
            lines -= counted
            low = middle
        else:
            high = middle
    return high

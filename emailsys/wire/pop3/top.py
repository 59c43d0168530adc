"""Cut a message that comes in pieces after its header and so many lines of its body (RFC 1939 §7, TOP)."""

from __future__ import annotations


class TopCutter:
    """What TOP sends of a message with CRLF lines. The pieces may be cut anywhere."""

    __slots__ = ("_in_header", "_left", "_tail", "done")

    def __init__(self, lines: int) -> None:
        """@param lines: how many lines of the body, 0 or more; a header without body is sent whole."""
        self._left = lines
        self._in_header = True
        # The last octets of the header so far; an empty header ends with the very first CRLF.
        self._tail = b"\n"
        #: Whether the rest of the message is not wanted.
        self.done = False

    def cut(self, piece: bytes) -> bytes:
        """What of the next piece is to be sent."""
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
    """Where that many lines after `start` end. Found by halves: a loop over the lines would take milliseconds."""
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

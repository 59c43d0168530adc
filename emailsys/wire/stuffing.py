"""Double the dots that begin lines of a text that comes in pieces, or halve them (RFC 1939 §3, RFC 5321 §4.5.2)."""

from __future__ import annotations

import re
from typing import Final

_DOT: Final = 0x2E
_LF: Final = 0x0A
_CRLF: Final = b"\r\n"
# In one pass: a stuffed dot, or with its group the end. RFC 5321 §4.1.1.4: CRLF.CRLF ends it, nothing else.
_DOT_LINE: Final = re.compile(rb"\r\n\.(\r\n)?")


class Stuffer:
    """A text with CRLF lines, on its way to a peer. The pieces may be cut anywhere, within a CRLF too."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        # The last two octets that were given: whether the next one begins a line.
        self._tail = _CRLF

    def stuff(self, piece: bytes, dotted: bool = True) -> bytes:
        """The next piece, as it goes over the wire.

        @param dotted: False where it is known that no line inside the piece begins with a dot, which saves a search;
            the beginning of the piece is looked at in any case.
        """
        if not piece:
            return piece
        stuffed = piece.replace(b"\r\n.", b"\r\n..") if dotted else piece
        first = piece[0]
        if first == _DOT:
            if self._tail == _CRLF:
                stuffed = b"." + stuffed
        elif first == _LF and piece[1:2] == b"." and self._tail[-1:] == b"\r":
            stuffed = b"\n." + stuffed[1:]
        self._tail = piece[-2:] if len(piece) > 1 else (self._tail + piece)[-2:]
        return stuffed

    def end(self) -> bytes:
        """The line of a single dot, after the CRLF that the last line may lack."""
        return b".\r\n" if self._tail == _CRLF else b"\r\n.\r\n"


class Unstuffer:
    """A text with CRLF lines, on its way from a peer, up to the line of a single dot."""

    __slots__ = ("_at_start", "_held")

    def __init__(self) -> None:
        # The first line may be a dot, or begin with one: as if a CRLF stood before it.
        self._held = _CRLF
        self._at_start = True

    def take(self, block: bytes) -> tuple[bytes, bytes | None]:
        """Take octets from the peer; give those of the text, dots unstuffed, and what follows the end.

        What follows is None until the end was seen. A CRLF is never torn between two pieces.
        """
        block = self._held + block
        at = 2 if self._at_start else 0
        pieces = []
        for match in _DOT_LINE.finditer(block):
            end = match.end()
            if match[1] is not None:
                pieces.append(block[at : match.start() + 2])
                return b"".join(pieces), block[end:]
            left = len(block) - end
            if left == 0 or (left == 1 and block[end] == 0x0D):
                # The end, perhaps; else a stuffed dot.
                keep = match.start()
                break
            pieces.append(block[at : match.start() + 2])
            at = end
        else:
            keep = len(block)
            if block.endswith(_CRLF):
                keep -= 2
            elif block.endswith(b"\r"):
                keep -= 1
        if keep > at or not self._at_start:
            self._at_start = False
            pieces.append(block[at:keep])
            self._held = block[keep:]
        else:
            self._held = block
        return b"".join(pieces), None

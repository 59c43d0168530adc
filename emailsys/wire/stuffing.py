"""Double the dots that begin lines, in a text that comes in pieces (RFC 1939 §3, RFC 5321 §4.5.2)."""

from __future__ import annotations

from typing import Final

_DOT: Final = 0x2E
_LF: Final = 0x0A
_CRLF: Final = b"\r\n"


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

"""Dot-stuffing of a text that is sent or received in pieces (RFC 1939 §3, RFC 5321 §4.5.2)."""

from __future__ import annotations

import re
from typing import Final

_DOT: Final = 0x2E
_LF: Final = 0x0A
_CRLF: Final = b"\r\n"
# Matches a stuffed dot, or with its group the end of the text. Only CRLF.CRLF ends it (RFC 5321 §4.1.1.4).
_DOT_LINE: Final = re.compile(rb"\r\n\.(\r\n)?")
# `bytes.replace` takes up to fourteen times as long, unless every line begins with a dot: then half as long.
_stuff_dots: Final = re.compile(rb"\r\n\.").sub
# The octets themselves. In a raw literal, they would be escapes, which `re` expands anew for each piece.
_STUFFED: Final = b"\r\n.."
# Lines beginning with a dot that `_stuff_lines` seeks one by one in each 8 KiB of text, and how many of them a dot
# elsewhere counts for. With more dots than these, the expression takes less time.
_LINES_SOUGHT: Final = 16
_COST_OF_OTHERS: Final = 16


def _stuff_lines(text: bytes) -> bytes:
    """Stuff the lines of a text after the first.

    Where dots are rare, a search for each takes half of the time of the expression, which looks at each octet.
    """
    left = (len(text) >> 13) * _LINES_SOUGHT
    if not left:
        return _stuff_dots(_STUFFED, text)
    lines, start, at = [], 0, text.find(b".")
    while at >= 0 and left > 0:
        if text[at - 2 : at] == _CRLF:
            lines.append(text[start:at])
            start = at
            left -= 1
        else:
            left -= _COST_OF_OTHERS
        at = text.find(b".", at + 1)
    lines.append(text[start:] if at < 0 else _stuff_dots(_STUFFED, text[start:]))
    return b".".join(lines)


class Stuffer:
    """Stuffs a text with CRLF lines. The pieces may be cut anywhere, within a CRLF too."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        # The last two octets of the text so far: they decide whether the next octet begins a line.
        self._tail = _CRLF

    def stuff(self, piece: bytes, dotted: bool = True) -> bytes:
        """Returns the next piece, stuffed.

        @param dotted: False if it is known that no line inside the piece begins with a dot, which saves a search. The
            beginning of the piece is examined in either case.
        """
        if not piece:
            return piece
        stuffed = _stuff_lines(piece) if dotted else piece
        first = piece[0]
        if first == _DOT:
            if self._tail == _CRLF:
                stuffed = b"." + stuffed
        elif first == _LF and piece[1:2] == b"." and self._tail[-1:] == b"\r":
            stuffed = b"\n." + stuffed[1:]
        self._tail = piece[-2:] if len(piece) > 1 else (self._tail + piece)[-2:]
        return stuffed

    def end(self) -> bytes:
        """Returns the line of a single dot, preceded by a CRLF if the last line lacks one."""
        return b".\r\n" if self._tail == _CRLF else b"\r\n.\r\n"


def stuff_text(text: bytes, dotted: bool = True, before: bytes = b"") -> bytes:
    """Returns a whole text, stuffed, with the line of a single dot: the same as a `Stuffer` for a single piece.

    @param dotted: as for `Stuffer.stuff`.
    @param before: octets that go before the text, such as a status line.
    """
    end = b".\r\n" if text.endswith(_CRLF) or not text else b"\r\n.\r\n"
    if text.startswith(b"."):
        before += b"."
    return b"".join((before, _stuff_lines(text) if dotted else text, end))


class Unstuffer:
    """Unstuffs a text with CRLF lines, up to the line of a single dot."""

    __slots__ = ("_at_start", "_held")

    def __init__(self) -> None:
        # The first line may also be a dot or begin with one, so a CRLF is imagined before it.
        self._held = _CRLF
        self._at_start = True

    def take(self, block: bytes) -> tuple[bytes, bytes | None]:
        """Read octets from the peer.

        @return: the next piece of the text, unstuffed, which never ends within a CRLF; and the octets after the end of
            the text, None until the end was read.
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
                # This may be the end or a stuffed dot.
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

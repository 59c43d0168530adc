"""Size of a picture in pixels, read from the beginning of its file without decoding it."""

from __future__ import annotations

import re
from typing import Final

# JPEG, ITU-T T.81 §B.1.1.3: the markers of frame headers, which hold the size, and those without a length.
_FRAMES: Final = frozenset((*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)))
_BARE: Final = frozenset((0x01, *range(0xD0, 0xD9)))
_MARKER: Final = re.compile(rb"[^\xff]")
# Octets of a JPEG file that are searched. A preview and a colour profile may come before the frame.
_SEARCHED: Final = 1 << 20
# Markers of a JPEG file that are read. Files of cameras have a few dozen before the frame.
_MAX_MARKERS: Final = 1_000


def picture_size(octets: bytes) -> tuple[int, int] | None:
    """Return width and height of a PNG, GIF, JPEG, WebP or BMP file; None if it is none of them or is damaged."""
    if octets.startswith(b"\x89PNG\r\n\x1a\n") and octets[12:16] == b"IHDR":
        found = _number(octets, 16, 4), _number(octets, 20, 4)
    elif octets[:6] in (b"GIF87a", b"GIF89a"):
        found = _number(octets, 6, 2, "little"), _number(octets, 8, 2, "little")
    elif octets.startswith(b"\xff\xd8\xff"):
        found = _jpeg(octets)
    elif octets[:4] == b"RIFF" and octets[8:12] == b"WEBP":
        found = _webp(octets)
    elif octets[:2] == b"BM" and len(octets) >= 26 and _number(octets, 14, 4, "little") >= 40:
        # The height of a file that is stored from the top is negative.
        height = int.from_bytes(octets[22:26], "little", signed=True)
        found = _number(octets, 18, 4, "little"), abs(height)
    else:
        return None
    return found if found[0] and found[1] else None


def picture_text(octets: bytes) -> str:
    """Return the size of a picture for a sentence: "640x480 pixels", or "" if it is not known."""
    size = picture_size(octets)
    return f"{size[0]}x{size[1]} pixels" if size is not None else ""


def _number(octets: bytes, at: int, length: int, order: str = "big") -> int:
    piece = octets[at : at + length]
    if len(piece) < length:
        return 0
    return int.from_bytes(piece, "little" if order == "little" else "big")


def _jpeg(octets: bytes) -> tuple[int, int]:
    at = 2
    for _ in range(_MAX_MARKERS):
        if at + 4 > min(len(octets), _SEARCHED) or octets[at] != 0xFF:
            return 0, 0
        marker = octets[at + 1]
        if marker == 0xFF:
            # Fill octets may come before a marker. They are skipped in one step.
            marked = _MARKER.search(octets, at, _SEARCHED)
            if marked is None:
                return 0, 0
            at = marked.start() - 1
        elif marker in _FRAMES:
            return _number(octets, at + 7, 2), _number(octets, at + 5, 2)
        else:
            at += 2 if marker in _BARE else 2 + max(_number(octets, at + 2, 2), 2)
    return 0, 0


def _webp(octets: bytes) -> tuple[int, int]:
    # RFC 9649: extended, lossless and lossy files.
    match octets[12:16]:
        case b"VP8X" if len(octets) >= 30:
            return _number(octets, 24, 3, "little") + 1, _number(octets, 27, 3, "little") + 1
        case b"VP8L" if len(octets) >= 25:
            bits = _number(octets, 21, 4, "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            return _number(octets, 26, 2, "little") & 0x3FFF, _number(octets, 28, 2, "little") & 0x3FFF
    return 0, 0

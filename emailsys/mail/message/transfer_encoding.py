"""Decoding of transfer encodings. Faults are reported, never raised."""

from __future__ import annotations

import binascii
import re
from itertools import islice
from typing import Final

_WHITE: Final = b" \t\r\n\x0b\x0c"
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_NOT_BASE64: Final = bytes(octet for octet in range(256) if octet not in _BASE64)
_BAD_ESCAPE: Final = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*(?:\r?\n|\Z))")
# RFC 2045 §6.7 (3): blanks at the end of a line, also after the "=" of a soft line break, were added in transit.
_ADDED: Final = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n|\Z)")
_UU_BEGIN: Final = re.compile(rb"^begin [0-7]{3,4} [^\r\n]*\r?\n", re.M)

# Places that are looked at: each costs as much as the body is long.
_MAX_ENDS: Final = 20
# Where base64 may end before the end of the body: after its padding, and at an empty line.
_BASE64_ENDS: Final = re.compile(rb"={1,2}(?![A-Za-z0-9+/=])|\n[ \t]*+\r?(?=\n)")
_IS_BASE64_LINE: Final = re.compile(rb"^[A-Za-z0-9+/]{2,}={0,2}[ \t]*\r?$", re.M)
_IS_WORDS: Final = re.compile(rb"[^A-Za-z0-9+/= \t\r\n]|[A-Za-z0-9][ \t]+[A-Za-z0-9]")

IDENTITY: Final = frozenset({"7bit", "8bit", "binary"})
_UUENCODE: Final = frozenset({"x-uuencode", "uuencode", "x-uue"})


def split_base64(raw: bytes) -> tuple[bytes, bytes]:
    """Return the base64 in a body, and the text that a mailing list has added below it, b"" if there is none.

    Such text follows the padding or an empty line. It has words: a line with a sign that base64 lacks, or with blanks.
    """
    for found in islice(_BASE64_ENDS.finditer(raw), _MAX_ENDS):
        rest = raw[found.end() :].strip()
        if rest and _IS_WORDS.search(rest.partition(b"\n")[0] + b"\n") and _IS_BASE64_LINE.search(raw, 0, found.end()):
            return raw[: found.end()], rest
    return raw, b""


def _from_base64(raw: bytes) -> tuple[bytes, list[str]]:
    defects: list[str] = []
    raw, text = split_base64(raw)
    if text:
        defects.append("text after the end of the base64")
    digits = raw.translate(None, _WHITE)
    cleaned = digits.translate(None, _NOT_BASE64)
    if len(cleaned) != len(digits):
        defects.append(f"{len(digits) - len(cleaned)} octets outside the base64 alphabet")
    whole = cleaned.rstrip(b"=")
    padding = len(cleaned) - len(whole)
    # Padding in the middle: several base64 texts were joined.
    pieces = [piece for piece in whole.split(b"=") if piece]
    if len(pieces) > 1:
        defects.append("base64 continues after its padding")
    elif padding != -len(whole) % 4 or len(whole) % 4 == 1:
        defects.append("base64 is cut short or wrongly padded")
    decoded = []
    for piece in pieces:
        usable = piece[:-1] if len(piece) % 4 == 1 else piece
        decoded.append(binascii.a2b_base64(usable + b"=" * (-len(usable) % 4)))
    return b"".join(decoded), defects


def _from_uuencode(raw: bytes) -> tuple[bytes, list[str]]:
    begin = _UU_BEGIN.search(raw)
    if begin is None:
        return raw, ["uuencoded part without its begin line"]
    decoded: list[bytes] = []
    for line in raw[begin.end() :].splitlines():
        if line.strip() == b"end":
            return b"".join(decoded), []
        try:
            decoded.append(binascii.a2b_uu(line))
        except binascii.Error:
            return b"".join(decoded), ["uuencoded part with a malformed line"]
    return b"".join(decoded), ["uuencoded part without its end line"]


def decode_transfer(raw: bytes, encoding: str) -> tuple[bytes, list[str]]:
    """Decode a Content-Transfer-Encoding (RFC 2045 §6). Returns the octets and the defects.

    @param encoding: in lower case. An unknown encoding leaves the octets unchanged.
    """
    if encoding == "base64":
        return _from_base64(raw)
    if encoding == "quoted-printable":
        bad = len(_BAD_ESCAPE.findall(raw))
        return binascii.a2b_qp(_ADDED.sub(b"", raw)), [f"{bad} malformed escapes in quoted-printable"] if bad else []
    if encoding in _UUENCODE:
        return _from_uuencode(raw)
    if encoding in IDENTITY:
        return raw, []
    return raw, [f"unknown transfer encoding {encoding[:40]!r}"]

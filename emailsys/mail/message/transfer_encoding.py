"""Decoding of bodies: transfer encodings to octets, charsets to text. Faults are reported, never raised."""

from __future__ import annotations

import binascii
import codecs
import re
from functools import lru_cache
from typing import Final

_WHITE: Final = b" \t\r\n\x0b\x0c"
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_NOT_BASE64: Final = bytes(octet for octet in range(256) if octet not in _BASE64)
_BAD_ESCAPE: Final = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*(?:\r?\n|\Z))")
# RFC 2045 §6.7 (3): blanks at the end of a line, also after the "=" of a soft line break, were added in transit.
_ADDED: Final = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n|\Z)")
_UU_BEGIN: Final = re.compile(rb"^begin [0-7]{3,4} [^\r\n]*\r?\n", re.M)

IDENTITY: Final = frozenset({"7bit", "8bit", "binary"})
_UUENCODE: Final = frozenset({"x-uuencode", "uuencode", "x-uue"})

# Python codecs that are not charsets of mail: some are slow, and some are specific to Python or the system.
_NO_CHARSET: Final = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "charmap", "mbcs", "oem"}
)
# Charset names that Python does not know. The last two declare a text direction (RFC 1556), not other octets.
_NAMES: Final = {
    "windows-874": "cp874",
    "windows-31j": "cp932",
    "x-sjis": "cp932",
    "x-windows-949": "cp949",
    "x-euc-jp": "euc_jp",
    "x-gbk": "gbk",
    "x-mac-roman": "mac_roman",
    "iso-8859-6-i": "iso8859-6",
    "iso-8859-8-i": "iso8859-8",
}
# Mail labelled with the charset on the left often uses the superset on the right.
_LARGER: Final = {"gb2312": "gb18030", "gbk": "gb18030", "euc_kr": "cp949", "shift_jis": "cp932"}
_C1: Final = re.compile("[\x80-\x9f]")
_CHARSET_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:\-]{0,39}")


def _from_base64(raw: bytes) -> tuple[bytes, list[str]]:
    defects: list[str] = []
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


@lru_cache(maxsize=256)
def text_codec(charset: str) -> str | None:
    """Return the name of the Python codec for a charset; None if there is none."""
    if not _CHARSET_NAME.fullmatch(charset):
        return None
    try:
        name = codecs.lookup(_NAMES.get(charset.lower(), charset)).name
        # Raises LookupError for a codec that does not decode to text.
        b"x".decode(name, "ignore")
    except (LookupError, ValueError):
        return None
    return None if name in _NO_CHARSET else name


def decode_charset(octets: bytes, charset: str) -> tuple[str, list[str]]:
    """Decode octets in a charset. Returns the text and the defects.

    US-ASCII with 8-bit octets, and unknown charsets, are decoded as UTF-8 or otherwise as Windows-1252. ISO-8859-1 with
    control characters is decoded as Windows-1252, because no sender means control characters.
    """
    codec = text_codec(charset or "us-ascii")
    if codec is None:
        return _guess(octets), [f"unknown charset {charset[:40]!r}"]
    if codec == "ascii":
        return (octets.decode("ascii"), []) if octets.isascii() else (_guess(octets), ["8-bit octets in US-ASCII text"])
    wrong = [f"octets that are not {charset[:40]}"]
    try:
        text = octets.decode(codec)
    except (UnicodeError, ValueError):
        return octets.decode(_LARGER.get(codec, codec), "replace"), wrong
    if codec == "iso8859-1" and _C1.search(text):
        return octets.decode("cp1252", "replace"), wrong
    return text, []


def _guess(octets: bytes) -> str:
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("cp1252", "replace")

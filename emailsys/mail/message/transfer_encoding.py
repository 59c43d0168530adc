"""Decoding of transfer encodings. Faults are reported, never raised."""

from __future__ import annotations

import binascii
import re
from typing import Final

from emailsys.mail.message.yenc import from_yenc
from emailsys.mail.quantities import counted

_WHITE: Final = b" \t\r\n\x0b\x0c"
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_NOT_BASE64: Final = bytes(octet for octet in range(256) if octet not in _BASE64)
_BAD_ESCAPE: Final = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*(?:\r?\n|\Z))")
# RFC 2045 §6.7 (3): blanks at the end of a line, also after the "=" of a soft line break, were added in transit.
_ADDED: Final = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n|\Z)")
_UU_BEGIN: Final = re.compile(rb"^begin [0-7]{3,4} [^\r\n]*\r?\n", re.M)

_BASE64_LINE: Final = re.compile(rb"^([A-Za-z0-9+/]{2,}+={0,2})[ \t]*+\r?$", re.M)
# The line below the last full one.
_LAST_LINE: Final = re.compile(rb"\n([A-Za-z0-9+/]++={0,2})[ \t]*+\r?(?=\n|\Z)")
_LONG_RUN: Final = re.compile(rb"[A-Za-z0-9+/]{40,}")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
# Texts of base64 in one body, each with its padding. Some programs pad each line.
_MAX_JOINED: Final = 100_000
# Octets of a body whose lines tell whether it is plain text.
_JUDGED: Final = 500_000
_IS_WORDS: Final = re.compile(rb"[^A-Za-z0-9+/= \t\r\n]|[A-Za-z0-9][ \t]+[A-Za-z0-9]")

IDENTITY: Final = frozenset({"7bit", "8bit", "binary"})
# What strangers call an encoding, without its signs.
_MEANT: Final = {
    "quotedprintable": "quoted-printable",
    "base64": "base64",
    **dict.fromkeys(("7bit", "7bits"), "7bit"),
    **dict.fromkeys(("8bit", "8bits"), "8bit"),
    "binary": "binary",
}
_SIGNS: Final = re.compile(r"[^a-z0-9]")
_YENC: Final = frozenset({"x-yenc", "yenc"})
_UUENCODE: Final = frozenset({"x-uuencode", "uuencode", "x-uue"})


def split_base64(raw: bytes) -> tuple[bytes, bytes]:
    """Return the base64 in a body, and the text that a mailing list has added below it, b"" if there is none.

    Such text follows the last line of base64 that is as long as the first, and a shorter line. Most of its lines are no
    base64. It has words: a line with a sign that base64 lacks, or with blanks. After padding, a single word is enough.
    """
    first = _BASE64_LINE.search(raw)
    if first is None:
        return raw, b""
    end = _last_full_line(raw, first.end(), len(first[1]))
    is_padded = first[1].endswith(b"=")
    last = None if is_padded else _LAST_LINE.match(raw, end)
    if last is not None and len(last[1]) % 4 == 0:
        end = last.end()
        is_padded = last[1].endswith(b"=")
    rest = raw[end:].strip()
    if not rest or not (is_padded or _IS_WORDS.search(rest)):
        return raw, b""
    lines = [line.strip() for line in rest.split(b"\n") if not line.isspace()]
    is_base64 = [len(line) % 4 == 0 and _BASE64_LINE.fullmatch(line) is not None for line in lines]
    return (raw[:end], rest) if sum(is_base64) * 2 < len(lines) else (raw, b"")


def _last_full_line(raw: bytes, first_end: int, width: int) -> int:
    """Return the end of the last line of base64 that has `width` characters, without its line end."""
    end = len(raw)
    while end > first_end:
        begin = raw.rfind(b"\n", 0, end) + 1
        line = raw[begin:end].strip()
        if len(line) == width and _BASE64_LINE.fullmatch(line):
            return end
        end = begin - 1
    return first_end


def _is_text(octets: bytes) -> bool:
    """Whether octets are text in UTF-8 without control characters."""
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return _CONTROL.search(octets) is None


def is_unencoded(raw: bytes, decoded: bytes) -> bool:
    """Whether the body of a text that is declared as base64 is plain text instead, since its encoding was forgotten.

    Then most of its lines have words, most of it is no long run of base64, and its octets decode to no text.
    """
    lines = [line.lstrip(b"> \t") for line in raw[:_JUDGED].splitlines() if line.strip()]
    if sum(_IS_WORDS.search(line.rstrip()) is not None for line in lines) * 2 <= len(lines):
        return False
    in_runs = sum(map(len, _LONG_RUN.findall(raw)))
    return in_runs * 2 < len(raw) and _is_text(raw) and not _is_text(decoded)


def _from_base64(raw: bytes) -> tuple[bytes, list[str]]:
    defects: list[str] = []
    raw, text = split_base64(raw)
    if text:
        defects.append("text after the end of the base64")
    digits = raw.translate(None, _WHITE)
    cleaned = digits.translate(None, _NOT_BASE64)
    if len(cleaned) != len(digits):
        defects.append(f"{counted(len(digits) - len(cleaned), 'octet')} outside the base64 alphabet")
    whole = cleaned.rstrip(b"=")
    padding = len(cleaned) - len(whole)
    # Padding in the middle: several base64 texts were joined.
    pieces = [piece for piece in whole.split(b"=") if piece]
    if len(pieces) > 1:
        defects.append("base64 continues after its padding")
        if len(pieces) > _MAX_JOINED:
            defects.append(f"base64 is padded more than {_MAX_JOINED:,} times: the rest is read without padding")
            pieces[_MAX_JOINED:] = [b"".join(pieces[_MAX_JOINED:])]
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
    malformed = 0
    lines = iter(raw[begin.end() :].splitlines())
    for line in lines:
        if line.strip() == b"end":
            is_more = raw[: begin.start()].strip() or any(map(bytes.strip, lines))
            defects = ["text around the uuencoded data is not shown"] if is_more else []
            break
        octets, is_right = _uuencoded_line(line)
        decoded.append(octets)
        malformed += not is_right
    else:
        defects = ["uuencoded part without its end line"]
    if malformed:
        defects.insert(0, f"uuencoded part with {counted(malformed, 'malformed line')}")
    return b"".join(decoded), defects


def _uuencoded_line(line: bytes) -> tuple[bytes, bool]:
    """Decode a line of uuencoded data. Returns its octets, b"" if it has none, and whether it is well-formed."""
    try:
        return binascii.a2b_uu(line), True
    except binascii.Error:
        # Some encoders add a check character, or pad the last line.
        characters = (((line[0] - 32) & 63) * 4 + 5) // 3
        try:
            return binascii.a2b_uu(line[:characters]), False
        except binascii.Error:
            return b"", False


def meant_encoding(encoding: str) -> str:
    """Return the encoding that a nearly right name means, such as "8-bit" or "quoted_printable"; else the name."""
    return _MEANT.get(_SIGNS.sub("", encoding), encoding)


def decode_transfer(raw: bytes, encoding: str) -> tuple[bytes, list[str]]:
    """Decode a Content-Transfer-Encoding (RFC 2045 §6). Returns the octets and the defects.

    @param encoding: in lower case. An unknown encoding leaves the octets unchanged.
    """
    if encoding == "base64":
        return _from_base64(raw)
    if encoding == "quoted-printable":
        bad = len(_BAD_ESCAPE.findall(raw))
        return binascii.a2b_qp(_ADDED.sub(b"", raw)), [
            f"{counted(bad, 'malformed escape')} in quoted-printable"
        ] if bad else []
    if encoding in _UUENCODE:
        return _from_uuencode(raw)
    if encoding in _YENC:
        return from_yenc(raw)
    if encoding in IDENTITY:
        return raw, []
    return raw, [f"unknown transfer encoding {encoding[:40]!r}"]

"""Transfer encoding by content: 7bit if it is safe, or else the shorter of quoted-printable and base64."""

from __future__ import annotations

import binascii
import re
from typing import Final

_LONGEST: Final = 78
_ANY_LONGER: Final = re.compile(rb"[^\r\n]{%d}" % (_LONGEST + 1))
# RFC 5322 §2.1.1, RFC 5321 §4.5.3.1.6.
_TOO_LONG: Final = re.compile(rb"[^\r\n]{999}")
# Programs that keep mail in mbox files change lines that begin with "From ".
# RFC 3156 §5: blanks at a line end may get lost, which breaks a signature.
_BLANK_END: Final = re.compile(rb"[ \t]\r\n")
_FROM: Final = re.compile(rb"^From ", re.M)
_BARE: Final = re.compile(rb"\r(?!\n)|(?<!\r)\n|\x00")
_BASE64_LINE: Final = 57


def _base64(octets: bytes) -> bytes:
    lines = [
        binascii.b2a_base64(octets[at : at + _BASE64_LINE], newline=False) for at in range(0, len(octets), _BASE64_LINE)
    ]
    return b"".join(line + b"\r\n" for line in lines)


def _shorter(printable: bytes, octets: bytes) -> tuple[str, bytes]:
    if len(printable) <= (len(octets) + 2) // 3 * 4 * 78 // 76 + 2:
        return "quoted-printable", printable
    return "base64", _base64(octets)


def with_crlf(text: str) -> str:
    """Convert line ends to CRLF. Text that is not empty gets one at its end."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text and not text.endswith("\n"):
        text += "\n"
    return text.replace("\n", "\r\n")


def encode_text(text: str, for_signature: bool = False) -> tuple[str, bytes]:
    """Encode text in UTF-8. Return the name of the encoding, and the body with CRLF lines.

    @param for_signature: encode blanks at line ends, too.
    """
    octets = with_crlf(text).encode("utf-8", "replace")
    is_plain = octets.isascii() and b"\x00" not in octets and not (for_signature and _BLANK_END.search(octets))
    if is_plain and not _ANY_LONGER.search(octets) and not _FROM.search(octets):
        return "7bit", octets
    # istext=True encodes line by line: no line end is encoded, and no soft line break is superfluous.
    printable = binascii.b2a_qp(octets.replace(b"\r\n", b"\n"), istext=True).replace(b"\n", b"\r\n")
    return _shorter(_FROM.sub(b"=46rom ", printable), octets)


def encode_file(octets: bytes, content_type: str) -> tuple[str, bytes]:
    """Encode a file so that decoding gives the same octets. Text stays readable, with its line ends encoded."""
    if content_type.startswith("text/"):
        printable = binascii.b2a_qp(octets, istext=False).replace(b"\n", b"\r\n")
        return _shorter(_FROM.sub(b"=46rom ", printable), octets)
    return "base64", _base64(octets)


def encode_message(octets: bytes) -> tuple[str, bytes] | None:
    """Return the encoding and body of an embedded message, which must stay unencoded (RFC 2046 §5.2.1).

    Returns None if the message has bare CR or LF, NUL, or a line over 998 octets, and cannot be sent unencoded.
    """
    octets = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    if _BARE.search(octets) or _TOO_LONG.search(octets):
        return None
    return ("7bit" if octets.isascii() else "8bit"), octets

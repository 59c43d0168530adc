"""Lenient reader of PEM files: finds the blocks wherever they begin and writes them in the strict form.

OpenSSL requires each BEGIN and END at the start of its own line, and skips what it does not recognise. A chain whose
second BEGIN follows a space would be served without its intermediate certificate.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

_BLOCK: Final = re.compile(rb"-----\s*BEGIN ([A-Z0-9 ]+?)\s*-----(.*?)-----\s*END \1\s*-----", re.DOTALL)
# RFC 7468 §2: lines of 64 characters.
_LINE: Final = 64
_UTF16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def blocks(octets: bytes, label_end: bytes) -> list[bytes]:
    """Return the blocks whose label ends with these words, in the strict form of RFC 7468.

    Text around the blocks, byte order marks, UTF-16, indentation, missing line ends and "\\n" as two characters are
    accepted. The content of a block is not checked.

    @param label_end: such as b"CERTIFICATE", which also finds "X509 CERTIFICATE".
    """
    if octets.startswith(_UTF16):
        octets = octets.decode("utf-16", "replace").encode("utf-8")
    octets = octets.replace(rb"\r", b"").replace(rb"\n", b"\n")
    return [_strict(label, body) for label, body in _BLOCK.findall(octets) if label.endswith(label_end)]


def _strict(label: bytes, body: bytes) -> bytes:
    if b":" in body:
        # RFC 1421 §4.6: the header of an encrypted key, which has lines of its own.
        lines = [line.strip() for line in body.strip().splitlines()]
    else:
        text = b"".join(body.split())
        lines = [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
    return b"\n".join((b"-----BEGIN %b-----" % label, *lines, b"-----END %b-----" % label, b""))

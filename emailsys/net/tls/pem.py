"""Lenient reader of PEM files: finds the blocks wherever they begin and writes them in the strict form.

OpenSSL requires each BEGIN and END at the start of its own line, and skips what it does not recognise. A chain whose
second BEGIN follows a space would be served without its intermediate certificate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_MARK: Final = re.compile(rb"-----\s*(BEGIN|END) +([A-Z0-9]+(?: +[A-Z0-9]+)*)\s*-----")
# RFC 7468 §2: lines of 64 characters.
_LINE: Final = 64


def blocks(octets: bytes, label_end: bytes) -> list[bytes]:
    """Return the blocks whose label ends with these words, in the strict form of RFC 7468.

    Text around the blocks, byte order marks, UTF-16, UTF-32, indentation, missing line ends and "\\n" as two characters
    are accepted. The content of a block is not checked.

    @param label_end: such as b"CERTIFICATE", which also finds "X509 CERTIFICATE".
    """
    # PEM is ASCII, so UTF-16 and UTF-32 of either order become ASCII without their NUL octets.
    octets = octets.replace(b"\0", b"")
    octets = octets.replace(rb"\r", b"").replace(rb"\n", b"\n")
    found: list[bytes] = []
    after = 0
    for label, start, end in _pairs(octets):
        # A BEGIN within a block is part of its content, which is then damaged.
        if start >= after:
            after = end.end()
            if label.endswith(label_end):
                found.append(_strict(label, octets[start : end.start()]))
    return found


def _pairs(octets: bytes) -> Iterator[tuple[bytes, int, re.Match[bytes]]]:
    """Return each BEGIN that has an END with the same label behind it: label, start of the content, the nearest END.

    The time is proportional to the size, even if no BEGIN has an END.
    """
    nearest: dict[bytes, re.Match[bytes]] = {}
    pairs: list[tuple[bytes, int, re.Match[bytes]]] = []
    for mark in reversed(list(_MARK.finditer(octets))):
        label = b" ".join(mark[2].split())
        if mark[1] == b"END":
            nearest[label] = mark
        elif label in nearest:
            pairs.append((label, mark.end(), nearest[label]))
    return reversed(pairs)


def _strict(label: bytes, body: bytes) -> bytes:
    if b":" in body:
        # RFC 1421 §4.6: the header of an encrypted key, which has lines of its own.
        lines = [line.strip() for line in body.strip().splitlines()]
    else:
        text = b"".join(body.split())
        lines = [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
    return b"\n".join((b"-----BEGIN %b-----" % label, *lines, b"-----END %b-----" % label, b""))

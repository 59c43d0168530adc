"""Messages that can be told apart: an ident in the header, random lines in the body, some that begin with dots."""

from __future__ import annotations

import random
import re
from typing import Final

from tests.live.programs.daemon import DOMAIN

_FIELD: Final = b"X-Crash: "
_IDENT: Final = re.compile(rb"^X-Crash: (\S+)\r$", re.MULTILINE)
# Octets of a line, its CRLF included.
_LINE: Final = 72
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,"


def _lines(count: int) -> bytes:
    chance = random.Random(1)
    rows = []
    for number in range(count):
        row = "".join(chance.choices(_LETTERS, k=_LINE - 2))
        rows.append("." * (number % 4) + row[number % 4 :] if number % 7 == 0 else row)
    return ("\r\n".join(rows) + "\r\n").encode()


_POOL: Final = _lines(4096)


def make_text(ident: str, octets: int, chance: random.Random) -> bytes:
    """Make a message of about that many octets."""
    head = (
        f"X-Crash: {ident}\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\nFrom: a <a@{DOMAIN}>\r\n"
        f"Message-ID: <{ident}@client.{DOMAIN}>\r\nSubject: {ident}\r\n\r\n"
    ).encode()
    lines = max(1, (octets - len(head)) // _LINE)
    start = chance.randrange(len(_POOL) // _LINE)
    text = _POOL[start * _LINE : (start + lines) * _LINE]
    while len(text) < lines * _LINE:
        text += _POOL[: lines * _LINE - len(text)]
    return head + text


def find_ident(text: bytes) -> str | None:
    """The ident of a message that was fetched or relayed."""
    found = _IDENT.search(text[:8192])
    return None if found is None else found[1].decode()


def from_ident(text: bytes) -> bytes:
    """What the client sent: the message from the ident on, without the fields that servers put before it."""
    start = text.find(_FIELD)
    return text if start < 0 else text[start:]

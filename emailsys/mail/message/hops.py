"""Hops of a message: what its Received fields tell of the hosts that it went through. Nothing of it is proved."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from emailsys.mail.message.dates import parse_date

# Characters of a field that are read, and characters of one name.
_LONGEST: Final = 2_000
_LONGEST_NAME: Final = 255
_COMMENT: Final = re.compile(r"\([^()]*\)")
# RFC 5321 §4.4: clauses in any order, each a word and its value.
_CLAUSE: Final = re.compile(r"(?:^|\s)(from|by|via|with|id|for)\s+([^\s;]+)", re.I)


@dataclass(frozen=True, slots=True)
class Hop:
    """One host that took the message. Texts are the sender's or those of a host in between; "" if not told.

    `protocol` is a transmission type of RFC 3848, such as ESMTPS. `at` is in UTC, None if the date is malformed.
    """

    source: str
    host: str
    protocol: str
    id: str
    at: datetime | None

    @property
    def is_encrypted(self) -> bool:
        """Whether the host says that the message came over TLS (RFC 3848 §1)."""
        return self.protocol.upper() in {"ESMTPS", "ESMTPSA", "LMTPS", "LMTPSA", "UTF8SMTPS", "UTF8SMTPSA"}


def hops(received: Iterable[str]) -> list[Hop]:
    """Reads the Received fields of a message, in their order in the header. Returns the hops in the order of time."""
    return [_hop(text) for text in received][::-1]


def _hop(field: str) -> Hop:
    text, semicolon, date = field[:_LONGEST].rpartition(";")
    if not semicolon:
        text, date = date, ""
    bare, previous = text, ""
    # Comments may stand within comments.
    while bare != previous:
        previous, bare = bare, _COMMENT.sub(" ", bare)
    found: dict[str, str] = {}
    for word, value in _CLAUSE.findall(bare):
        found.setdefault(word.lower(), value[:_LONGEST_NAME])
    return Hop(
        found.get("from", ""), found.get("by", ""), found.get("with", ""), found.get("id", ""), parse_date(date.strip())
    )

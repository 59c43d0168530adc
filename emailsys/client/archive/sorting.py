"""Sorting of message lists: by date, sender, subject or size."""

from __future__ import annotations

import enum
import re
import sqlite3
from typing import Final

from emailsys.client.archive.values import DRAFTS, OUTBOX, SENT

# Answers and forwards are sorted with their first message. "[list]" is part of a subject.
_PREFIX: Final = re.compile(r"(?:(?:re|fwd?|aw|wg|antw|sv|vs|rv|tr)(?:\[\d+\])?\s*:\s*)+", re.IGNORECASE)
# Characters before a name that do not count.
_QUOTES: Final = "\"'<( "


class SortBy(enum.StrEnum):
    """The columns that a list can be sorted by."""

    DATE = "date"
    SENDER = "from"
    SUBJECT = "subject"
    SIZE = "size"

    @property
    def begins_small(self) -> bool:
        """Whether lists usually begin with the smallest value: names from A to Z, but the newest and largest first."""
        return self in (SortBy.SENDER, SortBy.SUBJECT)


#: The SQL expression of each value, on m (messages) and f (folders).
VALUES: Final = {
    SortBy.DATE: "m.id",
    # Where lists show the recipient, they are sorted by it.
    SortBy.SENDER: f"""sort_name(CASE WHEN f.name IN ('{SENT}', '{DRAFTS}', '{OUTBOX}')
        THEN m.recipients ELSE m.sender END)""",
    SortBy.SUBJECT: "sort_subject(m.subject)",
    SortBy.SIZE: "m.octets",
}


def add_sort_functions(connection: sqlite3.Connection) -> None:
    """Define the SQL functions by which names and subjects are sorted."""
    connection.create_function("sort_name", 1, _sort_name, deterministic=True)
    connection.create_function("sort_subject", 1, _sort_subject, deterministic=True)


def _sort_name(text: str) -> str:
    return text.lstrip(_QUOTES).casefold()


def _sort_subject(text: str) -> str:
    found = _PREFIX.match(text)
    return (text[found.end() :] if found else text).casefold().strip()

"""The words of messages in the index: entered for search, many messages by one statement, and taken out again."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Sequence
from typing import Final

from emailsys.client.archive.index_entry import Facts

# Of each message the number, then begin and length of each text in `texts`.
_ENTER: Final = """INSERT INTO words (rowid, subject, sender, recipients, body, attachments)
SELECT json_extract(value, '$[0]'),
    CAST(substr(:texts, json_extract(value, '$[1]'), json_extract(value, '$[2]')) AS TEXT),
    CAST(substr(:texts, json_extract(value, '$[3]'), json_extract(value, '$[4]')) AS TEXT),
    CAST(substr(:texts, json_extract(value, '$[5]'), json_extract(value, '$[6]')) AS TEXT),
    CAST(substr(:texts, json_extract(value, '$[7]'), json_extract(value, '$[8]')) AS TEXT),
    CAST(substr(:texts, json_extract(value, '$[9]'), json_extract(value, '$[10]')) AS TEXT)
FROM json_each(:places)"""


def _texts(facts: Facts) -> tuple[str, str, str, str, str]:
    """In the order of the table's columns."""
    return (
        facts.subject_words,
        facts.sender_words,
        facts.recipient_words,
        facts.body_words,
        facts.attachment_words,
    )


def checksum(facts: Facts) -> int:
    """What tells whether a message's words are those that were entered, 32 bits."""
    return zlib.crc32("\0".join(_texts(facts)).encode())


def forget_words(connection: sqlite3.Connection, number: int, facts: Facts) -> None:
    """Take the words of a message out again. They have to be exactly those that were entered: see `checksum`."""
    connection.execute(
        """INSERT INTO words (words, rowid, subject, sender, recipients, body, attachments)
        VALUES ('delete', ?, ?, ?, ?, ?, ?)""",
        (number, *_texts(facts)),
    )


def enter_words(connection: sqlite3.Connection, messages: Sequence[tuple[int, Facts]]) -> None:
    """Enter the words of messages, by number.

    By one statement, which other threads need not wait for: all texts go in as one, with the positions of each.
    """
    pieces: list[bytes] = []
    rows: list[list[int]] = []
    # SQL counts from 1.
    at = 1
    for number, facts in messages:
        row = [number]
        for text in _texts(facts):
            octets = text.encode()
            pieces.append(octets)
            row += (at, len(octets))
            at += len(octets)
        rows.append(row)
    connection.execute(_ENTER, {"places": json.dumps(rows), "texts": b"".join(pieces)})

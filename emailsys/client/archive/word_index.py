"""Full-text index of messages: adds the words of a batch with one statement, and removes them again."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Sequence
from typing import Final

from emailsys.client.archive.index_entry import IndexFields

#: The table. It keeps neither texts nor their sizes. Indexes of prefixes would make it three times as large.
WORDS: Final = """CREATE VIRTUAL TABLE words USING fts5(subject, sender, recipients, body, attachments, content='',
    columnsize=0, tokenize="unicode61 remove_diacritics 2")"""

# `places`: for each message its number, then the position and length of each text in `texts`.
_INSERT: Final = """INSERT INTO words (rowid, subject, sender, recipients, body, attachments)
SELECT json_extract(value, '$[0]'),
    CAST(substr(:texts, json_extract(value, '$[1]'), json_extract(value, '$[2]')) AS TEXT),
    CAST(substr(:texts, json_extract(value, '$[3]'), json_extract(value, '$[4]')) AS TEXT),
    CAST(substr(:texts, json_extract(value, '$[5]'), json_extract(value, '$[6]')) AS TEXT),
    CAST(substr(:texts, json_extract(value, '$[7]'), json_extract(value, '$[8]')) AS TEXT),
    CAST(substr(:texts, json_extract(value, '$[9]'), json_extract(value, '$[10]')) AS TEXT)
FROM json_each(:places)"""


def _texts(fields: IndexFields) -> tuple[str, str, str, str, str]:
    """Return the texts in the order of the table's columns."""
    return (
        fields.subject_words,
        fields.sender_words,
        fields.recipient_words,
        fields.body_words,
        fields.attachment_words,
    )


def checksum(fields: IndexFields) -> int:
    """Return a 32-bit checksum of the words, which shows whether they are the indexed ones."""
    return zlib.crc32("\0".join(_texts(fields)).encode())


def remove_words(connection: sqlite3.Connection, number: int, fields: IndexFields) -> None:
    """Remove the words of a message. They must be exactly the indexed ones: see `checksum`."""
    connection.execute(
        """INSERT INTO words (words, rowid, subject, sender, recipients, body, attachments)
        VALUES ('delete', ?, ?, ?, ?, ?, ?)""",
        (number, *_texts(fields)),
    )


def add_words(connection: sqlite3.Connection, messages: Sequence[tuple[int, IndexFields]]) -> None:
    """Index the words of messages, by number.

    One statement takes all texts as one string with positions, so that other threads run meanwhile.
    """
    pieces: list[bytes] = []
    rows: list[list[int]] = []
    # SQL counts from 1.
    at = 1
    for number, fields in messages:
        row = [number]
        for text in _texts(fields):
            octets = text.encode()
            pieces.append(octets)
            row += (at, len(octets))
            at += len(octets)
        rows.append(row)
    connection.execute(_INSERT, {"places": json.dumps(rows), "texts": b"".join(pieces)})

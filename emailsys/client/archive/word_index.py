"""Full-text index of messages: adds the words of a batch with one statement, and removes them again."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Sequence
from typing import Final

from emailsys.client.archive.index_entry import IndexFields

_TOKENIZER: Final = 'tokenize="unicode61 remove_diacritics 2"'
#: The tables: `words` has fields and positions. `prefixes` only knows which words are in a message, so that its indexes
#: of prefixes are small; with positions, they would be as large as the rest. Neither table keeps texts or their sizes.
WORDS: Final = f"""CREATE VIRTUAL TABLE words USING fts5(subject, sender, recipients, body, attachments, content='',
    columnsize=0, {_TOKENIZER});
CREATE VIRTUAL TABLE prefixes USING fts5(everything, content='', columnsize=0, detail=none, prefix='2 3',
    {_TOKENIZER})"""
#: Letters of the longest prefix that `prefixes` has an index for. Few words begin with the same longer prefix.
LONGEST_PREFIX: Final = 3

# `places`: for each message its number, then the position and length of each text in `texts`, then those of all.
_INSERT: Final = """INSERT INTO words (rowid, subject, sender, recipients, body, attachments)
SELECT json_extract(value, '$[0]'),
    CAST(substr(:texts, json_extract(value, '$[1]'), json_extract(value, '$[2]')) AS TEXT),
    CAST(substr(:texts, json_extract(value, '$[3]'), json_extract(value, '$[4]')) AS TEXT),
    CAST(substr(:texts, json_extract(value, '$[5]'), json_extract(value, '$[6]')) AS TEXT),
    CAST(substr(:texts, json_extract(value, '$[7]'), json_extract(value, '$[8]')) AS TEXT),
    CAST(substr(:texts, json_extract(value, '$[9]'), json_extract(value, '$[10]')) AS TEXT)
FROM json_each(:places)"""
_INSERT_PREFIXES: Final = """INSERT INTO prefixes (rowid, everything)
SELECT json_extract(value, '$[0]'),
    CAST(substr(:texts, json_extract(value, '$[11]'), json_extract(value, '$[12]')) AS TEXT)
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
    connection.execute(
        "INSERT INTO prefixes (prefixes, rowid, everything) VALUES ('delete', ?, ?)",
        (number, "\n".join(_texts(fields))),
    )


def add_words(connection: sqlite3.Connection, messages: Sequence[tuple[int, IndexFields]]) -> None:
    """Index the words of messages, by number.

    A statement takes all texts as one string with positions, so that other threads run meanwhile.
    """
    pieces: list[bytes] = []
    rows: list[list[int]] = []
    # SQL counts from 1.
    at = 1
    for number, fields in messages:
        row = [number]
        begin = at
        for text in _texts(fields):
            octets = text.encode()
            pieces.append(octets)
            row += (at, len(octets))
            at += len(octets) + 1
        rows.append([*row, begin, at - begin])
    values = {"places": json.dumps(rows), "texts": b"\n".join(pieces)}
    connection.execute(_INSERT, values)
    connection.execute(_INSERT_PREFIXES, values)


def optimize_words(connection: sqlite3.Connection) -> None:
    """Merge the parts of the tables, after all messages were added."""
    connection.execute("INSERT INTO words (words) VALUES ('optimize')")
    connection.execute("INSERT INTO prefixes (prefixes) VALUES ('optimize')")

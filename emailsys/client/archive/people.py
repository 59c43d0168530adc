"""Address book for completion: the people the user wrote to, and the people who wrote to the user."""

from __future__ import annotations

import re
import sqlite3
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from emailsys.client.archive.index_entry import IndexFields, one_line
from emailsys.client.archive.values import DRAFTS, OUTBOX, SENT, TRASH, Folder
from emailsys.mail.address import AddressSyntaxError, parse_foreign
from emailsys.mail.message.mailboxes import Mailbox

#: `words` are the texts that can be typed, each after a space. `written` is the number of messages sent there. `last`
#: is the moment of the latest message in either direction, in seconds since 1970.
TABLE: Final = """CREATE TABLE people (id TEXT PRIMARY KEY, address TEXT NOT NULL, name TEXT NOT NULL,
    words TEXT NOT NULL, written INTEGER NOT NULL, last INTEGER NOT NULL) WITHOUT ROWID"""
_NAME: Final = 200
_WORD: Final = re.compile(r"[^\W_]+")
# Separators of addresses in a field: they are not part of a name.
_AROUND: Final = re.compile(r"[\s\"<>(),;]+")


def _folded(text: str) -> str:
    """Fold text for comparison: remove case and accents."""
    if text.isascii():
        return text.lower()
    return "".join(one for one in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(one))


def _words(mailbox: Mailbox, name: str) -> str:
    local, domain = _folded(mailbox.address.local), _folded(mailbox.address.domain)
    words = [*_WORD.findall(_folded(name)), f"{local}@{domain}", *_WORD.findall(local)[1:], f"@{domain}", domain]
    return "".join(f" {word}" for word in words)


def note(connection: sqlite3.Connection, kept: Iterable[tuple[Folder, IndexFields]]) -> None:
    """Count the people of new messages: the recipients of sent messages, the senders of all others.

    Drafts are skipped because their addresses may be incomplete. Messages in Trash are skipped in a rebuild.
    """
    found: dict[str, tuple[Mailbox, int, int]] = {}
    for folder, fields in kept:
        if folder.name in (DRAFTS, TRASH):
            continue
        is_own = folder.name in (SENT, OUTBOX)
        moment = int(fields.date.timestamp())
        for mailbox in fields.recipient_mailboxes if is_own else fields.sender_mailboxes:
            key = "@".join(mailbox.address.key)
            known, written, last = found.get(key, (mailbox, 0, moment))
            newer = mailbox if mailbox.name and (moment >= last or not known.name) else known
            found[key] = newer, written + is_own, max(moment, last)
    rows = []
    for key, (mailbox, written, last) in found.items():
        name = one_line(mailbox.name, _NAME)
        rows.append((key, str(mailbox.address), name, _words(mailbox, name), written, last))
    connection.executemany(
        """INSERT INTO people VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
        name = iif(excluded.name != '' AND (excluded.last >= last OR name = ''), excluded.name, name),
        words = iif(excluded.name != '' AND (excluded.last >= last OR name = ''), excluded.words, words),
        written = written + excluded.written, last = max(last, excluded.last)""",
        rows,
    )


def find(connection: sqlite3.Connection, typed: str, limit: int) -> list[Mailbox]:
    """Find people whose name or address has words that start with each typed word.

    The people the user wrote to most come first, then the most recent. Empty text finds nothing.
    """
    words = [word for word in _AROUND.split(_folded(typed)) if word]
    if not words:
        return []
    conditions = " AND ".join("instr(words, ?)" for _ in words)
    rows = connection.execute(
        f"SELECT name, address FROM people WHERE {conditions} ORDER BY written DESC, last DESC LIMIT ?",  # noqa: S608
        (*(f" {word}" for word in words), limit),
    )
    found = []
    for name, address in rows:
        try:
            found.append(Mailbox(name, parse_foreign(address)))
        except AddressSyntaxError:
            continue
    return found


def find_in_file(index: Path, typed: str, limit: int) -> Sequence[Mailbox]:
    """Find people in an index file that other processes may have open. Never writes, waits 0.1 s at most.

    @raise sqlite3.Error: there is no index of this version.
    """
    with closing(sqlite3.connect(f"{index.absolute().as_uri()}?mode=ro", uri=True, timeout=0.1)) as connection:
        return find(connection, typed, limit)

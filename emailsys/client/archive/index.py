"""Index of the local store: one SQLite file that can be deleted and rebuilt at any time."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from emailsys.client.archive import people
from emailsys.client.archive.conversations import Conversations
from emailsys.client.archive.index_entry import IndexFields
from emailsys.client.archive.marks import Marks
from emailsys.client.archive.message_numbers import new_numbers
from emailsys.client.archive.message_rows import INSERT, SUMMARY, MessageRow, summary
from emailsys.client.archive.sorting import add_sort_functions
from emailsys.client.archive.trees import ancestors
from emailsys.client.archive.values import ArchiveError, ArchiveFull, Flag, Folder, Summary
from emailsys.client.archive.word_index import WORDS, add_words, checksum, remove_words

# Increment it to rebuild every index when it is next opened.
_VERSION: Final = 8
# Seconds to wait for another process's transaction.
_BUSY: Final = 30.0
# In KiB, for each connection. The word index writes faster with more; the full screen reads with several connections.
_READ_CACHE: Final = 8192
_WRITE_CACHE: Final = 32768
# SQLite's error codes of a full disk, for the file, for its log, and for the memory that the processes share.
_NO_SPACE: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)

_TABLES: Final = f"""
{people.TABLE};
CREATE TABLE folders (folder INTEGER PRIMARY KEY, account TEXT NOT NULL, name TEXT NOT NULL, seen INTEGER NOT NULL,
    UNIQUE (account, name));
CREATE TABLE messages (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, folder INTEGER NOT NULL, name TEXT NOT NULL,
    octets INTEGER NOT NULL, arrived INTEGER NOT NULL, subject TEXT NOT NULL, sender TEXT NOT NULL,
    recipients TEXT NOT NULL, preview TEXT NOT NULL, attachments INTEGER NOT NULL, flags INTEGER NOT NULL,
    message_id TEXT NOT NULL, thread INTEGER NOT NULL, checksum INTEGER NOT NULL, unverified INTEGER NOT NULL,
    date INTEGER NOT NULL, ancestors TEXT NOT NULL);
CREATE INDEX messages_folder ON messages (folder, id);
CREATE INDEX messages_unread ON messages (folder, id) WHERE flags & 1 = 0;
CREATE INDEX messages_thread ON messages (thread);
CREATE INDEX messages_folder_thread ON messages (folder, thread);
CREATE INDEX messages_flagged ON messages (id) WHERE flags & 4 != 0;
CREATE INDEX messages_attachments ON messages (id) WHERE attachments > 0;
CREATE TABLE tags (tag TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (tag, key)) WITHOUT ROWID;
CREATE INDEX tags_key ON tags (key);
CREATE TABLE notes (key TEXT PRIMARY KEY, note TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE mentions (account TEXT NOT NULL, message_id TEXT NOT NULL, thread INTEGER NOT NULL,
    PRIMARY KEY (account, message_id)) WITHOUT ROWID;
CREATE TABLE journals (account TEXT PRIMARY KEY, octets INTEGER NOT NULL);
CREATE TABLE gone (id INTEGER PRIMARY KEY);
{WORDS};
"""
_NAMES: Final = ("folders", "messages", "tags", "notes", "mentions", "journals", "gone", "people", "words", "prefixes")

_FROM: Final = "FROM messages m JOIN folders f USING (folder)"


@dataclass(frozen=True, slots=True)
class Entry:
    """A message to index."""

    key: str
    folder: Folder
    name: str
    octets: int
    arrived: datetime
    fields: IndexFields
    marks: Marks


class _Connection(sqlite3.Connection):
    """A connection that is closed when nothing refers to it.

    A thread that runs a statement refers to it. Closing it in another thread would end the process (SIGSEGV).
    """

    def __del__(self) -> None:
        # SQLite raises this for a file that could not be opened.
        with suppress(sqlite3.ProgrammingError):
            self.close()


class Index:
    """The SQLite file, with one connection per thread. Callers that write hold the store's write lock."""

    def __init__(self, path: Path, reads_only: bool = False) -> None:
        """
        @param reads_only: open the file without any write, not even to the files beside it: the disk is full.
        @raise sqlite3.DatabaseError: the file is damaged.
        """
        self._path = path
        self.reads_only = reads_only
        self._threads = threading.local()
        # Never writes: SQLite counts the changes of other connections only.
        self._watching: sqlite3.Connection | None = None
        #: Whether the index is empty or of another version, and has to be rebuilt.
        self.is_new = self.connection.execute("PRAGMA user_version").fetchone()[0] != _VERSION

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection of the current thread."""
        connection: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if connection is None:
            connection = self._connect()
            add_sort_functions(connection)
            if not self.reads_only:
                connection.execute("PRAGMA journal_mode = WAL")
            # A power cut may lose commits, which the comparison with the files restores; the file stays valid.
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA cache_size = -{_READ_CACHE}")
            connection.execute("PRAGMA temp_store = MEMORY")
            # In pages of 4 KiB. A checkpoint waits for the disk and delays a fetch, so it should be rare.
            connection.execute("PRAGMA wal_autocheckpoint = 4000")
            self._threads.connection = connection
        return connection

    def _connect(self) -> sqlite3.Connection:
        place = self._path.absolute().as_uri()
        if self.reads_only:
            log = Path(f"{self._path}-wal")
            # Without a log, SQLite would make the files of one. With one, it reads it.
            place += "?mode=ro" if log.exists() and log.stat().st_size else "?immutable=1"
        return sqlite3.connect(
            place, timeout=_BUSY, isolation_level=None, check_same_thread=False, factory=_Connection, uri=True
        )

    def reopen(self) -> None:
        """End reading only. @raise sqlite3.Error: the disk is still full, and reading goes on."""
        self.close()
        self.reads_only = False
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            self.connection.execute("ROLLBACK")
        except sqlite3.Error:
            self.close()
            self.reads_only = True
            raise

    def close(self) -> None:
        """Close the connections of all threads: at once, or after the statement that a thread is running."""
        self._watching = None
        self._threads = threading.local()

    def shrink_log(self) -> None:
        """Write the log into the file, and empty it. After much was added, it is tens of megabytes long."""
        # It stays as it is while another program reads, and on a full disk.
        with suppress(sqlite3.Error):
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def version(self) -> int:
        """Return a number that changes when any thread or process changes the index, as long as this is open."""
        if self.reads_only:
            return 0
        watching = self._watching
        if watching is None:
            watching = self._watching = self._connect()
        number: int = watching.execute("PRAGMA data_version").fetchone()[0]
        return number

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a transaction: commit at the end, roll back after an exception."""
        connection = self.connection
        if not getattr(self._threads, "has_written", False):
            self._threads.has_written = True
            connection.execute(f"PRAGMA cache_size = -{_WRITE_CACHE}")
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def clear(self, connection: sqlite3.Connection) -> None:
        """Drop all tables and create them empty, within a transaction."""
        for name in _NAMES:
            connection.execute(f"DROP TABLE IF EXISTS {name}")
        for statement in _TABLES.split(";\n"):
            if statement.strip():
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {_VERSION}")

    def folder(self, connection: sqlite3.Connection, folder: Folder) -> int:
        """Return the number of a folder. Add the folder if it is new."""
        row = connection.execute(
            "SELECT folder FROM folders WHERE account = ? AND name = ?", (folder.account, folder.name)
        ).fetchone()
        if row is None:
            row = connection.execute(
                "INSERT INTO folders (account, name, seen) VALUES (?, ?, 0) RETURNING folder",
                (folder.account, folder.name),
            ).fetchone()
        return int(row[0])

    def insert(self, connection: sqlite3.Connection, entries: Sequence[Entry]) -> None:
        """Index messages with new keys, with a few statements for all of them."""
        folders = {folder: self.folder(connection, folder) for folder in {entry.folder for entry in entries}}
        # In order of number: FTS5 starts a new segment when a number is smaller than the previous one.
        numbers = new_numbers(connection, [(entry.fields.date, entry.key) for entry in entries])
        numbered = sorted(zip(numbers, entries, strict=True), key=lambda pair: pair[0])
        threads = _threads(connection, numbered)
        connection.executemany(
            INSERT,
            [
                MessageRow(
                    id=number,
                    key=entry.key,
                    folder=folders[entry.folder],
                    name=entry.name,
                    octets=entry.octets,
                    arrived=int(entry.arrived.timestamp()),
                    subject=entry.fields.subject,
                    sender=entry.fields.sender,
                    recipients=entry.fields.recipients,
                    preview=entry.fields.preview,
                    attachments=entry.fields.attachments,
                    flags=int(entry.marks.flags),
                    message_id=entry.fields.message_id,
                    thread=threads[number],
                    checksum=checksum(entry.fields),
                    unverified=entry.fields.unverified,
                    date=int(entry.fields.date.timestamp()),
                    ancestors=ancestors(entry.fields.references),
                )
                for number, entry in numbered
            ],
        )
        add_words(connection, [(number, entry.fields) for number, entry in numbered])
        _add_marks(connection, entries)
        people.note(connection, ((entry.folder, entry.fields) for entry in entries))

    def mark(self, connection: sqlite3.Connection, key: str, marks: Marks) -> None:
        """Replace the marks of a message."""
        connection.execute("UPDATE messages SET flags = ? WHERE key = ?", (int(marks.flags), key))
        connection.execute("DELETE FROM tags WHERE key = ?", (key,))
        connection.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?)", [(tag, key) for tag in marks.tags])
        if marks.note is None:
            connection.execute("DELETE FROM notes WHERE key = ?", (key,))
        else:
            connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (key, json.dumps(marks.note)))

    def remove(self, connection: sqlite3.Connection, key: str, fields: IndexFields | None) -> None:
        """Remove a message from the index.

        @param fields: None if its file is gone. Then its words stay in the search index, unreachable, until a rebuild.
        """
        row = connection.execute("DELETE FROM messages WHERE key = ? RETURNING id, checksum", (key,)).fetchone()
        if row is None:
            return
        if fields is not None and checksum(fields) == row[1]:
            remove_words(connection, row[0], fields)
        else:
            connection.execute("INSERT OR IGNORE INTO gone VALUES (?)", (row[0],))
        connection.execute("DELETE FROM tags WHERE key = ?", (key,))
        connection.execute("DELETE FROM notes WHERE key = ?", (key,))

    def relocate(self, connection: sqlite3.Connection, key: str, folder: Folder, name: str) -> None:
        """Change the folder and file name of a message."""
        number = self.folder(connection, folder)
        connection.execute("UPDATE messages SET folder = ?, name = ? WHERE key = ?", (number, name, key))

    # Reading

    def marks(self, keys: Sequence[str]) -> dict[str, Marks]:
        """Return the marks of messages by key, without unknown keys."""
        found: dict[str, Marks] = {}
        for key in keys:
            row = self.connection.execute(
                """SELECT flags, (SELECT group_concat(tag, char(31)) FROM tags t WHERE t.key = m.key),
                (SELECT note FROM notes n WHERE n.key = m.key) FROM messages m WHERE m.key = ?""",
                (key,),
            ).fetchone()
            if row is not None:
                tags = tuple(sorted(row[1].split("\x1f"))) if row[1] else ()
                found[key] = Marks(Flag(row[0]), tags, json.loads(row[2]) if row[2] else None)
        return found

    def location(self, key: str) -> tuple[Folder, str] | None:
        """Return folder and file name of a message, or None."""
        row = self.connection.execute(f"SELECT f.account, f.name, m.name {_FROM} WHERE m.key = ?", (key,)).fetchone()
        return None if row is None else (Folder(row[0], row[1]), row[2])

    def existing_keys(self, keys: Sequence[str]) -> set[str]:
        """Return the keys that are in the index."""
        rows = self.connection.execute(
            "SELECT key FROM messages WHERE key IN (SELECT value FROM json_each(?))", (json.dumps(keys),)
        )
        return {key for (key,) in rows}

    def locations(self, folder: Folder) -> dict[str, str]:
        """Return the file names in a folder, each with the key."""
        rows = self.connection.execute(
            f"SELECT m.name, m.key {_FROM} WHERE f.account = ? AND f.name = ?", (folder.account, folder.name)
        )
        return dict(rows.fetchall())

    def summaries(self, where: str, values: Sequence[Any], limit: int, oldest_first: bool = False) -> list[Summary]:
        """Select messages by an SQL condition on m (messages) and f (folders), newest first."""
        direction = "ASC" if oldest_first else "DESC"
        rows = self.connection.execute(
            f"SELECT {SUMMARY} {_FROM} WHERE {where} ORDER BY m.id {direction} LIMIT ?", (*values, limit)
        )
        return [summary(row) for row in rows]


def _add_marks(connection: sqlite3.Connection, entries: Sequence[Entry]) -> None:
    """Write tags and notes of new messages. The rows that older messages with these keys left are replaced."""
    marked = [entry for entry in entries if not entry.marks.is_empty]
    if not marked:
        return
    keys = json.dumps([entry.key for entry in marked])
    connection.execute("DELETE FROM tags WHERE key IN (SELECT value FROM json_each(?))", (keys,))
    connection.execute("DELETE FROM notes WHERE key IN (SELECT value FROM json_each(?))", (keys,))
    connection.executemany(
        "INSERT OR IGNORE INTO tags VALUES (?, ?)", [(tag, entry.key) for entry in marked for tag in entry.marks.tags]
    )
    connection.executemany(
        "INSERT INTO notes VALUES (?, ?)",
        [(entry.key, json.dumps(entry.marks.note)) for entry in marked if entry.marks.note is not None],
    )


def _threads(connection: sqlite3.Connection, numbered: Sequence[tuple[int, Entry]]) -> dict[int, int]:
    """Return the conversation of each new message, by number. Conversations that share a message are merged."""
    by_account: dict[str, list[tuple[int, list[str]]]] = {}
    for number, entry in numbered:
        ids = [one for one in (entry.fields.message_id, *entry.fields.references) if one]
        by_account.setdefault(entry.folder.account, []).append((number, ids))
    threads: dict[int, int] = {}
    for account, messages in by_account.items():
        conversations = Conversations(connection, account, {one for _, ids in messages for one in ids})
        for number, ids in messages:
            conversations.add(number, ids)
        conversations.write()
        threads |= {number: conversations.of(number, ids) for number, ids in messages}
    return threads


def open_index(path: Path) -> Index:
    """Open an index. A damaged file is renamed to `.damaged`, and a new index is returned."""
    try:
        index = Index(path)
        if not index.is_new:
            index.connection.execute("SELECT count(*) FROM folders, journals").fetchone()
        return index
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.replace(f"{path}{suffix}", f"{path}{suffix}.damaged")
        return Index(path)


@contextmanager
def translated_index_errors() -> Iterator[None]:
    """Translate SQLite's errors into ArchiveError."""
    try:
        yield
    except sqlite3.Error as refused:
        if getattr(refused, "sqlite_errorcode", None) in _NO_SPACE:
            raise ArchiveFull("the disk is full; nothing was lost, and nothing was added") from refused
        raise ArchiveError(
            f"the index of the local store: {refused} (the messages are safe; the index can be rebuilt)"
        ) from refused

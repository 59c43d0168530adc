"""Messages that this program fails to read: each failure is recorded once, and the message is indexed without it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

from emailsys.client.archive.files import file_name
from emailsys.client.archive.index_entry import Heading, IndexFields, heading_of, index_fields

if TYPE_CHECKING:
    from emailsys.client.archive.index import Entry, Index

#: The file below the local store that has the failures.
RECORD: Final = ".unreadable.log"
# Octets of that file. What comes after them is shown, but not recorded.
_MAX_OCTETS: Final = 1024 * 1024
_LOCK: Final = Lock()
# Errors of SQLite that concern a value. All others concern the index.
_VALUE_ERRORS: Final = (sqlite3.InterfaceError, sqlite3.ProgrammingError, sqlite3.DataError)


def record(root: Path, step: str, key: str, error: Exception) -> str:
    """Record that a step of reading a message raised an exception, once for each step. Return the defect's text.

    The entry has the places in the code, but neither values nor the text of the exception: they may quote the message.

    @param root: the folder of the local store.
    """
    import traceback

    path = root / RECORD
    kind = type(error).__name__
    title = f"{key} {step}: {kind}"
    frames = traceback.extract_tb(error.__traceback__)
    places = "".join(f"    {one.filename}:{one.lineno} {one.name}\n" for one in frames)
    try:
        with _LOCK:
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            with os.fdopen(os.open(path, flags, 0o600), "r+", encoding="utf-8", errors="replace") as file:
                before = file.read(_MAX_OCTETS)
                if f"{title}\n" not in before and len(before) < _MAX_OCTETS:
                    file.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {title}\n{places}")
    except OSError:
        return f"{step} failed with {kind}"
    return f"{step} failed with {kind}; please report it with the file {path}"


def readable_name(root: Path, key: str, octets: bytes, arrived: datetime) -> tuple[str, Heading | None]:
    """Return the file name of a new message, and the heading in it; None if reading it fails."""
    try:
        heading = heading_of(octets, arrived)
        return file_name(key, heading.date, heading.sender, heading.subject), heading
    except Exception as error:
        record(root, "reading the header", key, error)
        return file_name(key, arrived, "", "unreadable message"), None


def readable_fields(
    root: Path, key: str, octets: bytes, arrived: datetime, heading: Heading | None = None
) -> IndexFields:
    """Return what the index stores about a message; if reading it fails, the text of the defect.

    @param heading: the heading of the message, if it was read before.
    """
    try:
        return index_fields(octets, arrived, heading)
    except Exception as error:
        return _without(arrived, record(root, "reading the message", key, error))


def readable_name_and_fields(root: Path, key: str, octets: bytes, arrived: datetime) -> tuple[str, IndexFields]:
    """Return file name and index fields of a new message, and read it only once for both."""
    try:
        fields = index_fields(octets, arrived)
        return file_name(key, fields.date, fields.sender, fields.subject), fields
    except Exception as error:
        defect = record(root, "reading the message", key, error)
        return readable_name(root, key, octets, arrived)[0], _without(arrived, defect)


def _without(arrived: datetime, defect: str) -> IndexFields:
    return IndexFields(
        date=arrived.astimezone(UTC),
        subject="(unreadable message)",
        sender="",
        recipients="",
        preview=defect,
        message_id="",
        references=(),
        attachments=0,
        unverified=False,
        sender_mailboxes=(),
        recipient_mailboxes=(),
        subject_words="",
        sender_words="",
        recipient_words="",
        body_words="",
        attachment_words="",
    )


def insert_readable(root: Path, index: Index, connection: sqlite3.Connection, entries: Sequence[Entry]) -> None:
    """Index messages within a transaction. If the index cannot store the fields of one, that one has none.

    @raise sqlite3.Error: the index cannot be written.
    """
    error = _inserted(index, connection, entries)
    if error is None:
        return
    for entry in entries:
        error = _inserted(index, connection, [entry])
        if error is not None:
            defect = record(root, "indexing the message", entry.key, error)
            index.insert(connection, [replace(entry, fields=_without(entry.arrived, defect))])


def _inserted(index: Index, connection: sqlite3.Connection, entries: Sequence[Entry]) -> Exception | None:
    """Insert entries, or none of them. Return the exception that a value raised."""
    connection.execute("SAVEPOINT entries")
    try:
        index.insert(connection, entries)
    except Exception as error:
        if isinstance(error, sqlite3.Error) and not isinstance(error, _VALUE_ERRORS):
            raise
        connection.execute("ROLLBACK TO entries")
        connection.execute("RELEASE entries")
        return error
    connection.execute("RELEASE entries")
    return None

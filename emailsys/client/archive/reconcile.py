"""Make the index agree with the files: after a crash, after somebody moved files, or from nothing."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from emailsys.client.archive.files import is_message, is_part, key_of, new_key, remove_parts, with_key
from emailsys.client.archive.index import Entry, Index
from emailsys.client.archive.index_entry import facts_of
from emailsys.client.archive.marks import Journal, Marks
from emailsys.client.archive.values import Place
from emailsys.client.base.folders import sync_folder

# Messages read before they are entered together, in order of date.
_BATCH: Final = 1_000

Progress = Callable[[int, int], None]


def places(root: Path) -> Iterator[Place]:
    """The folders there are."""
    for account in sorted(entry.name for entry in os.scandir(root) if entry.is_dir() and entry.name[0] != "."):
        for entry in sorted(os.scandir(root / account), key=lambda entry: entry.name):
            if entry.is_dir() and entry.name[0] != ".":
                yield Place(account, entry.name)


def folder_path(root: Path, place: Place) -> Path:
    """Where a folder is."""
    return root / place.account / place.folder


def folder_stamp(folder: Path) -> int:
    """What changes when a name comes into the folder or leaves it."""
    return folder.stat().st_mtime_ns


def read_entry(root: Path, place: Place, name: str, key: str, marks: Marks) -> Entry | None:
    """A message file as the index wants it; None if it went away."""
    try:
        with open(f"{root}{os.sep}{place.account}{os.sep}{place.folder}{os.sep}{name}", "rb", buffering=0) as file:
            octets = file.read()
            arrived = datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)
    except OSError:
        return None
    return Entry(key, place, name, len(octets), arrived, facts_of(octets, arrived), marks)


def _message_names(folder: Path) -> set[str]:
    """The names of the messages in a folder; unfinished files are removed.

    Only the holder of the write lock writes into the folders of messages, and we hold it: their writer died.
    """
    names = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_part(entry.name):
                with suppress(OSError):
                    os.unlink(entry.path)
            elif is_message(entry.name):
                names.add(entry.name)
    return names


@dataclass(slots=True)
class _Differences:
    """What differs between files and index."""

    added: list[tuple[Place, str]] = field(default_factory=list)
    missing: dict[str, tuple[Place, str]] = field(default_factory=dict)
    stamps: dict[Place, int] = field(default_factory=dict)


def _compare(root: Path, index: Index, everything: bool) -> _Differences:
    changes = _Differences()
    known: dict[Place, int] = {
        Place(account, name): seen
        for account, name, seen in index.connection.execute("SELECT account, name, seen FROM folders")
    }
    there = set()
    for place in places(root):
        there.add(place)
        folder = folder_path(root, place)
        # The stamp first: a file that comes while the names are read makes the next comparison read them again.
        seen = folder_stamp(folder)
        if not everything and known.get(place) == seen:
            continue
        changes.stamps[place] = seen
        names = _message_names(folder)
        entered = index.locations(place)
        changes.added += [(place, name) for name in sorted(names - entered.keys())]
        changes.missing |= {key: (place, name) for name, key in entered.items() if name not in names}
    for place in known.keys() - there:
        changes.missing |= {key: (place, name) for name, key in index.locations(place).items()}
    return changes


def _named(root: Path, index: Index, place: Place, name: str, taken: set[str]) -> tuple[str, str]:
    """Name and key of a file that the index does not have under that name; a file without a key of its own gets one."""
    key = key_of(name)
    if key is not None and key not in taken:
        taken.add(key)
        return name, key
    folder = folder_path(root, place)
    key = new_key(None)
    new_name = with_key(name, key)
    os.rename(folder / name, folder / new_name)
    sync_folder(folder)
    taken.add(key)
    return new_name, key


def _journal_from(connection: sqlite3.Connection, account: str) -> int:
    row = connection.execute("SELECT octets FROM journals WHERE account = ?", (account,)).fetchone()
    return int(row[0]) if row else 0


def record_journal(connection: sqlite3.Connection, account: str, size: int) -> None:
    """The index knows the account's journal up to there."""
    connection.execute("INSERT OR REPLACE INTO journals VALUES (?, ?)", (account, size))


def record_stamp(index: Index, connection: sqlite3.Connection, place: Place, seen: int) -> None:
    """The index knows the folder as it was then."""
    folder = index.folder(connection, place)
    connection.execute("UPDATE folders SET seen = ? WHERE folder = ?", (seen, folder))


def catch_up(root: Path, index: Index, everything: bool = False, progress: Progress | None = None) -> int:
    """Enter what is new, forget what is gone, follow what moved, read the journals on. The write lock is held.

    @param everything: look into all folders, not only into those that changed since.
    @return: how many files were read.
    """
    journals = {account: Journal(root / account) for account in {place.account for place in places(root)}}
    read_from = {account: _journal_from(index.connection, account) for account in journals}
    sizes = {account: journal.size() for account, journal in journals.items()}
    new_marks: dict[str, Marks] = {}
    for account, journal in journals.items():
        # Of a journal that was to be written anew: see `_message_names`.
        remove_parts(root / account)
        if sizes[account] != read_from[account]:
            start = read_from[account] if sizes[account] > read_from[account] else 0
            new_marks |= dict(journal.read(start))
    changes = _compare(root, index, everything)
    if not new_marks and not changes.stamps and not changes.missing:
        return 0
    done = _enter(root, index, changes, journals, progress)
    with index.transaction() as connection:
        for key, marks in new_marks.items():
            index.mark(connection, key, marks)
        for key in changes.missing:
            index.remove(connection, key, None)
        for place, seen in changes.stamps.items():
            record_stamp(index, connection, place, seen)
        for account, size in sizes.items():
            record_journal(connection, account, size)
        there = set(places(root))
        for account, name in connection.execute("SELECT account, name FROM folders").fetchall():
            if Place(account, name) not in there:
                connection.execute("DELETE FROM folders WHERE account = ? AND name = ?", (account, name))
    return done


def _enter(
    root: Path, index: Index, changes: _Differences, journals: dict[str, Journal], progress: Progress | None
) -> int:
    """Enter the added files, in batches; those of keys that are missing elsewhere were moved."""
    taken = {row[0] for row in index.connection.execute("SELECT key FROM messages")} - changes.missing.keys()
    # A message that comes anew may have marks from before (it came back from somewhere).
    all_marks: dict[str, Marks] = {}
    for account in {place.account for place, _ in changes.added}:
        all_marks |= dict(journals[account].read())
    waiting: list[Entry] = []
    done = 0
    for place, old_name in changes.added:
        done += 1
        try:
            name, key = _named(root, index, place, old_name, taken)
        except OSError:
            continue
        if key in changes.missing:
            del changes.missing[key]
            with index.transaction() as connection:
                index.relocate(connection, key, place, name)
            continue
        entry = read_entry(root, place, name, key, all_marks.get(key, Marks()))
        if entry is not None:
            waiting.append(entry)
        if len(waiting) >= _BATCH:
            with index.transaction() as connection:
                index.insert(connection, waiting)
            waiting = []
            if progress is not None:
                progress(done, len(changes.added))
    with index.transaction() as connection:
        index.insert(connection, waiting)
    if progress is not None:
        progress(done, len(changes.added))
    return done


def rebuild(root: Path, index: Index, progress: Progress | None = None) -> int:
    """Make the index anew from files and journals, and the journals no longer than needed. The write lock is held."""
    with index.transaction() as connection:
        index.clear(connection)
    count = catch_up(root, index, everything=True, progress=progress)
    connection = index.connection
    connection.execute("INSERT INTO words (words) VALUES ('optimize')")
    for account in sorted({place.account for place in places(root)}):
        keys = [
            row[0]
            for row in connection.execute(
                "SELECT m.key FROM messages m JOIN folders f USING (folder) WHERE f.account = ?", (account,)
            )
        ]
        marks = {key: one for key, one in index.marks(keys).items() if not one.is_empty}
        journal = Journal(root / account)
        journal.compact(marks)
        with index.transaction() as connection:
            record_journal(connection, account, journal.size())
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return count

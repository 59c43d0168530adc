"""Changes of stored messages: replace, mark, move, and remove. Files change first, then the index."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from emailsys.client.archive.files import write_whole
from emailsys.client.archive.index import Entry, Index
from emailsys.client.archive.marks import Journal, Marks, append_marks
from emailsys.client.archive.reconcile import folder_path, folder_stamp, read_entry, record_journal, record_stamp
from emailsys.client.archive.unreadable import insert_readable, readable_facts
from emailsys.client.archive.values import ArchiveError, Place
from emailsys.client.base.folders import sync_folders


class Changes:
    """Changes of stored messages. The caller holds the write lock.

    A change is done when it is on disk. If the index cannot be written afterwards, the next holder of the lock finds
    that folders or journals differ from the index, and repairs it.
    """

    def __init__(self, root: Path, index: Index) -> None:
        self._root = root
        self._index = index

    def replace(self, key: str, octets: bytes, now: datetime) -> None:
        """Replace the octets of a message. Its key stays the same."""
        location = self._index.location(key)
        assert location is not None
        place, name = location
        marks = self._index.marks([key])[key]
        before = read_entry(self._root, place, name, key, marks)
        # The index entry goes first. The file name stays, and only files without an entry are read again.
        with self._index.transaction() as connection:
            self._index.remove(connection, key, before.facts if before is not None else None)
        entry = before
        try:
            write_whole(folder_path(self._root, place) / name, octets)
            entry = Entry(key, place, name, len(octets), now, readable_facts(self._root, key, octets, now), marks)
        except ArchiveError:
            # The file has the old octets, or the new ones if only the sync of the folder failed.
            entry = read_entry(self._root, place, name, key, marks)
            raise
        finally:
            with suppress(sqlite3.Error), self._index.transaction() as connection:
                insert_readable(self._root, self._index, connection, [entry] if entry is not None else [])
                self._record(connection, {place})

    def mark(self, keys: Sequence[str], change: Callable[[Marks], Marks]) -> None:
        """Change marks, in the journal first."""
        before = self._index.marks(keys)
        after = {key: change(marks) for key, marks in before.items()}
        after = {key: marks for key, marks in after.items() if marks != before[key]}
        append_marks(self._root, ((self._place(key).account, key, marks) for key, marks in after.items()))
        with suppress(sqlite3.Error), self._index.transaction() as connection:
            for key, marks in after.items():
                self._index.mark(connection, key, marks)
            self._record_journals(connection)

    def move(self, moves: Sequence[tuple[str, Place]]) -> None:
        """Move messages to other folders.

        If the account changes, the marks are written to its journal before the file moves.
        """
        marks = self._index.marks([key for key, _ in moves])
        moves = [(key, place) for key, place in moves if self._place(key) != place]
        append_marks(
            self._root,
            (
                (place.account, key, marks[key])
                for key, place in moves
                if self._place(key).account != place.account and not marks[key].is_empty
            ),
        )
        touched: set[Place] = set()
        names: dict[str, str] = {}
        for key, place in moves:
            location = self._index.location(key)
            assert location is not None
            old, name = location
            os.replace(folder_path(self._root, old) / name, folder_path(self._root, place) / name)
            names[key] = name
            touched |= {old, place}
        # New names are synced before old ones go: a crash may leave a message twice, but never loses it.
        sync_folders([folder_path(self._root, place) for _, place in moves])
        sync_folders([folder_path(self._root, place) for place in touched])
        with suppress(sqlite3.Error), self._index.transaction() as connection:
            for key, place in moves:
                self._index.relocate(connection, key, place, names[key])
            self._record(connection, touched)
            self._record_journals(connection)

    def remove(self, keys: Sequence[str]) -> None:
        """Delete messages permanently. Their files are read first, because the index needs the words to remove them."""
        touched: set[Place] = set()
        # After a crash here the index still lists deleted files. The next comparison removes those entries.
        with self._index.transaction() as connection:
            for key in keys:
                location = self._index.location(key)
                assert location is not None
                place, name = location
                entry = read_entry(self._root, place, name, key, Marks())
                self._index.remove(connection, key, entry.facts if entry is not None else None)
                with suppress(FileNotFoundError):
                    os.unlink(folder_path(self._root, place) / name)
                touched.add(place)
            sync_folders([folder_path(self._root, place) for place in touched])
            self._record(connection, touched)

    def _place(self, key: str) -> Place:
        location = self._index.location(key)
        assert location is not None
        return location[0]

    def _record(self, connection: sqlite3.Connection, places: Iterable[Place]) -> None:
        for place in places:
            record_stamp(self._index, connection, place, folder_stamp(folder_path(self._root, place)))
            record_journal(connection, place.account, Journal(self._root / place.account).size())

    def _record_journals(self, connection: sqlite3.Connection) -> None:
        for (account,) in connection.execute("SELECT DISTINCT account FROM folders").fetchall():
            record_journal(connection, account, Journal(self._root / account).size())

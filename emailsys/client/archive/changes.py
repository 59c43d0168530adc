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
from emailsys.client.archive.unreadable import insert_readable, readable_fields
from emailsys.client.archive.values import ArchiveError, Folder
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
        folder, name = location
        marks = self._index.marks([key])[key]
        before = read_entry(self._root, folder, name, key, marks)
        # The index entry goes first. The file name stays, and only files without an entry are read again.
        with self._index.transaction() as connection:
            self._index.remove(connection, key, before.fields if before is not None else None)
        entry = before
        try:
            write_whole(folder_path(self._root, folder) / name, octets)
            entry = Entry(key, folder, name, len(octets), now, readable_fields(self._root, key, octets, now), marks)
        except ArchiveError:
            # The file has the old octets, or the new ones if only the sync of the folder failed.
            entry = None
            with suppress(OSError):
                entry = read_entry(self._root, folder, name, key, marks)
            raise
        finally:
            with suppress(sqlite3.Error), self._index.transaction() as connection:
                insert_readable(self._root, self._index, connection, [entry] if entry is not None else [])
                self._record(connection, {folder})

    def mark(self, keys: Sequence[str], change: Callable[[Marks], Marks]) -> None:
        """Change marks, in the journal first."""
        before = self._index.marks(keys)
        after = {key: change(marks) for key, marks in before.items()}
        after = {key: marks for key, marks in after.items() if marks != before[key]}
        append_marks(self._root, ((self._folder(key).account, key, marks) for key, marks in after.items()))
        with suppress(sqlite3.Error), self._index.transaction() as connection:
            for key, marks in after.items():
                self._index.mark(connection, key, marks)
            self._record_journals(connection)

    def move(self, moves: Sequence[tuple[str, Folder]]) -> None:
        """Move messages to other folders.

        If the account changes, the marks are written to its journal before the file moves.
        """
        marks = self._index.marks([key for key, _ in moves])
        moves = [(key, folder) for key, folder in moves if self._folder(key) != folder]
        append_marks(
            self._root,
            (
                (folder.account, key, marks[key])
                for key, folder in moves
                if self._folder(key).account != folder.account and not marks[key].is_empty
            ),
        )
        touched: set[Folder] = set()
        names: dict[str, str] = {}
        for key, folder in moves:
            location = self._index.location(key)
            assert location is not None
            old, name = location
            os.replace(folder_path(self._root, old) / name, folder_path(self._root, folder) / name)
            names[key] = name
            touched |= {old, folder}
        # New names are synced before old ones go: a crash may leave a message twice, but never loses it.
        sync_folders([folder_path(self._root, folder) for _, folder in moves])
        sync_folders([folder_path(self._root, folder) for folder in touched])
        with suppress(sqlite3.Error), self._index.transaction() as connection:
            for key, folder in moves:
                self._index.relocate(connection, key, folder, names[key])
            self._record(connection, touched)
            self._record_journals(connection)

    def remove(self, keys: Sequence[str]) -> None:
        """Delete messages permanently. Their files are read first, because the index needs the words to remove them."""
        touched: set[Folder] = set()
        # After a crash here the index still lists deleted files. The next comparison removes those entries.
        with self._index.transaction() as connection:
            for key in keys:
                location = self._index.location(key)
                assert location is not None
                folder, name = location
                entry = None
                with suppress(OSError):
                    entry = read_entry(self._root, folder, name, key, Marks())
                self._index.remove(connection, key, entry.fields if entry is not None else None)
                with suppress(FileNotFoundError):
                    os.unlink(folder_path(self._root, folder) / name)
                touched.add(folder)
            sync_folders([folder_path(self._root, folder) for folder in touched])
            self._record(connection, touched)

    def _folder(self, key: str) -> Folder:
        location = self._index.location(key)
        assert location is not None
        return location[0]

    def _record(self, connection: sqlite3.Connection, folders: Iterable[Folder]) -> None:
        for folder in folders:
            record_stamp(self._index, connection, folder, folder_stamp(folder_path(self._root, folder)))
            record_journal(connection, folder.account, Journal(self._root / folder.account).size())

    def _record_journals(self, connection: sqlite3.Connection) -> None:
        for (account,) in connection.execute("SELECT DISTINCT account FROM folders").fetchall():
            record_journal(connection, account, Journal(self._root / account).size())

"""Put messages into the local store, move and remove them: files first, then the index."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from emailsys.client.archive.files import write_whole
from emailsys.client.archive.index import Entry, Index
from emailsys.client.archive.index_entry import facts_of
from emailsys.client.archive.marks import Journal, Marks
from emailsys.client.archive.parts import remove_unowned
from emailsys.client.archive.reconcile import folder_path, read_entry, record_journal, record_stamp, stamp
from emailsys.client.archive.staging import ARRIVING, Waiting
from emailsys.client.archive.values import ArchiveError, Place
from emailsys.client.base.folders import make_folder, sync_folders


@dataclass(slots=True)
class Unentered:
    """Messages that have their names, and are not in the index yet; and their folders as they are with them."""

    messages: dict[str, Waiting] = field(default_factory=dict)
    stamps: dict[Place, int] = field(default_factory=dict)
    octets: int = 0


class Keeper:
    """The steps that change files. Whoever calls holds the write lock.

    What is on disk is done, whatever becomes of the index. If the index cannot be written, the next writer finds that
    folders or journals differ from it.
    """

    def __init__(self, root: Path, index: Index) -> None:
        """@raise OSError: the folder of what is being written cannot be made."""
        self._root = root
        make_folder(root / ARRIVING)
        remove_unowned(root / ARRIVING)
        self._index = index

    def keep(self, waiting: Sequence[Waiting]) -> list[str]:
        """Name them and enter them into the index."""
        unentered = Unentered()
        self.name(waiting, unentered)
        self.enter(unentered)
        return [one.key for one in waiting]

    def name(self, waiting: Iterable[Waiting], unentered: Unentered) -> None:
        """Name them: from then on they are there. Marks are on disk before that.

        @param unentered: what was named under the same lock; these are added.
        @raise OSError: none of these is there, and whoever holds the lock next is to compare files and index.
        """
        keys = [one.key for one in waiting]
        here = {*self._index.which_are_here(keys), *unentered.messages}
        fresh = {one.key: one for one in reversed([*waiting]) if one.key not in here}
        self._journal((one.place.account, one.key, one.marks) for one in fresh.values() if not one.marks.is_empty)
        folders = {place: folder_path(self._root, place) for place in {one.place for one in fresh.values()}}
        # A file that somebody else has put there since is to be found: the stamp of no folder is 0.
        strange = {
            place for place, seen in unentered.stamps.items() if place in folders and stamp(folders[place]) != seen
        }
        paths = {place: str(folder) for place, folder in folders.items()}
        named: list[str] = []
        try:
            for one in fresh.values():
                target = f"{paths[one.place]}{os.sep}{one.name}"
                one.spool.name(target)
                named.append(target)
            sync_folders(folders.values())
        except OSError:
            # Nobody was told that they are there.
            for path in named:
                with suppress(OSError):
                    os.unlink(path)
            raise
        unentered.messages |= fresh
        unentered.octets += sum(one.octets for one in fresh.values())
        unentered.stamps |= {place: 0 if place in strange else stamp(folder) for place, folder in folders.items()}

    def enter(self, unentered: Unentered) -> None:
        """Enter into the index what was named. It is kept, whatever becomes of the index: that is compared with the
        files later."""
        entries = [
            entry
            for one in unentered.messages.values()
            if (entry := read_entry(self._root, one.place, one.name, one.key, one.marks)) is not None
        ]
        with suppress(sqlite3.Error), self._index.transaction() as connection:
            self._index.insert(connection, entries)
            for place, seen in unentered.stamps.items():
                record_stamp(self._index, connection, place, seen)
                record_journal(connection, place.account, Journal(self._root / place.account).size())

    def replace(self, key: str, octets: bytes, now: datetime) -> None:
        """Other octets under the same key."""
        location = self._index.location(key)
        assert location is not None
        place, name = location
        marks = self._index.marks([key])[key]
        before = read_entry(self._root, place, name, key, marks)
        # Out of the index first: the name of the file stays, so only a file that is not there is read again.
        with self._index.transaction() as connection:
            self._index.remove(connection, key, before.facts if before is not None else None)
        entry = before
        try:
            write_whole(folder_path(self._root, place) / name, octets)
            entry = Entry(key, place, name, len(octets), now, facts_of(octets, now), marks)
        except ArchiveError:
            # The old octets, or the new ones where only the folder could not be synced.
            entry = read_entry(self._root, place, name, key, marks)
            raise
        finally:
            with suppress(sqlite3.Error), self._index.transaction() as connection:
                self._index.insert(connection, [entry] if entry is not None else [])
                self._seen(connection, {place})

    def mark(self, keys: Sequence[str], change: Callable[[Marks], Marks]) -> None:
        """Change marks: the journal first."""
        before = self._index.marks(keys)
        after = {key: change(marks) for key, marks in before.items()}
        after = {key: marks for key, marks in after.items() if marks != before[key]}
        self._journal((self._place(key).account, key, marks) for key, marks in after.items())
        with suppress(sqlite3.Error), self._index.transaction() as connection:
            for key, marks in after.items():
                self._index.mark(connection, key, marks)
            self._journals_seen(connection)

    def move(self, moves: Sequence[tuple[str, Place]]) -> None:
        """Give messages other folders. Marks go with them into another account's journal, before the file."""
        marks = self._index.marks([key for key, _ in moves])
        moves = [(key, place) for key, place in moves if self._place(key) != place]
        self._journal(
            (place.account, key, marks[key])
            for key, place in moves
            if self._place(key).account != place.account and not marks[key].is_empty
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
        # The new names before the loss of the old ones: a message may be there twice for a moment, never not at all.
        sync_folders([folder_path(self._root, place) for _, place in moves])
        sync_folders([folder_path(self._root, place) for place in touched])
        with suppress(sqlite3.Error), self._index.transaction() as connection:
            for key, place in moves:
                self._index.relocate(connection, key, place, names[key])
            self._seen(connection, touched)
            self._journals_seen(connection)

    def remove(self, keys: Sequence[str]) -> None:
        """Remove messages for good, and their words from the index: they are in the files, which are read first."""
        touched: set[Place] = set()
        # If this ends in the middle, the index still has what is gone, and is compared with the files.
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
            self._seen(connection, touched)

    def _place(self, key: str) -> Place:
        location = self._index.location(key)
        assert location is not None
        return location[0]

    def _journal(self, entries: Iterable[tuple[str, str, Marks]]) -> None:
        by_account: dict[str, list[tuple[str, Marks]]] = {}
        for account, key, marks in entries:
            by_account.setdefault(account, []).append((key, marks))
        for account, marked in by_account.items():
            Journal(self._root / account).append(marked)

    def _seen(self, connection: sqlite3.Connection, places: Iterable[Place]) -> None:
        for place in places:
            record_stamp(self._index, connection, place, stamp(folder_path(self._root, place)))
            record_journal(connection, place.account, Journal(self._root / place.account).size())

    def _journals_seen(self, connection: sqlite3.Connection) -> None:
        for (account,) in connection.execute("SELECT DISTINCT account FROM folders").fetchall():
            record_journal(connection, account, Journal(self._root / account).size())

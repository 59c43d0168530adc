"""Put messages into the local store, move and remove them: files first, then the index."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from emailsys.client.archive.catching_up import folder_path, read_entry, record_journal, record_stamp, stamp
from emailsys.client.archive.facts import Facts, facts_of
from emailsys.client.archive.files import (
    Spool,
    file_name,
    make_folder,
    new_key,
    speaking_of_the_disk,
    spool_of,
    sweep,
    sync_all,
    sync_folders,
    write_whole,
)
from emailsys.client.archive.index import Entry, Index
from emailsys.client.archive.marks import Journal, Marks
from emailsys.client.archive.values import Addition, Place

#: The folder, in that of the store, of messages that have no name yet.
ARRIVING: Final = ".arriving"


@dataclass(frozen=True, slots=True)
class Waiting:
    """A message whose octets are on disk under a name that does not count yet."""

    addition: Addition
    key: str
    spool: Spool
    facts: Facts
    arrived: datetime


class Keeper:
    """The steps that change files. Whoever calls holds the write lock, but for `spooled`."""

    def __init__(self, root: Path, index: Index) -> None:
        """@raise OSError: the folder of what is being written cannot be made."""
        self._root = root
        # Not in the messages' folders, which would seem changed to whoever compares them with the index.
        self._arriving = root / ARRIVING
        make_folder(self._arriving)
        sweep(self._arriving)
        self._index = index

    @contextmanager
    def spooled(self, additions: Sequence[Addition]) -> Iterator[list[Waiting]]:
        """Write and sync all of them, read what the index wants; what was not named at the end is dropped."""
        waiting: list[Waiting] = []
        try:
            for addition in additions:
                spool = spool_of(self._arriving, addition.octets)
                arrived = addition.arrived
                assert arrived is not None
                try:
                    facts = facts_of(addition.octets, arrived)
                except BaseException:
                    spool.drop()
                    raise
                waiting.append(Waiting(addition, new_key(addition.source), spool, facts, arrived))
            with speaking_of_the_disk():
                # The time of the file is that of arrival: an index made anew takes it from there.
                for one in waiting:
                    moment = one.arrived.timestamp()
                    os.utime(one.spool.path, (moment, moment))
                sync_all([one.spool for one in waiting])
            yield waiting
        finally:
            for one in waiting:
                one.spool.drop()

    def keep(self, waiting: Sequence[Waiting]) -> list[str]:
        """Name them: from then on they are there. Marks are on disk before that."""
        here = self._index.which_are_here([one.key for one in waiting])
        fresh: dict[str, Waiting] = {}
        for one in waiting:
            if one.key not in here:
                fresh.setdefault(one.key, one)
        entries = [
            Entry(
                key=one.key,
                place=one.addition.place,
                name=file_name(one.key, one.facts.date, one.facts.sender, one.facts.subject),
                octets=one.spool.octets,
                arrived=one.arrived,
                facts=one.facts,
                marks=Marks(one.addition.flags, tuple(sorted(set(one.addition.tags))), one.addition.note),
            )
            for one in fresh.values()
        ]
        self._journal((entry.place.account, entry.key, entry.marks) for entry in entries if not entry.marks.is_empty)
        folders = {place: folder_path(self._root, place) for place in {entry.place for entry in entries}}
        named: list[str] = []
        try:
            for entry in entries:
                target = os.path.join(folders[entry.place], entry.name)
                fresh[entry.key].spool.name(target)
                named.append(target)
            sync_folders(folders.values())
        except OSError:
            # Nobody was told that they are there.
            for path in named:
                with suppress(OSError):
                    os.unlink(path)
            raise
        # From here on the messages are kept, whatever becomes of the index: it is compared with the files later.
        with suppress(sqlite3.Error), self._index.transaction() as connection:
            self._index.insert(connection, entries)
            self._seen(connection, {entry.place for entry in entries})
        return [one.key for one in waiting]

    def replace(self, key: str, octets: bytes, now: datetime) -> None:
        """Other octets under the same key."""
        location = self._index.location(key)
        assert location is not None
        place, name = location
        before = read_entry(self._root, place, name, key, Marks())
        write_whole(folder_path(self._root, place) / name, octets)
        marks = self._index.marks([key])[key]
        entry = Entry(key, place, name, len(octets), now, facts_of(octets, now), marks)
        with self._index.transaction() as connection:
            self._index.remove(connection, key, before.facts if before is not None else None)
            self._index.insert(connection, [entry])
            self._seen(connection, {place})

    def mark(self, keys: Sequence[str], change: Callable[[Marks], Marks]) -> None:
        """Change marks: the journal first."""
        before = self._index.marks(keys)
        after = {key: change(marks) for key, marks in before.items()}
        after = {key: marks for key, marks in after.items() if marks != before[key]}
        self._journal((self._place(key).account, key, marks) for key, marks in after.items())
        with self._index.transaction() as connection:
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
        with self._index.transaction() as connection:
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

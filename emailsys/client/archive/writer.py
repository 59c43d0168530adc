"""The writer of new messages: staged without the lock, named under it, and indexed after that."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from emailsys.client.archive.files import Spool, translated_disk_errors
from emailsys.client.archive.index import Entry, Index
from emailsys.client.archive.index_entry import IndexFields, moment_of
from emailsys.client.archive.marks import Journal, Marks, append_marks
from emailsys.client.archive.reconcile import folder_path, folder_stamp, read_entry, record_journal, record_stamp
from emailsys.client.archive.staging import Reading, Staged, Staging
from emailsys.client.archive.unreadable import insert_readable, readable_name
from emailsys.client.archive.values import Addition, Folder
from emailsys.client.base.folders import sync_folders

if TYPE_CHECKING:
    from emailsys.client.archive.reading_process import Read

# Limits of the index queue while other processes wait for the lock: messages, octets, and seconds.
_MAX_QUEUED: Final = 1_000
_MAX_QUEUED_OCTETS: Final = 16 * 1024 * 1024
_MAX_LOCK_SECONDS: Final = 1.0


@dataclass(slots=True)
class _IndexQueue:
    """Named messages that are not in the index yet, and the stamps of their folders after the naming."""

    messages: dict[str, Staged] = field(default_factory=dict)
    stamps: dict[Folder, int] = field(default_factory=dict)
    octets: int = 0


class Writer:
    """Adds messages for one thread. Leaving its context flushes the index queue.

    The writer holds the store's write lock from the first message that it names until `flush`. Other processes that
    write or open the store wait for that, and then see all of its messages. A named message is durable even if the
    index fails: the lock then tells its next holder to compare files and index.
    """

    def __init__(
        self,
        root: Path,
        index: Index,
        staging: Staging,
        lock: Callable[[], AbstractContextManager[None]],
        now: Callable[[], datetime],
        seconds: Callable[[], float],
    ) -> None:
        """
        @param lock: holds the write lock over an index that agrees with the files.
        @param seconds: a monotonic clock.
        """
        self._root = root
        self._index = index
        self._staging = staging
        self._lock = lock
        self._now = now
        self._seconds = seconds
        self._held = ExitStack()
        self._queue = _IndexQueue()
        # When the lock was taken; None while it is not held.
        self._locked_at: float | None = None

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.flush()

    @property
    def has_lock(self) -> bool:
        """Whether other processes wait for `flush`."""
        return self._locked_at is not None

    @property
    def is_flush_due(self) -> bool:
        """Whether the index queue is full, or the lock has been held for a second."""
        return self._locked_at is not None and (
            len(self._queue.messages) >= _MAX_QUEUED
            or self._queue.octets >= _MAX_QUEUED_OCTETS
            or self._seconds() - self._locked_at >= _MAX_LOCK_SECONDS
        )

    def add(
        self, additions: Sequence[Addition], reads_whole: bool = False, read: Sequence[Read] | None = None
    ) -> list[str]:
        """Write, sync and name messages. Return their keys once files and folders are on disk.

        @param reads_whole: read the messages for the index too: less work in total, if `flush` follows at once.
        @param read: what another process read of each message, if they are not to be read here.
        @raise ArchiveError: none of these messages was added.
        """
        reading = Reading.WHOLE if reads_whole else Reading.HEADER
        with self._staging.staged(additions, self._now(), reading, read) as staged:
            return self.name(staged)

    def read_staged(self, key: str, folder: Folder, path: str, marks: Marks) -> Staged:
        """Return a message that another process staged without reading it. Reads the header, for the file name.

        @raise ArchiveError: the staged file cannot be read.
        """
        with translated_disk_errors(), open(path, "rb", buffering=0) as file:
            octets = file.read()
            arrived = moment_of(os.fstat(file.fileno()).st_mtime)
        name, heading = readable_name(self._root, key, octets, arrived)
        return Staged(key, folder, name, len(octets), arrived, Spool(path), marks, heading)

    def name(self, staged: Sequence[Staged]) -> list[str]:
        """Name staged messages. Return their keys once the folders are on disk.

        Spools of messages that the store already had are removed too.

        @raise ArchiveError: none of these messages was added.
        """
        queue, locked_at = self._queue, self._locked_at
        self._queue, self._locked_at = _IndexQueue(), None
        # If naming fails, the lock is released as dirty: its next holder compares files and index.
        with self._held.pop_all() as held:
            if locked_at is None:
                held.enter_context(self._lock())
                locked_at = self._seconds()
            self._name(staged, queue)
            self._held = held.pop_all()
        for one in staged:
            one.spool.drop()
        self._queue, self._locked_at = queue, locked_at
        return [one.key for one in staged]

    def flush(self) -> None:
        """Write the queued messages to the index, and release the lock. Does nothing without the lock."""
        if self._locked_at is None:
            return
        queue, self._queue, self._locked_at = self._queue, _IndexQueue(), None
        with self._held.pop_all():
            self._write_index(queue)

    def _name(self, staged: Sequence[Staged], queue: _IndexQueue) -> None:
        """Give messages that are new their final names. Marks are on disk before the names.

        @raise OSError: no message was named.
        """
        known = {*self._index.existing_keys([one.key for one in staged]), *queue.messages}
        fresh = {one.key: one for one in reversed(staged) if one.key not in known}
        append_marks(
            self._root, ((one.folder.account, one.key, one.marks) for one in fresh.values() if not one.marks.is_empty)
        )
        paths = {folder: folder_path(self._root, folder) for folder in {one.folder for one in fresh.values()}}
        # Another program added a file since our last name: stamp 0 makes the next comparison read the folder.
        changed_by_others = {
            folder for folder, stamp in queue.stamps.items() if folder in paths and folder_stamp(paths[folder]) != stamp
        }
        names = {folder: str(path) for folder, path in paths.items()}
        named: list[str] = []
        try:
            for one in fresh.values():
                target = f"{names[one.folder]}{os.sep}{one.name}"
                one.spool.name(target)
                named.append(target)
            sync_folders(paths.values())
        except OSError:
            # No caller has been told that these messages were added.
            for path in named:
                with suppress(OSError):
                    os.unlink(path)
            raise
        queue.messages |= fresh
        queue.octets += sum(one.octets for one in fresh.values())
        queue.stamps |= {
            folder: 0 if folder in changed_by_others else folder_stamp(path) for folder, path in paths.items()
        }

    def _entry(self, one: Staged) -> Entry | None:
        if isinstance(one.heading, IndexFields):
            return Entry(one.key, one.folder, one.name, one.octets, one.arrived, one.heading, one.marks)
        return read_entry(self._root, one.folder, one.name, one.key, one.marks, one.heading)

    def _write_index(self, queue: _IndexQueue) -> None:
        """Add the queue to the index. Errors of SQLite are ignored: a later comparison with the files repairs them."""
        entries = []
        for one in queue.messages.values():
            try:
                entry = self._entry(one)
            except OSError:
                # Stamp 0 makes the next comparison read the folder, and with it this message.
                queue.stamps[one.folder] = 0
                continue
            if entry is not None:
                entries.append(entry)
        with suppress(sqlite3.Error), self._index.transaction() as connection:
            insert_readable(self._root, self._index, connection, entries)
            for folder, stamp in queue.stamps.items():
                record_stamp(self._index, connection, folder, stamp)
                record_journal(connection, folder.account, Journal(self._root / folder.account).size())

"""Files of the local store: durable writes and readable file names."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import sys
from base64 import b32encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

from emailsys.client.archive.values import ArchiveError, ArchiveFull
from emailsys.client.base.folders import sync_folder
from emailsys.client.base.process_lock import LockTaken, ProcessLock
from emailsys.client.text.file_names import safe_name

_NAMED: Final = re.compile(r".*\.([a-z2-7]{16})\.eml", re.S)
#: Suffix of an unfinished file's name, which begins with a dot.
PART: Final = ".part"
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# More threads are slower.
_SYNCING_THREADS: Final = 8
_MAX_SUBJECT: Final = 90
_MAX_SENDER: Final = 40


@contextmanager
def translated_disk_errors() -> Iterator[None]:
    """Translate OSError into ArchiveError, or into ArchiveFull if the disk is full."""
    try:
        yield
    except OSError as refused:
        if refused.errno in _FULL:
            raise ArchiveFull("the disk is full; nothing was lost, and nothing was added") from refused
        raise ArchiveError(f"{refused.filename or 'the local store'}: {refused.strerror or refused}") from refused


def new_key(source: str | None) -> str:
    """Return the key of a new message, 80 bits: derived from its source, or random without one."""
    return _key(secrets.token_bytes(10)) if source is None else _key_from(source)


# A batch of messages is looked up first, and then added.
@lru_cache(maxsize=1024)
def _key_from(source: str) -> str:
    return _key(hashlib.sha256(source.encode()).digest()[:10])


def _key(octets: bytes) -> str:
    return b32encode(octets).decode("ascii").lower()


def key_of(name: str) -> str | None:
    """Return the key in a file name, or None."""
    found = _NAMED.fullmatch(name)
    return found[1] if found else None


def file_name(key: str, date: datetime, sender: str, subject: str) -> str:
    """Return a readable file name that starts with the date and contains the key."""
    author = safe_name(sender, "unknown", _MAX_SENDER)
    title = safe_name(subject.replace("/", "-"), "no subject", _MAX_SUBJECT)
    return f"{date.astimezone(UTC):%Y-%m-%d %H%M} {author} - {title}.{key}.eml"


def with_key(name: str, key: str) -> str:
    """Insert a key into the name of a file that another program made."""
    stem = name.removesuffix(".eml")
    old = key_of(name)
    if old is not None:
        stem = name.removesuffix(f".{old}.eml")
    return f"{safe_name(stem, 'message')}.{key}.eml"


class Spool:
    """A hidden temporary file that holds a message until it gets its final name."""

    def __init__(self, path: str, descriptor: int = -1) -> None:
        """@param descriptor: open for writing; negative if the file is already written and synced."""
        self.path = path
        self._descriptor = descriptor
        # True also if the file is gone or belongs to another process: `drop` has nothing to remove.
        self._is_named = False

    def write(self, octets: bytes) -> None:
        """Append octets. @raise OSError: not all octets were written."""
        view = memoryview(octets)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def date(self, moment: datetime) -> None:
        """Set the modification time."""
        seconds = moment.timestamp()
        os.utime(self._descriptor if os.utime in os.supports_fd else self.path, (seconds, seconds))

    def start_writeback(self) -> None:
        """Start writing to disk what was written so far, without waiting for it.

        A file system with delayed allocation would start in `sync`, and commit its journal once per file. After
        writeback of many files has started, the first sync waits for all of them: 1,000 take a fifth of the time.
        """
        if sys.platform == "linux" and hasattr(os, "posix_fadvise") and self._descriptor >= 0:
            # Linux writes pages back at once when they are no longer needed in memory.
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def sync(self) -> None:
        """Sync and close the file. Return when the octets are on disk."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def name(self, path: str | Path) -> None:
        """Rename the file to its final name, and replace a file of that name. @raise OSError: it was not renamed."""
        os.replace(self.path, path)
        self._is_named = True

    def mark_named(self) -> None:
        """Record that another process has named or removed the file."""
        self._is_named = True

    def drop(self) -> None:
        """Remove the temporary file. Does nothing after it was named or removed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if not self._is_named:
            with suppress(OSError):
                os.unlink(self.path)
            self._is_named = True


def spool_at(path: str, octets: bytes, arrived: datetime | None = None) -> Spool:
    """Write a message to a new temporary file.

    @param path: no file of that name exists.
    @param arrived: the modification time; None for now.
    @raise ArchiveError: the folder does not exist or is not writable.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with translated_disk_errors():
        spool = Spool(path, os.open(path, flags, 0o600))
        try:
            spool.write(octets)
            if arrived is not None:
                spool.date(arrived)
            spool.start_writeback()
        except BaseException:
            spool.drop()
            raise
    return spool


class SyncThreads:
    """Threads that sync files in parallel, so that files share commits of the file system's journal."""

    def __init__(self) -> None:
        # This imports logging. Callers that only write a file avoid that cost.
        from concurrent.futures import ThreadPoolExecutor

        self._threads = ThreadPoolExecutor(_SYNCING_THREADS, thread_name_prefix="sync")

    def sync(self, spools: Sequence[Spool]) -> None:
        """Sync spools. Return when all are on disk. @raise OSError: a sync failed."""
        if len(spools) < 4:
            _sync_each(spools)
            return
        # One share per thread: on a fast disk, a task for each message costs more than its sync.
        shares = [spools[first::_SYNCING_THREADS] for first in range(_SYNCING_THREADS)]
        for _done in self._threads.map(_sync_each, shares):
            pass

    def close(self) -> None:
        """Stop the threads."""
        self._threads.shutdown()


def _sync_each(spools: Sequence[Spool]) -> None:
    for spool in spools:
        spool.sync()


def is_message(name: str) -> bool:
    """Whether a file name is that of a message."""
    return name.endswith(".eml") and not name.startswith(".")


def is_part(name: str) -> bool:
    """Whether a file name is that of an unfinished file."""
    return name.startswith(".") and name.endswith(PART)


def _part_prefix(path: Path) -> str:
    return f".{hashlib.sha256(path.name.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}."


def remove_parts(folder: Path, prefix: str = ".") -> None:
    """Remove unfinished files. Call this only while no other process can be writing them."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(prefix) and entry.name.endswith(PART):
                with suppress(OSError):
                    os.unlink(entry.path)


def rewrite(path: Path, octets: bytes) -> None:
    """Replace a file as `write_whole` does. The caller's lock keeps other processes from writing it.

    Unfinished files that dead writers left are removed first.
    """
    with translated_disk_errors():
        remove_parts(path.parent, _part_prefix(path))
    write_whole(path, octets)


@contextmanager
def changing(path: Path) -> Iterator[None]:
    """Hold the lock of a small file that several programs may change, while it is read and replaced.

    @raise ArchiveError: another program is changing it, or its folder cannot be used.
    """
    try:
        lock = ProcessLock(path.with_suffix(".lock"))
    except LockTaken as taken:
        raise ArchiveError(f"{taken} is changing {path} now; try again") from taken
    except OSError as error:
        raise ArchiveError(f"{path.parent}: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


def write_whole(path: Path, octets: bytes) -> None:
    """Replace a file's content atomically, and sync file and folder. @raise ArchiveError: it was not replaced."""
    spool = spool_at(os.path.join(path.parent, f"{_part_prefix(path)}{secrets.token_hex(8)}{PART}"), octets)
    try:
        with translated_disk_errors():
            spool.sync()
            spool.name(path)
            sync_folder(path.parent)
    except ArchiveError:
        spool.drop()
        raise

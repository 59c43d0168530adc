"""Files of the local store: written, synced, renamed, and the folder synced; names that people can read."""

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
from pathlib import Path
from typing import Final

from emailsys.client.archive.values import ArchiveError, ArchiveFull
from emailsys.client.base.folders import sync_folder
from emailsys.client.text.file_names import safe_name

_NAMED: Final = re.compile(r".*\.([a-z2-7]{16})\.eml", re.S)
#: The end of an unfinished file's name, which begins with a dot.
PART: Final = ".part"
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
# More threads cost more than they bring.
_SYNCING_THREADS: Final = 8
_MAX_SUBJECT: Final = 90
_MAX_SENDER: Final = 40


@contextmanager
def translated_disk_errors() -> Iterator[None]:
    """Turn what the operating system refuses into ArchiveError, a full disk into ArchiveFull."""
    try:
        yield
    except OSError as refused:
        if refused.errno in _FULL:
            raise ArchiveFull("the disk is full; nothing was lost, and nothing was added") from refused
        raise ArchiveError(f"{refused.filename or 'the local store'}: {refused.strerror or refused}") from refused


def new_key(source: str | None) -> str:
    """The key of a new message: of a source always the same, else random; 80 bits."""
    octets = hashlib.sha256(source.encode()).digest()[:10] if source is not None else secrets.token_bytes(10)
    return b32encode(octets).decode("ascii").lower()


def key_of(name: str) -> str | None:
    """The key that a file name bears."""
    found = _NAMED.fullmatch(name)
    return found[1] if found else None


def file_name(key: str, date: datetime, sender: str, subject: str) -> str:
    """A name that tells a person what is in the file, sorts by date, and bears the key."""
    who = safe_name(sender, "unknown", _MAX_SENDER)
    what = safe_name(subject.replace("/", "-"), "no subject", _MAX_SUBJECT)
    return f"{date.astimezone(UTC):%Y-%m-%d %H%M} {who} - {what}.{key}.eml"


def with_key(name: str, key: str) -> str:
    """A file name from elsewhere, with a key."""
    stem = name.removesuffix(".eml")
    old = key_of(name)
    if old is not None:
        stem = name.removesuffix(f".{old}.eml")
    return f"{safe_name(stem, 'message')}.{key}.eml"


class Spool:
    """A message on its way to the disk: a hidden file, until it is named."""

    def __init__(self, path: str, descriptor: int = -1) -> None:
        """@param descriptor: open for writing; below zero where all is written and synced already."""
        self.path = path
        self._descriptor = descriptor
        # Or gone, or another's: then there is nothing to drop any more, either.
        self._is_named = False

    def write(self, octets: bytes) -> None:
        """Add octets. @raise OSError: not all of them are there."""
        view = memoryview(octets)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def date(self, moment: datetime) -> None:
        """Give the file the time of that moment."""
        seconds = moment.timestamp()
        os.utime(self._descriptor if os.utime in os.supports_fd else self.path, (seconds, seconds))

    def start_writeback(self) -> None:
        """Let the disk begin with what was written, and do not wait for it.

        A file system that allocates late would begin in `sync`, and write its journal anew for each file. Where many
        files were handed over, the first sync waits for all of them: a thousand take a fifth of the time.
        """
        if sys.platform == "linux" and self._descriptor >= 0:
            # What is not needed in memory any more is written back at once.
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_DONTNEED)

    def sync(self) -> None:
        """Return when the octets are on disk; nothing can be written afterwards."""
        if self._descriptor >= 0:
            descriptor, self._descriptor = self._descriptor, -1
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def name(self, path: str | Path) -> None:
        """Give it the name under which it counts; what bore that name is replaced. @raise OSError: it has not."""
        os.replace(self.path, path)
        self._is_named = True

    def mark_named(self) -> None:
        """Another process has named it, or dropped it."""
        self._is_named = True

    def drop(self) -> None:
        """Forget the message. Does nothing after it was named or dropped."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if not self._is_named:
            with suppress(OSError):
                os.unlink(self.path)
            self._is_named = True


def spool_at(path: str, octets: bytes, arrived: datetime | None = None) -> Spool:
    """A spool with all of a message.

    @param path: a name that no file has.
    @param arrived: the time of the file, else now.
    @raise ArchiveError: the folder is not there or cannot be written.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
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
    """Several syncs at once, which share the commits of the file system's journal."""

    def __init__(self) -> None:
        # Imports logging, which whoever only writes a file does without.
        from concurrent.futures import ThreadPoolExecutor

        self._threads = ThreadPoolExecutor(_SYNCING_THREADS, thread_name_prefix="sync")

    def sync(self, spools: Sequence[Spool]) -> None:
        """Return when all of them are on disk. @raise OSError: one is not."""
        if len(spools) < 4:
            _sync_each(spools)
            return
        # A share for each thread: to hand over message by message costs more than to sync it, on a fast disk.
        shares = [spools[first::_SYNCING_THREADS] for first in range(_SYNCING_THREADS)]
        for _done in self._threads.map(_sync_each, shares):
            pass

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()


def _sync_each(spools: Sequence[Spool]) -> None:
    for spool in spools:
        spool.sync()


def is_message(name: str) -> bool:
    """Whether a file of that name is a message."""
    return name.endswith(".eml") and not name.startswith(".")


def is_part(name: str) -> bool:
    """Whether a file of that name is unfinished."""
    return name.startswith(".") and name.endswith(PART)


def _part_prefix(path: Path) -> str:
    return f".{hashlib.sha256(path.name.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}."


def remove_parts(folder: Path, prefix: str = ".") -> None:
    """Remove unfinished files. Call it only while no other process can be writing them."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(prefix) and entry.name.endswith(PART):
                with suppress(OSError):
                    os.unlink(entry.path)


def rewrite(path: Path, octets: bytes) -> None:
    """As `write_whole`, for a caller whose lock keeps others from writing this file.

    A writer that died may have left an unfinished file, which is removed first.
    """
    with translated_disk_errors():
        remove_parts(path.parent, _part_prefix(path))
    write_whole(path, octets)


def write_whole(path: Path, octets: bytes) -> None:
    """Put octets in a file's place, at once or not at all, synced."""
    spool = spool_at(os.path.join(path.parent, f"{_part_prefix(path)}{secrets.token_hex(8)}{PART}"), octets)
    try:
        with translated_disk_errors():
            spool.sync()
            spool.name(path)
            sync_folder(path.parent)
    except ArchiveError:
        spool.drop()
        raise

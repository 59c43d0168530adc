"""Watch on the files of a SQLite store: whether their names still lead to the files that were opened."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import Final

from emailsys.platforms.files import NO_FOLLOW, not_regular, open_identity, open_regular

# Device, inode and link count of a file.
_Identity = tuple[int, int, int]

# SQLite's suffixes of all files that it opens beside the database.
_BESIDE: Final = ("-journal", "-wal", "-shm")
# Its suffixes for the log and for the shared index of the log.
_SUFFIXES: Final = ("-wal", "-shm")

# Seconds between two checks for readers. Each check releases the interpreter lock several times, which costs a busy
# process more than the read itself. A connection that is already open keeps reading the original files.
_CHECK_EVERY: Final = 0.1


def check_regular(path: Path) -> None:
    """Check that no file that SQLite would open is a pipe, a link or the like. Call before each connection.

    The user who owns the folder may have put one there. SQLite waits for the other end of a pipe for ever, and so would
    a command that root runs.

    @param path: the database file.
    @raise OSError: one of them is not a regular file.
    """
    for suffix in ("", *_BESIDE):
        file = path.with_name(path.name + suffix)
        try:
            mode = file.lstat().st_mode
        except FileNotFoundError:
            continue
        if not stat.S_ISREG(mode):
            raise not_regular(file)


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino, status.st_nlink


class StoreFiles:
    """The database file, the log, the index of the log, and the lock files.

    Each file stays open here if the system allows it, so that its inode number cannot be reused. The descriptor of
    the database file is an ordinary one: closing it drops the locks of all SQLite connections of this process, so it
    is closed last.
    """

    def __init__(self, path: Path, create: bool = True) -> None:
        """
        @param path: the database file.
        @param create: whether to create it, with mode 0600, if it is missing.
        @raise OSError: it cannot be opened.
        """
        self.path = path
        check_regular(path)
        self.descriptor = open_regular(path, os.O_RDWR | NO_FOLLOW | (os.O_CREAT if create else 0))
        self._held: list[int] = []
        self._checked_at = float("-inf")
        self._last: str | None = None
        self._expected: dict[str, _Identity] = {str(path): _identity(os.fstat(self.descriptor))}

    def watch_log(self) -> None:
        """Watch the log and its index. Call when a writer is connected; repeated calls are harmless."""
        for suffix in _SUFFIXES:
            self.watch(self.path.with_name(self.path.name + suffix))

    def watch(self, path: Path) -> None:
        """Watch one more file."""
        name = str(path)
        if name not in self._expected:
            # Not an ordinary descriptor: closing one of the index would drop SQLite's locks on it.
            descriptor = open_identity(name)
            if descriptor is not None:
                self._held.append(descriptor)
            self._expected[name] = _identity(os.stat(name) if descriptor is None else os.fstat(descriptor))

    def why_untrusted(self) -> str | None:
        """Return what happened to the files, or None. Takes one stat call for each; callable in any thread."""
        self._checked_at = time.monotonic()
        self._last = self._check(tuple(self._expected))
        return self._last

    def why_database_untrusted(self) -> str | None:
        """Like `why_untrusted`, for the database file only."""
        return self._check((str(self.path),))

    def _check(self, names: tuple[str, ...]) -> str | None:
        for name in names:
            expected = self._expected[name]
            try:
                found = _identity(os.stat(name))
            except OSError as error:
                return f"{name} is open here, but cannot be found by its name ({error.strerror})"
            if found[:2] != expected[:2]:
                return f"{name} is another file than the one that is open here"
            if found != expected:
                return f"{name} had {expected[2]} names when it was opened, and has {found[2]} now"
        return None

    def why_untrusted_cached(self) -> str | None:
        """Like `why_untrusted`, but a result without a problem is reused for a tenth of a second."""
        if self._last is not None or time.monotonic() - self._checked_at >= _CHECK_EVERY:
            return self.why_untrusted()
        return self._last

    def close(self) -> None:
        """Close all files. Call after closing the last SQLite connection of this process."""
        for descriptor in (*self._held, self.descriptor):
            os.close(descriptor)

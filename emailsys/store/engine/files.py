"""The files of a SQLite store: whether their names still lead to the files that were opened."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

# What a file is, besides its name: device, inode, link count.
_Identity = tuple[int, int, int]

# SQLite's own names for the log and for the index of the log, which processes share.
_BESIDE: Final = ("-wal", "-shm")

# Seconds between two looks on behalf of readers: each look gives the interpreter lock away several times, which costs a
# busy process more than the read itself. A connection that was opened before keeps reading the true store.
_LOOK_EVERY: Final = 0.1


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino, status.st_nlink


class StoreFiles:
    """The database file, the log, the index of the log, and the files whose locks other processes look for.

    Each file stays open here, so that its inode number is not given to another file. For the database file that is an
    ordinary descriptor: closing it drops the locks of all SQLite connections of this process, so it is closed last.
    """

    def __init__(self, path: Path, create: bool = True) -> None:
        """
        @param path: the database file.
        @param create: whether it is made, with mode 0600, where it is missing.
        @raise OSError: it cannot be opened.
        """
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)
        self._held: list[int] = []
        self._looked_at = float("-inf")
        self._last: str | None = None
        self._expected: dict[str, _Identity] = {str(path): _identity(os.fstat(self.descriptor))}

    def watch_log(self) -> None:
        """From now on the log and its index must stay what they are. Call when a writer is connected, once or again."""
        for suffix in _BESIDE:
            self.watch(self.path.with_name(self.path.name + suffix))

    def watch(self, path: Path) -> None:
        """From now on this file must stay what it is, too."""
        name = str(path)
        if name not in self._expected:
            # O_PATH: closing an ordinary descriptor of the index would drop SQLite's locks on it.
            descriptor = os.open(name, os.O_PATH | os.O_CLOEXEC)
            self._held.append(descriptor)
            self._expected[name] = _identity(os.fstat(descriptor))

    def why_untrusted(self) -> str | None:
        """What happened to the files, None while nothing did. A call of stat for each; may be called in any thread."""
        self._last = self._look(tuple(self._expected))
        return self._last

    def why_database_untrusted(self) -> str | None:
        """The same, for the database file alone."""
        return self._look((str(self.path),))

    def _look(self, names: tuple[str, ...]) -> str | None:
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

    def why_untrusted_lately(self) -> str | None:
        """As `why_untrusted`, but nothing is looked at again for a moment after all was well."""
        now = time.monotonic()
        if self._last is not None or now - self._looked_at >= _LOOK_EVERY:
            self._looked_at = now
            return self.why_untrusted()
        return self._last

    def close(self) -> None:
        """Close all. Call after the last SQLite connection of this process was closed."""
        for descriptor in (*self._held, self.descriptor):
            os.close(descriptor)

"""Names of unfinished messages, which their writer owns while it lives; and the removal of those without an owner."""

from __future__ import annotations

import errno
import itertools
import os
import re
import secrets
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from emailsys.client.archive.files import PART, translated_disk_errors
from emailsys.client.base.process_lock import LockTaken, ProcessLock

_OWNER: Final = ".owner"
# The name of a writer, and the number of the part; parts of older versions have no number.
_OWNED: Final = re.compile(r"\.([0-9a-f]+)(?:\.[0-9]+)?(?:\.part|\.owner)")


def _owner_path(folder: Path, writer: str) -> Path:
    return folder / f".{writer}{_OWNER}"


class Parts:
    """Names for the unfinished messages of one writer, in a folder that all writers of a store share.

    The lock on the writer's own file keeps others from removing them. The kernel gives it back when the process dies,
    so no clock and no date of a file decides.
    """

    def __init__(self, folder: Path) -> None:
        """@param folder: exists by the time of the first name."""
        self._folder = folder
        self._numbers = itertools.count(1)
        self._guard = threading.Lock()
        self._lock: ProcessLock | None = None
        self._prefix = ""

    def new_path(self) -> str:
        """A path that no file has. @raise ArchiveError: the folder is not there or cannot be written."""
        with self._guard:
            if self._lock is None:
                with translated_disk_errors():
                    self._lock = self._new_lock()
        return f"{self._prefix}{next(self._numbers)}{PART}"

    def _new_lock(self) -> ProcessLock:
        while True:
            if not self._folder.is_dir():
                # The store was removed, and does not come back by this.
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._folder))
            writer = secrets.token_hex(8)
            # If another process is removing the file that was just made, the next name is as good.
            with suppress(LockTaken):
                lock = ProcessLock(_owner_path(self._folder, writer))
                self._prefix = f"{self._folder}{os.sep}.{writer}."
                return lock

    def close(self) -> None:
        """Give up the names: all of them are finished or dropped. May be called twice."""
        with self._guard:
            lock, self._lock = self._lock, None
            if lock is not None:
                lock.remove()


def remove_unowned(folder: Path) -> None:
    """Remove the unfinished messages of writers that are dead. @raise OSError: the folder cannot be read."""
    by_writer: dict[str, list[str]] = {}
    for name in os.listdir(folder):
        found = _OWNED.fullmatch(name)
        if found is not None:
            by_writer.setdefault(found[1], []).append(name)
    for writer, names in by_writer.items():
        # What cannot be removed now is removed later.
        with suppress(LockTaken, OSError):
            lock = ProcessLock(_owner_path(folder, writer))
            for name in names:
                if name.endswith(PART):
                    with suppress(OSError):
                        os.unlink(folder / name)
            lock.remove()

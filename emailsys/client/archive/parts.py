"""Names of unfinished message files, and removal of those whose writer died."""

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
# The writer's name and the number of the part. Older versions wrote no number.
_OWNED: Final = re.compile(r"\.([0-9a-f]+)(?:\.[0-9]+)?(?:\.part|\.owner)")


def _owner_path(folder: Path, writer: str) -> Path:
    return folder / f".{writer}{_OWNER}"


class Parts:
    """Names for the unfinished messages of one writer, in a folder that all writers of a store share.

    A lock on the writer's own file keeps other processes from removing its messages. The kernel releases the lock when
    the process dies, so neither clocks nor file dates matter.
    """

    def __init__(self, folder: Path) -> None:
        """@param folder: must exist when the first name is made."""
        self._folder = folder
        self._numbers = itertools.count(1)
        self._guard = threading.Lock()
        self._lock: ProcessLock | None = None
        self._prefix = ""

    def new_path(self) -> str:
        """Return an unused path. @raise ArchiveError: the folder does not exist or is not writable."""
        with self._guard:
            if self._lock is None:
                with translated_disk_errors():
                    self._lock = self._new_lock()
        return f"{self._prefix}{next(self._numbers)}{PART}"

    def _new_lock(self) -> ProcessLock:
        while True:
            if not self._folder.is_dir():
                # The store was removed. Making its folder here would bring it back.
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self._folder))
            writer = secrets.token_hex(8)
            # Another process may be removing the new file as unowned; then try another name.
            with suppress(LockTaken):
                lock = ProcessLock(_owner_path(self._folder, writer))
                self._prefix = f"{self._folder}{os.sep}.{writer}."
                return lock

    def close(self) -> None:
        """Release the names after all files were named or removed. May be called twice."""
        with self._guard:
            lock, self._lock = self._lock, None
            if lock is not None:
                lock.remove()


def remove_unowned(folder: Path) -> None:
    """Remove the unfinished messages of dead writers. @raise OSError: the folder cannot be read."""
    by_writer: dict[str, list[str]] = {}
    for name in os.listdir(folder):
        found = _OWNED.fullmatch(name)
        if found is not None:
            by_writer.setdefault(found[1], []).append(name)
    for writer, names in by_writer.items():
        # Files that cannot be removed now are removed at a later start.
        with suppress(LockTaken, OSError):
            lock = ProcessLock(_owner_path(folder, writer))
            for name in names:
                if name.endswith(PART):
                    with suppress(OSError):
                        os.unlink(folder / name)
            lock.remove()

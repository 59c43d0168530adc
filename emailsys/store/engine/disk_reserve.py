"""Reserve on the disk of a SQLite store: a file that is given up when a delete finds the disk full."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from emailsys.platforms.files import NO_FOLLOW, free_octets

# Room for the log of a QUIT that deletes several thousand messages.
RESERVE: Final = 8 * 1024 * 1024
# The reserve is made only if this many times as much is free.
_FREE: Final = 8


class DiskReserve:
    """The file. It has blocks of the disk, but nothing in it needs to survive a crash."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self) -> None:
        """Make the file if it is missing and the disk has room for it. Errors are ignored."""
        if not hasattr(os, "posix_fallocate"):
            return
        with suppress(OSError):
            if self._path.exists() or free_octets(self._path.parent) < _FREE * RESERVE:
                return
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, RESERVE)
            except OSError:
                self.release()
            finally:
                os.close(descriptor)

    def release(self) -> bool:
        """Remove the file. Return whether that has freed its room."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

"""File lock of one process on an account or a message. The kernel releases it when the process dies."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from emailsys.client.base.folders import make_folder
from emailsys.platforms.files import BINARY
from emailsys.platforms.locks import LOCKS


class LockTaken(Exception):
    """Another process, or this one, holds the lock. `holder` is its process id, 0 if unknown."""

    def __init__(self, holder: int) -> None:
        super().__init__(f"process {holder}" if holder else "another program")
        self.holder = holder


def _locked_file(path: Path) -> int:
    """Open and lock a file. @raise LockTaken: the lock is held."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | BINARY, 0o600)
    try:
        LOCKS.lock(descriptor, wait=False)
    except OSError:
        os.lseek(descriptor, 0, os.SEEK_SET)
        said = os.read(descriptor, 20).strip()
        os.close(descriptor)
        raise LockTaken(int(said) if said.isdigit() else 0) from None
    return descriptor


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


class ProcessLock:
    """A lock that is held until `release` or `remove`, or until the process ends."""

    def __init__(self, path: Path) -> None:
        """Take the lock. The lock on the file counts, not the file's existence.

        @raise LockTaken: another process or this one holds it.
        @raise OSError: the file cannot be created.
        """
        make_folder(path.parent)
        self._path = path
        self._descriptor = _locked_file(path)
        while not _is_still(self._descriptor, path):
            # The last holder has removed this file. Others would lock a new file of that name.
            LOCKS.close(self._descriptor)
            self._descriptor = _locked_file(path)
        # The process id is for messages only. The lock holds even if the disk is full.
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, b"%d\n" % os.getpid())

    def release(self) -> None:
        """Release the lock. May be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            LOCKS.close(descriptor)

    def remove(self) -> None:
        """Remove the file and release the lock. May be called twice."""
        # While the lock is held: after its release, the file may belong to another holder.
        with suppress(OSError):
            os.unlink(self._path)
        self.release()
        if os.name == "nt":
            # Windows cannot remove an open file; this attempt fails if another holder has opened it.
            with suppress(OSError):
                os.unlink(self._path)

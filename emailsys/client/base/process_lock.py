"""One at a time: a claim on an account or a message, held by one program, given back by the kernel if that dies."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from emailsys.client.base.folders import make_folder


class LockTaken(Exception):
    """Somebody else has it; `holder` is the id of that process, 0 if unknown."""

    def __init__(self, holder: int) -> None:
        super().__init__(f"process {holder}" if holder else "another program")
        self.holder = holder


def _take(descriptor: int) -> None:
    """@raise OSError: it is taken."""
    if sys.platform == "win32":
        import msvcrt

        # Far behind what is written: a locked octet cannot be read.
        os.lseek(descriptor, 4096, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _locked_file(path: Path) -> int:
    """The descriptor of a file whose lock we hold."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        _take(descriptor)
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
    """A claim that is held until `release` or `remove`, or until the process ends."""

    def __init__(self, path: Path) -> None:
        """Take it. What counts is the lock on the file.

        @raise LockTaken: somebody has it, this very process perhaps.
        @raise OSError: the file cannot be made.
        """
        make_folder(path.parent)
        self._path = path
        self._descriptor = _locked_file(path)
        while not _is_still(self._descriptor, path):
            # Its last holder has removed the file meanwhile: a lock on that one keeps nobody off.
            os.close(self._descriptor)
            self._descriptor = _locked_file(path)
        # The number is for people. A full disk that has no room for it does not undo the lock.
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, b"%d\n" % os.getpid())

    def release(self) -> None:
        """Give it back. May be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def remove(self) -> None:
        """Remove the file and give the claim back. A process that waits for this file finds it removed."""
        # While the lock is held: afterwards the file may be another holder's.
        with suppress(OSError):
            os.unlink(self._path)
        self.release()
        if os.name == "nt":
            # Windows removes no open file, that of another holder neither.
            with suppress(OSError):
                os.unlink(self._path)

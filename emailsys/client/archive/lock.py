"""Write lock of the store across threads and processes, which records whether its last holder crashed."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_CLEAN: Final = b"0"
_WRITING: Final = b"1"
# Seconds between two attempts on Windows, which has no blocking lock without a time limit.
_PAUSE: Final = 0.05


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        while True:
            try:
                os.lseek(descriptor, 1, os.SEEK_SET)
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            except OSError:
                time.sleep(_PAUSE)
            else:
                return
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _unlock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        os.lseek(descriptor, 1, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_UN)


class WriteLock:
    """Lock for changes of files and index. If its holder crashes, the lock is released and the next holder is told."""

    def __init__(self, path: Path) -> None:
        self._threads = threading.RLock()
        self._depth = 0
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        #: Whether the last holder crashed while writing. Then files and index have to be compared.
        self.is_dirty = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the lock and hold it. Calls may be nested in one thread."""
        with self._threads:
            if self._depth == 0:
                _lock(self._descriptor)
                try:
                    os.lseek(self._descriptor, 0, os.SEEK_SET)
                    self.is_dirty = os.read(self._descriptor, 1) == _WRITING
                    self._write(_WRITING)
                except BaseException:
                    _unlock(self._descriptor)
                    raise
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if self._depth == 0:
                    # The changes are durable. If this write fails, the next writer only compares once more.
                    with suppress(OSError):
                        if not self.is_dirty:
                            self._write(_CLEAN)
                    _unlock(self._descriptor)

    def _write(self, state: bytes) -> None:
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, state)

    def close(self) -> None:
        """Close the lock file. May be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

"""Write lock of the store across threads and processes, which records whether its last holder crashed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from emailsys.platforms.files import BINARY
from emailsys.platforms.locks import LOCKS

_CLEAN: Final = b"0"
_WRITING: Final = b"1"


class WriteLock:
    """Lock for changes of files and index. If its holder crashes, the lock is released and the next holder is told."""

    def __init__(self, path: Path) -> None:
        self._threads = threading.RLock()
        self._depth = 0
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | BINARY, 0o600)
        #: Whether the last holder crashed while writing. Then files and index have to be compared.
        self.is_dirty = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait for the lock and hold it. Calls may be nested in one thread."""
        with self._threads:
            if self._depth == 0:
                LOCKS.lock(self._descriptor, wait=True)
                try:
                    os.lseek(self._descriptor, 0, os.SEEK_SET)
                    self.is_dirty = os.read(self._descriptor, 1) == _WRITING
                    self._write(_WRITING)
                except BaseException:
                    LOCKS.unlock(self._descriptor)
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
                    LOCKS.unlock(self._descriptor)

    def _write(self, state: bytes) -> None:
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, state)

    def close(self) -> None:
        """Close the lock file. May be called twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            LOCKS.close(descriptor)

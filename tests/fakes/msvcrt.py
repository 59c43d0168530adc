"""The locks of Windows' C runtime, as `msvcrt.locking` offers them, made of Linux's locks of open files."""

from __future__ import annotations

import errno
import os
import struct
from typing import Any

from emailsys.platforms.locks import Fcntl

_FLOCK = struct.Struct("hhqqi4x")


class Locking:
    """`msvcrt.locking`: exclusive, and refused to the handle that holds the lock, as LockFile does it.

    Linux' locks are advisory: reading a locked octet works here and fails on Windows.
    """

    LK_UNLCK = 0
    LK_NBLCK = 2

    def __init__(self, fcntl: Any) -> None:
        """@param fcntl: the module."""
        self._fcntl: Fcntl = fcntl
        self._set: int = fcntl.F_OFD_SETLK
        # The octets that this process has locked, by what the kernel takes for one open file.
        self._held: set[tuple[int, int]] = set()

    def locking(self, fd: int, mode: int, nbytes: int, /) -> None:
        """Lock or unlock octets, beginning at the file's position.

        @raise PermissionError: a handle, this one perhaps, holds the lock, or there is none to give back.
        """
        assert nbytes == 1
        start = os.lseek(fd, 0, os.SEEK_CUR)
        # The C runtime takes the start as a signed number of 32 bits.
        assert 0 <= start < 1 << 31
        kind = self._fcntl.F_UNLCK if mode == self.LK_UNLCK else self._fcntl.F_WRLCK
        is_held = (fd, start) in self._held
        if is_held != (mode == self.LK_UNLCK):
            raise PermissionError(errno.EACCES, "Permission denied")
        try:
            self._fcntl.fcntl(fd, self._set, _FLOCK.pack(kind, os.SEEK_SET, start, nbytes, 0))
        except BlockingIOError:
            raise PermissionError(errno.EACCES, "Permission denied") from None
        self._held ^= {(fd, start)}

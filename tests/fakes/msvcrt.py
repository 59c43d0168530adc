"""The locks of Windows' C runtime, as `msvcrt.locking` offers them, made of Linux's locks of open files."""

from __future__ import annotations

import errno
import os
import re
import struct
from pathlib import Path
from typing import Any

from emailsys.platforms.locks import Fcntl

_FLOCK = struct.Struct("hhqqi4x")
# A lock of an open file, with its first and last octet (proc_pid_fdinfo(5)).
_OWN_LOCK = re.compile(r"^lock:.*\bOFDLCK\b.* ([0-9]+) ([0-9]+|EOF)$", re.M)


class Locking:
    """`msvcrt.locking` with LK_NBLCK and LK_UNLCK: LockFile and UnlockFile from the position of the file.

    A lock is exclusive. It is refused to every handle, the one that holds it included, and it ends with its handle.
    Only exactly what was locked can be unlocked, through the same handle. Windows refuses to read or write locked
    octets through other handles; Linux does not, so a test that wants to know calls `read`.
    """

    LK_UNLCK = 0
    LK_NBLCK = 2

    def __init__(self, fcntl: Any) -> None:
        """@param fcntl: the module."""
        self._fcntl: Fcntl = fcntl
        self._set: int = fcntl.F_OFD_SETLK
        self._get: int = fcntl.F_OFD_GETLK

    def locking(self, fd: int, mode: int, nbytes: int, /) -> None:
        """Lock or unlock octets, beginning at the file's position.

        @raise PermissionError: a handle, this one perhaps, holds the lock, or there is none to give back.
        """
        start = os.lseek(fd, 0, os.SEEK_CUR)
        # The C runtime takes the start as a signed number of 32 bits.
        if nbytes < 1 or start >= 1 << 31:
            raise OSError(errno.EINVAL, "Invalid argument")
        own, wanted = self._own(fd), range(start, start + nbytes)
        if mode == self.LK_UNLCK:
            if wanted not in own:
                raise PermissionError(errno.EACCES, "Permission denied")
            kind = self._fcntl.F_UNLCK
        else:
            assert mode == self.LK_NBLCK
            if any(held.start < wanted.stop and wanted.start < held.stop for held in own):
                raise PermissionError(errno.EACCES, "Permission denied")
            kind = self._fcntl.F_WRLCK
        try:
            self._fcntl.fcntl(fd, self._set, _FLOCK.pack(kind, os.SEEK_SET, start, nbytes, 0))
        except BlockingIOError:
            raise PermissionError(errno.EACCES, "Permission denied") from None

    def read(self, fd: int, octets: int) -> bytes:
        """Read from the position, as Windows does.

        @raise PermissionError: another handle holds the lock of one of the octets.
        """
        start = os.lseek(fd, 0, os.SEEK_CUR)
        wanted = _FLOCK.pack(self._fcntl.F_RDLCK, os.SEEK_SET, start, octets, 0)
        if _FLOCK.unpack(self._fcntl.fcntl(fd, self._get, wanted))[0] != self._fcntl.F_UNLCK:
            raise PermissionError(errno.EACCES, "Permission denied")
        return os.read(fd, octets)

    @staticmethod
    def _own(fd: int) -> list[range]:
        """What a handle has locked, as the kernel knows it. Linux joins locks of neighbouring octets to one."""
        text = Path(f"/proc/self/fdinfo/{fd}").read_text()
        joined = [range(int(first), int(last) + 1) for first, last in _OWN_LOCK.findall(text)]
        # emailsys locks single octets, so each octet of a joined lock was locked by itself.
        return [range(octet, octet + 1) for lock in joined for octet in lock]

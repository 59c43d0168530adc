"""Locks on files and on ranges of files, between processes; a crash releases them."""

from __future__ import annotations

import errno
import importlib
import os
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

# What a system raises if a lock is held elsewhere: EAGAIN or EACCES (POSIX allows both), EACCES on Windows.
IS_HELD: Final = (BlockingIOError, PermissionError)

# struct flock of Linux on 64 bits: l_type, l_whence, l_start, l_len, l_pid (0 for locks of an open file).
_FLOCK: Final = struct.Struct("hhqqi4x")

# Seconds between two tries on Windows, where the C runtime waits ten seconds for a lock and then fails.
_PAUSE: Final = 0.005
# The C runtime of Windows takes the start of a lock as a signed number of 32 bits.
_STARTS: Final = 1 << 30
# The octet that stands for the whole file, behind everything that is written: a locked octet cannot be read.
_WHOLE_FILE: Final = 0x7FFF_FFF0


class FileLocks(Protocol):
    """Locks of open files. Two open files of one process exclude each other, too."""

    #: Whether a range can be locked for several open files at once, as SQLite does.
    can_share: bool

    def lock(self, descriptor: int, wait: bool) -> None:
        """Lock a file exclusively.

        @raise BlockingIOError, PermissionError: another open file holds the lock, and `wait` is false.
        """

    def unlock(self, descriptor: int) -> None:
        """Release the lock of a file."""

    def is_locked(self, descriptor: int) -> bool:
        """Whether an open file holds the lock of this file."""

    def lock_range(self, descriptor: int, start: int, length: int = 1, is_shared: bool = False) -> None:
        """Lock octets. Does nothing if this open file holds the lock already.

        @raise BlockingIOError, PermissionError: another open file holds a lock that excludes this one.
        """

    def unlock_range(self, descriptor: int, start: int, length: int = 1) -> None:
        """Release the lock of octets."""

    def is_range_locked(self, descriptor: int, start: int) -> bool:
        """Whether another open file holds the lock of an octet."""

    def close(self, descriptor: int) -> None:
        """Close a file and release its locks."""


class Fcntl(Protocol):
    """The part of the standard library's `fcntl` that locks on Unix use."""

    LOCK_EX: int
    LOCK_SH: int
    LOCK_NB: int
    LOCK_UN: int
    F_RDLCK: int
    F_WRLCK: int
    F_UNLCK: int

    def flock(self, fd: int, operation: int, /) -> None:
        """Lock a file for its open file."""

    def lockf(self, fd: int, cmd: int, len: int = 0, start: int = 0, /) -> Any:
        """Lock octets for this process."""

    def fcntl(self, fd: int, cmd: int, arg: bytes, /) -> bytes:
        """Ask the kernel about a descriptor."""


class LinuxLocks:
    """flock, and fcntl locks that belong to an open file (OFD locks, fcntl(2))."""

    can_share = True

    def __init__(self, fcntl: Fcntl) -> None:
        """@param fcntl: the module, with F_OFD_SETLK and F_OFD_GETLK."""
        self._fcntl = fcntl
        self._set_lock: int = getattr(fcntl, "F_OFD_SETLK", -1)
        self._get_lock: int = getattr(fcntl, "F_OFD_GETLK", -1)

    def lock(self, descriptor: int, wait: bool) -> None:
        """See `FileLocks.lock`."""
        self._fcntl.flock(descriptor, self._fcntl.LOCK_EX | (0 if wait else self._fcntl.LOCK_NB))

    def unlock(self, descriptor: int) -> None:
        """See `FileLocks.unlock`."""
        self._fcntl.flock(descriptor, self._fcntl.LOCK_UN)

    def is_locked(self, descriptor: int) -> bool:
        """See `FileLocks.is_locked`."""
        try:
            self._fcntl.flock(descriptor, self._fcntl.LOCK_SH | self._fcntl.LOCK_NB)
        except IS_HELD:
            return True
        self.unlock(descriptor)
        return False

    def _set(self, descriptor: int, kind: int, start: int, length: int) -> None:
        self._fcntl.fcntl(descriptor, self._set_lock, _FLOCK.pack(kind, os.SEEK_SET, start, length, 0))

    def lock_range(self, descriptor: int, start: int, length: int = 1, is_shared: bool = False) -> None:
        """See `FileLocks.lock_range`."""
        self._set(descriptor, self._fcntl.F_RDLCK if is_shared else self._fcntl.F_WRLCK, start, length)

    def unlock_range(self, descriptor: int, start: int, length: int = 1) -> None:
        """See `FileLocks.unlock_range`."""
        self._set(descriptor, self._fcntl.F_UNLCK, start, length)

    def is_range_locked(self, descriptor: int, start: int) -> bool:
        """See `FileLocks.is_range_locked`."""
        wanted = _FLOCK.pack(self._fcntl.F_WRLCK, os.SEEK_SET, start, 1, 0)
        found = self._fcntl.fcntl(descriptor, self._get_lock, wanted)
        return bool(_FLOCK.unpack(found)[0] != self._fcntl.F_UNLCK)

    def close(self, descriptor: int) -> None:
        """See `FileLocks.close`."""
        os.close(descriptor)


class ProcessLocks(LinuxLocks):
    """flock, and fcntl locks of the whole process (POSIX), with a table that tells its open files apart.

    For macOS. The kernel drops all such locks of a file when the process closes any descriptor of it, so that a
    process must not open a file twice and go on with one of the two.
    """

    can_share = False

    def __init__(self, fcntl: Fcntl) -> None:
        super().__init__(fcntl)
        self._changing = threading.Lock()
        # The descriptor that holds an octet: by device, inode and offset.
        self._holders: dict[tuple[int, int, int], int] = {}

    @staticmethod
    def _octet(descriptor: int, start: int) -> tuple[int, int, int]:
        status = os.fstat(descriptor)
        return status.st_dev, status.st_ino, start

    def lock_range(self, descriptor: int, start: int, length: int = 1, is_shared: bool = False) -> None:
        """See `FileLocks.lock_range`."""
        octet = self._octet(descriptor, start)
        with self._changing:
            if self._holders.setdefault(octet, descriptor) != descriptor:
                raise BlockingIOError(errno.EAGAIN, "another open file of this process holds the lock")
            try:
                self._fcntl.lockf(descriptor, self._fcntl.LOCK_EX | self._fcntl.LOCK_NB, length, start)
            except OSError:
                del self._holders[octet]
                raise

    def unlock_range(self, descriptor: int, start: int, length: int = 1) -> None:
        """See `FileLocks.unlock_range`."""
        octet = self._octet(descriptor, start)
        with self._changing:
            if self._holders.get(octet) == descriptor:
                del self._holders[octet]
                self._fcntl.lockf(descriptor, self._fcntl.LOCK_UN, length, start)

    def is_range_locked(self, descriptor: int, start: int) -> bool:
        """See `FileLocks.is_range_locked`."""
        holder = self._holders.get(self._octet(descriptor, start))
        if holder is not None:
            return holder != descriptor
        try:
            self.lock_range(descriptor, start)
        except IS_HELD:
            return True
        self.unlock_range(descriptor, start)
        return False

    def close(self, descriptor: int) -> None:
        """See `FileLocks.close`."""
        with self._changing:
            self._holders = {octet: holder for octet, holder in self._holders.items() if holder != descriptor}
            os.close(descriptor)


class Msvcrt(Protocol):
    """The part of the standard library's `msvcrt` that locks on Windows use."""

    LK_NBLCK: int
    LK_UNLCK: int

    def locking(self, fd: int, mode: int, nbytes: int, /) -> None:
        """Lock or unlock octets, beginning at the file's position."""


class WindowsLocks:
    """`msvcrt.locking`: exclusive, mandatory, and refused even to the handle that holds the lock.

    Every lock is one octet. Other open files can neither read nor write that octet, whatever their process.
    """

    can_share = False

    def __init__(self, msvcrt: Msvcrt, sleep: Callable[[float], None] = time.sleep) -> None:
        """@param msvcrt: the module."""
        self._msvcrt = msvcrt
        self._sleep = sleep
        # Held for each call and for its entry in the table. A lock begins at the file's position, which all threads
        # share, and no thread may see the lock that another one takes only to find out whether it is free.
        self._changing = threading.Lock()
        # What a descriptor has locked: the start of the range, by the octet that stands for it.
        self._held: dict[int, dict[int, int]] = {}

    def _set(self, descriptor: int, mode: int, octet: int) -> None:
        before = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, octet, os.SEEK_SET)
        try:
            self._msvcrt.locking(descriptor, mode, 1)
        finally:
            os.lseek(descriptor, before, os.SEEK_SET)

    def _is_refused(self, descriptor: int, octet: int) -> bool:
        # Windows tells of a lock only by refusing it.
        try:
            self._set(descriptor, self._msvcrt.LK_NBLCK, octet)
        except IS_HELD:
            return True
        self._set(descriptor, self._msvcrt.LK_UNLCK, octet)
        return False

    def _lock_whole(self, descriptor: int) -> None:
        with self._changing:
            self._set(descriptor, self._msvcrt.LK_NBLCK, _WHOLE_FILE)
            self._held.setdefault(descriptor, {})[_WHOLE_FILE] = _WHOLE_FILE

    def _release(self, descriptor: int, octet: int, start: int) -> None:
        with self._changing:
            held = self._held.get(descriptor, {})
            if held.get(octet) == start:
                self._set(descriptor, self._msvcrt.LK_UNLCK, octet)
                del held[octet]

    def lock(self, descriptor: int, wait: bool) -> None:
        """See `FileLocks.lock`."""
        while True:
            try:
                self._lock_whole(descriptor)
            except IS_HELD:
                if not wait:
                    raise
                self._sleep(_PAUSE)
            else:
                return

    def unlock(self, descriptor: int) -> None:
        """See `FileLocks.unlock`."""
        self._release(descriptor, _WHOLE_FILE, _WHOLE_FILE)

    def is_locked(self, descriptor: int) -> bool:
        """See `FileLocks.is_locked`."""
        with self._changing:
            return self._is_refused(descriptor, _WHOLE_FILE)

    def lock_range(self, descriptor: int, start: int, length: int = 1, is_shared: bool = False) -> None:
        """See `FileLocks.lock_range`. One octet stands for the range; starts 2**30 apart share an octet."""
        octet = start % _STARTS
        with self._changing:
            held = self._held.setdefault(descriptor, {})
            if octet not in held:
                self._set(descriptor, self._msvcrt.LK_NBLCK, octet)
                held[octet] = start
            elif held[octet] != start:
                raise BlockingIOError(errno.EAGAIN, "another range has the octet of this one")

    def unlock_range(self, descriptor: int, start: int, length: int = 1) -> None:
        """See `FileLocks.unlock_range`."""
        self._release(descriptor, start % _STARTS, start)

    def is_range_locked(self, descriptor: int, start: int) -> bool:
        """See `FileLocks.is_range_locked`."""
        octet = start % _STARTS
        with self._changing:
            return octet not in self._held.get(descriptor, {}) and self._is_refused(descriptor, octet)

    def close(self, descriptor: int) -> None:
        """See `FileLocks.close`."""
        with self._changing:
            try:
                # Windows releases the locks of a closed file some time later (LockFile).
                for octet in self._held.pop(descriptor, {}):
                    self._set(descriptor, self._msvcrt.LK_UNLCK, octet)
            finally:
                os.close(descriptor)


def locks_of_this_system() -> FileLocks:
    """The locks that the standard library offers here."""
    try:
        fcntl = importlib.import_module("fcntl")
    except ImportError:
        return WindowsLocks(cast(Msvcrt, importlib.import_module("msvcrt")))
    # The layout of struct flock above is that of Linux.
    has_locks_of_open_files = sys.platform == "linux" and hasattr(fcntl, "F_OFD_SETLK")
    return (LinuxLocks if has_locks_of_open_files else ProcessLocks)(cast(Fcntl, fcntl))


LOCKS: Final = locks_of_this_system()

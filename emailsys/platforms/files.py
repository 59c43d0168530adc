"""Calls on files that not every system has, or that differ between systems."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

# Flags of os.open. Python makes each descriptor close-on-exec by itself (PEP 446).
# Windows translates line ends in a file that is not opened as binary.
BINARY: Final[int] = getattr(os, "O_BINARY", 0)
NO_FOLLOW: Final[int] = getattr(os, "O_NOFOLLOW", 0)
# Opening a pipe does not wait for its other end.
NO_WAIT: Final[int] = getattr(os, "O_NONBLOCK", 0)

# The errors of opening a socket, or a pipe that no program reads.
_NOT_OPENED: Final = (errno.ENXIO, errno.EOPNOTSUPP)
_DIRECTORY: Final[int | None] = getattr(os, "O_DIRECTORY", None)
_PATH: Final[int | None] = getattr(os, "O_PATH", None)


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable: a new file is not on disk before its directory is.

    Windows cannot sync a directory; NTFS keeps the names in its journal.
    """
    if _DIRECTORY is None:
        return
    descriptor = os.open(path, os.O_RDONLY | _DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_identity(name: str) -> int | None:
    """Hold a file's inode, so that its number is not given to another file, without a descriptor that has locks.

    Only Linux can (O_PATH): elsewhere closing a descriptor drops the locks that the process holds on the file. None
    there. Windows does not let a name of an open file lead elsewhere in the first place.
    """
    return None if _PATH is None else os.open(name, os.O_RDONLY | _PATH)


def free_octets(folder: Path) -> int:
    """The octets that an unprivileged user may still write on the disk of a folder."""
    return shutil.disk_usage(folder).free


def is_read_only(folder: Path) -> bool:
    """Whether the file system of a folder is mounted read-only. False if the system does not tell."""
    if sys.platform == "win32" or not hasattr(os, "statvfs"):
        return False
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)


def read_at(descriptor: int, octets: int, start: int) -> bytes:
    """Read at a place. Where the system has no pread, only one thread may use the descriptor."""
    if sys.platform != "win32" and hasattr(os, "pread"):
        return os.pread(descriptor, octets, start)
    os.lseek(descriptor, start, os.SEEK_SET)
    return os.read(descriptor, octets)


def write_at(descriptor: int, octets: bytes, start: int) -> int:
    """Write at a place and return how many octets were written. As for `read_at`, one thread may use it."""
    if sys.platform != "win32" and hasattr(os, "pwrite"):
        return os.pwrite(descriptor, octets, start)
    os.lseek(descriptor, start, os.SEEK_SET)
    return os.write(descriptor, octets)


def not_regular(path: Path) -> OSError:
    """Return the error for a pipe, a device or the like in the place of a file."""
    return OSError(errno.EINVAL, "is not a regular file", str(path))


def open_regular(path: Path, flags: int, mode: int = 0o600) -> int:
    """Open a file as `os.open` does, as binary. A pipe or a device in its place is neither waited for nor used.

    @param flags, mode: as for `os.open`.
    @raise OSError: it cannot be opened, or is not a regular file.
    """
    try:
        descriptor = os.open(path, flags | BINARY | NO_WAIT, mode)
    except OSError as error:
        if error.errno in _NOT_OPENED:
            raise not_regular(path) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise not_regular(path)
    return descriptor


def read_file(path: Path, most: int) -> bytes:
    """Return the content of a file, cut after `most` octets. Another user may have put a pipe in its place.

    @raise OSError: it cannot be opened or read, or is not a regular file.
    """
    descriptor = open_regular(path, os.O_RDONLY)
    try:
        return os.read(descriptor, most)
    finally:
        os.close(descriptor)


def widen_pipe(pipe: int, octets: int) -> None:
    """Let a pipe hold this number of octets, if the system can. Linux can (F_SETPIPE_SZ)."""
    if sys.platform == "linux":
        try:
            import fcntl
        except ImportError:
            return
        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, octets)


@contextmanager
def private_files() -> Iterator[None]:
    """Let only this user read the files that this process creates meanwhile, in whatever thread."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)

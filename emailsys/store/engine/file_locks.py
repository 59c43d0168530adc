"""Kernel locks between processes of one machine: the commit lock, and byte-range locks that a crash releases."""

from __future__ import annotations

import fcntl
import os
import struct
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final

# struct flock of Linux on 64 bits: l_type, l_whence, l_start, l_len, l_pid (0 for OFD locks).
_FLOCK: Final = struct.Struct("hhqqi4x")

# Seconds: how long another process may have a database alone, and between two looks.
_SHARE_WITHIN: Final = 10.0
_SHARE_EVERY: Final = 0.005

# File systems over a network, whose locks and shared memory SQLite's WAL can't rely on (sqlite.org/wal.html, §1).
_NETWORK_FILE_SYSTEMS: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "ncpfs", "afs", "9p", "virtiofs", "davfs"}
    | {"ceph", "lustre", "gfs", "gfs2", "ocfs2", "beegfs", "glusterfs", "gpfs", "pvfs2"}
    | {
        "fuse.sshfs",
        "fuse.glusterfs",
        "fuse.s3fs",
        "fuse.rclone",
        "fuse.ceph",
        "fuse.davfs2",
        "fuse.nfs",
        "fuse.smbnetfs",
    }
)


def network_file_system(path: Path, mounts: str | None = None) -> str | None:
    """The type of the network file system a path lies on, None for a local one.

    @param mounts: text like /proc/self/mounts; read from there by default. Where that is missing nothing is refused.
    """
    if mounts is None:
        try:
            mounts = Path("/proc/self/mounts").read_text(errors="surrogateescape")
        except OSError:
            return None
    target = os.path.realpath(path)
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1].encode("ascii", "surrogateescape").decode("unicode_escape")
        inside = target == point or target.startswith(point.rstrip("/") + "/")
        # A later mount on the same point covers the earlier one.
        if inside and len(point) >= best:
            best, kind = len(point), fields[2]
    return kind if kind in _NETWORK_FILE_SYSTEMS else None


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable: a new file is not on disk before its directory is."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path, mode: int = 0o700) -> None:
    """Make a directory where it is missing, and those above it by the umask; new names are on disk when this returns.

    @raise OSError: it cannot be made.
    """
    if path.is_dir():
        return
    make_directory(path.parent, 0o777)
    path.mkdir(mode=mode, exist_ok=True)
    sync_directory(path.parent)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


class CommitLock:
    """One writer at a time over all processes and threads: held around each group commit and each checkpoint."""

    def __init__(self, path: Path) -> None:
        self._descriptor = _open(path)
        # The kernel takes all threads that use one open file for one holder.
        self._threads = threading.Lock()

    def __enter__(self) -> None:
        self._threads.acquire()
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        except BaseException:
            self._threads.release()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        finally:
            self._threads.release()

    def close(self) -> None:
        """Release it for good."""
        os.close(self._descriptor)


class SQLiteFileLock:
    """SQLite's own lock on a database file, taken from outside, by an open file of ours.

    Every SQLite connection in WAL mode shares that lock, and the last one that closes tries to take it alone: then it
    checkpoints the log and removes it. A lock of an open file (OFD) excludes even the connections of this process.
    """

    def __init__(self, descriptor: int) -> None:
        """@param descriptor: the database file, open for reading and writing."""
        self._descriptor = descriptor

    def _set(self, kind: int) -> None:
        # SHARED_FIRST and SHARED_SIZE of SQLite's os.h; they are part of its file format.
        fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, 0x40000002, 510, 0))

    def share(self) -> None:
        """From now on no connection that closes takes itself for the last one.

        @raise OSError: another process has had the file alone for too long.
        """
        until = time.monotonic() + _SHARE_WITHIN
        while True:
            try:
                self._set(fcntl.F_RDLCK)
                return
            except (BlockingIOError, PermissionError):
                # A connection closes as the last one, in another process.
                if time.monotonic() >= until:
                    raise
                time.sleep(_SHARE_EVERY)

    def try_alone(self) -> bool:
        """Whether nobody else has the database open; until the next call nobody can open it, either."""
        try:
            self._set(fcntl.F_WRLCK)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def release(self) -> None:
        """Give the lock back."""
        self._set(fcntl.F_UNLCK)


class ByteLocks:
    """Exclusive locks on single bytes of a file, between open files, in one process too; a crash ends them."""

    def __init__(self, path: Path) -> None:
        self._descriptor = _open(path)

    def _set(self, kind: int, offset: int) -> None:
        fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, offset, 1, 0))

    def try_lock(self, offset: int) -> bool:
        """Whether the lock is ours now. This object's own lock is no hindrance: it asks again and gets it."""
        try:
            self._set(fcntl.F_WRLCK, offset)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def unlock(self, offset: int) -> None:
        """Release one; after `close` there is nothing left to release."""
        if self._descriptor >= 0:
            self._set(fcntl.F_UNLCK, offset)

    def is_locked(self, offset: int) -> bool:
        """Whether another open file holds it."""
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0)
        found = fcntl.fcntl(self._descriptor, fcntl.F_OFD_GETLK, asked)
        return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)

    def close(self) -> None:
        """Release all."""
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

"""File locks between processes on one machine: the commit lock, and byte-range locks that a crash releases."""

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

# Seconds that another process may hold a database exclusively, and seconds between two attempts.
_SHARE_WITHIN: Final = 10.0
_SHARE_EVERY: Final = 0.005

# Network file systems: SQLite's WAL cannot rely on their locks and shared memory (sqlite.org/wal.html, §1).
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
    """Return the type of the network file system that contains a path. None for a local file system.

    @param mounts: text in the format of /proc/self/mounts, which is read by default. If that file is missing, the file
        system counts as local.
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
        # A later mount on the same mount point hides the earlier one.
        if inside and len(point) >= best:
            best, kind = len(point), fields[2]
    return kind if kind in _NETWORK_FILE_SYSTEMS else None


def sync_directory(path: Path) -> None:
    """Make the names in a directory durable. A new file is durable only after its directory is synced."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path, mode: int = 0o700) -> None:
    """Create a directory durably if it is missing. Missing parents get permissions by the umask.

    @raise OSError: it cannot be created.
    """
    if path.is_dir():
        return
    make_directory(path.parent, 0o777)
    path.mkdir(mode=mode, exist_ok=True)
    sync_directory(path.parent)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


class CommitLock:
    """Lock for one writer across all processes and threads, held around each group commit and each checkpoint."""

    def __init__(self, path: Path) -> None:
        self._descriptor = _open(path)
        # For the kernel, all threads that use one open file are the same holder.
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
        """Close the lock file."""
        os.close(self._descriptor)


class SQLiteFileLock:
    """SQLite's own lock on a database file, held through a separate open file.

    Every SQLite connection in WAL mode shares this lock. The last one that closes tries to make it exclusive, then
    checkpoints the log and removes it. An open file description lock (OFD) excludes connections of this process, too.
    """

    def __init__(self, descriptor: int) -> None:
        """@param descriptor: of the database file, open for reading and writing."""
        self._descriptor = descriptor

    def _set(self, kind: int) -> None:
        # SHARED_FIRST and SHARED_SIZE in SQLite's os.h. They are part of its file format.
        fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, 0x40000002, 510, 0))

    def share(self) -> None:
        """Share the lock. From now on, no closing connection is the last one.

        @raise OSError: another process has held the file exclusively for 10 seconds.
        """
        until = time.monotonic() + _SHARE_WITHIN
        while True:
            try:
                self._set(fcntl.F_RDLCK)
                return
            except (BlockingIOError, PermissionError):
                # In another process, the last connection is closing.
                if time.monotonic() >= until:
                    raise
                time.sleep(_SHARE_EVERY)

    def try_exclusive(self) -> bool:
        """Try to lock exclusively. If this succeeds, no connection is open, and none can be until the next call."""
        try:
            self._set(fcntl.F_WRLCK)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def release(self) -> None:
        """Release the lock."""
        self._set(fcntl.F_UNLCK)


class ByteLocks:
    """Exclusive locks on single bytes of a file, also against other open files of this process. A crash ends them."""

    def __init__(self, path: Path) -> None:
        self._descriptor = _open(path)

    def _set(self, kind: int, offset: int) -> None:
        fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, offset, 1, 0))

    def try_lock(self, offset: int) -> bool:
        """Try to lock a byte. Returns whether this object holds the lock now, also if it did before."""
        try:
            self._set(fcntl.F_WRLCK, offset)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def unlock(self, offset: int) -> None:
        """Release a byte. Does nothing after `close`."""
        if self._descriptor >= 0:
            self._set(fcntl.F_UNLCK, offset)

    def is_locked(self, offset: int) -> bool:
        """Whether another open file holds the lock of a byte."""
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0)
        found = fcntl.fcntl(self._descriptor, fcntl.F_OFD_GETLK, asked)
        return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)

    def close(self) -> None:
        """Release all locks and close the file."""
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

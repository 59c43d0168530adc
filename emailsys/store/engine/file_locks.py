"""File locks between processes on one machine: the commit lock, and byte-range locks that a crash releases."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

from emailsys.platforms.files import NO_FOLLOW, open_regular, sync_directory
from emailsys.platforms.locks import IS_HELD, LOCKS

# SHARED_FIRST and SHARED_SIZE of SQLite's os.h; they are part of its file format.
_SHARED_RANGE: Final = (0x40000002, 510)

# Seconds that another process may hold a database exclusively, and seconds between two attempts.
_SHARE_WITHIN: Final = 10.0
_SHARE_EVERY: Final = 0.005

# The octets of the commit lock's file that a process locks while it is in doubt about a checkpoint, and while it moves
# a store into the database.
_DOUBT: Final = 1
_MOVE: Final = 2

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


def make_directory(path: Path, mode: int = 0o700) -> None:
    """Create a directory durably if it is missing. Missing parents get permissions by the umask.

    @raise OSError: it cannot be created.
    """
    if path.is_dir():
        return
    make_directory(path.parent, 0o777)
    path.mkdir(mode=mode, exist_ok=True)
    try:
        sync_directory(path.parent)
    except OSError:
        # If it stayed, the next call would find it, and its name would never be synced.
        with suppress(OSError):
            path.rmdir()
        raise


def _open(path: Path) -> int:
    return open_regular(path, os.O_RDWR | os.O_CREAT | NO_FOLLOW)


class CommitLock:
    """Lock for one writer across all processes and threads, held around each group commit and each checkpoint."""

    def __init__(self, path: Path) -> None:
        self._descriptor = _open(path)
        # For the kernel, all threads that use one open file are the same holder.
        self._threads = threading.Lock()

    def __enter__(self) -> None:
        self._threads.acquire()
        try:
            LOCKS.lock(self._descriptor, wait=True)
        except BaseException:
            self._threads.release()
            raise

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            LOCKS.unlock(self._descriptor)
        finally:
            self._threads.release()

    def tell_doubt(self) -> None:
        """Tell the other processes that this one has met an I/O error at a checkpoint, until `end_doubt` or its end."""
        if LOCKS.can_share:
            LOCKS.lock_range(self._descriptor, _DOUBT, is_shared=True)

    def end_doubt(self) -> None:
        """Take back what `tell_doubt` has told."""
        if LOCKS.can_share:
            LOCKS.unlock_range(self._descriptor, _DOUBT)

    def is_in_doubt(self) -> bool:
        """Whether another process has told of a doubt. Call inside the lock."""
        return LOCKS.can_share and LOCKS.is_range_locked(self._descriptor, _DOUBT)

    def lock_for_move(self) -> bool:
        """See `Engine.lock_for_move`."""
        try:
            LOCKS.lock_range(self._descriptor, _MOVE)
        except IS_HELD:
            return False
        return True

    def close(self) -> None:
        """Close the lock file."""
        LOCKS.close(self._descriptor)


class SQLiteFileLock:
    """SQLite's own lock on a database file, held through a separate open file.

    Every SQLite connection in WAL mode shares this lock. The last one that closes tries to make it exclusive, then
    checkpoints the log and removes it. An open file description lock (OFD) excludes connections of this process, too.

    On a system without such locks nothing is locked here, and an exclusive lock is never granted. The log is then
    proven through a connection, as if other processes had the database open.
    """

    def __init__(self, descriptor: int) -> None:
        """@param descriptor: the descriptor of the database file, open for reading and writing."""
        self._descriptor = descriptor

    def share(self) -> None:
        """Share the lock. From now on, no closing connection is the last one.

        @raise OSError: another process has held the file exclusively for 10 seconds.
        """
        if not LOCKS.can_share:
            return
        until = time.monotonic() + _SHARE_WITHIN
        while True:
            try:
                LOCKS.lock_range(self._descriptor, *_SHARED_RANGE, is_shared=True)
                return
            except IS_HELD:
                # In another process, the last connection is closing.
                if time.monotonic() >= until:
                    raise
                time.sleep(_SHARE_EVERY)

    def try_exclusive(self, within: float = 0.0) -> bool:
        """Try to lock exclusively. If this succeeds, no connection is open, and none can be until the next call.

        @param within: seconds to wait for processes that end.
        """
        if not LOCKS.can_share:
            return False
        until = time.monotonic() + within
        while True:
            try:
                LOCKS.lock_range(self._descriptor, *_SHARED_RANGE)
                return True
            except IS_HELD:
                if time.monotonic() >= until:
                    return False
                time.sleep(_SHARE_EVERY)

    def release(self) -> None:
        """Release the lock."""
        if LOCKS.can_share:
            LOCKS.unlock_range(self._descriptor, *_SHARED_RANGE)


class ByteLocks:
    """Exclusive locks on single bytes of a file, also against other open files of this process. A crash ends them."""

    def __init__(self, path: Path) -> None:
        self._descriptor = _open(path)

    def try_lock(self, offset: int) -> bool:
        """Try to lock a byte. Returns whether this object holds the lock now, also if it did before."""
        try:
            LOCKS.lock_range(self._descriptor, offset)
        except IS_HELD:
            return False
        return True

    def unlock(self, offset: int) -> None:
        """Release a byte. Does nothing after `close`."""
        if self._descriptor >= 0:
            LOCKS.unlock_range(self._descriptor, offset)

    def is_locked(self, offset: int) -> bool:
        """Whether another open file holds the lock of a byte."""
        return LOCKS.is_range_locked(self._descriptor, offset)

    def close(self) -> None:
        """Release all locks and close the file."""
        descriptor, self._descriptor = self._descriptor, -1
        LOCKS.close(descriptor)

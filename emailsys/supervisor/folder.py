"""The state folder: its permissions, and the lock of the process that works in it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from emailsys.config.exit_status import Exit
from emailsys.platforms.files import NO_FOLLOW, is_read_only, open_regular, read_at, write_at
from emailsys.platforms.locks import IS_HELD, LOCKS
from emailsys.platforms.users import HAS_USERS, effective_user, user_name
from emailsys.store.engine.file_locks import make_directory
from emailsys.supervisor.errors import StartupError

LOCK_NAME: Final = "daemon.lock"
# A lock file holds a pid and a line end.
_MAX_LOCK_OCTETS: Final = 64


def make_state_folder(folder: Path) -> None:
    """Create the state folder with mode 0700, its parents by the umask. Refuse a folder that others may write to.

    @raise StartupError: the folder cannot be created, or others may write to it.
    """
    try:
        make_directory(folder)
    except OSError as error:
        raise StartupError(f"state folder {folder}: cannot be created: {error.strerror}", Exit.CANNOT_CREATE) from None
    check_state_folder(folder)


def check_state_folder(folder: Path) -> None:
    """Check that an existing state folder is a folder, and that only the user of this process may write to it.

    @raise StartupError: the check failed.
    """
    try:
        status = folder.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise StartupError(
            f"state folder {folder}: {error.strerror}; try sudo, or name another folder with --state",
            Exit.NO_PERMISSION,
        ) from None
    if not stat.S_ISDIR(status.st_mode):
        raise StartupError(f"state folder {folder}: found a file; allowed: a folder", Exit.CANNOT_CREATE)
    # On Windows, the mode does not tell who may write.
    if HAS_USERS and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        is_own = status.st_uid == effective_user()
        remedy = f"run: chmod 700 {folder}" if is_own else f"use a folder of your own in it: --state {folder}/emailsys"
        raise StartupError(
            f"state folder {folder}: found mode {stat.S_IMODE(status.st_mode):04o}, which lets others write; "
            f"allowed: 0700; {remedy}",
            Exit.CONFIG,
        )
    if is_read_only(folder):
        raise StartupError(
            f"state folder {folder}: found a file system that is mounted read-only; allowed: a writable one",
            Exit.CANNOT_CREATE,
        )
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise StartupError(
            f"state folder {folder}: belongs to {user_name(status.st_uid)}, and {user_name(effective_user())} may not "
            "write there; try sudo, or name another folder by --state",
            Exit.NO_PERMISSION,
        )


class FolderLock:
    """Exclusive lock of one process on a folder: a flock on a file in it. The kernel releases it when the process ends.

    A flock belongs to the open file, so it survives the forks by which twistd becomes a daemon.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        #: Whether another process holds the lock, too, and the lock file is that process's.
        self.is_handed_over = False

    @property
    def descriptor(self) -> int:
        """The open file that holds the lock."""
        return self._descriptor

    @classmethod
    def inherit(cls, descriptor: int, folder: Path, name: str = LOCK_NAME) -> FolderLock:
        """Return the lock on an open file that another process has passed on.

        @raise StartupError: it is not the lock of this folder.
        """
        try:
            is_same = os.path.samestat(os.fstat(descriptor), (folder / name).stat())
        except OSError:
            is_same = False
        if not is_same:
            raise StartupError(f"state folder {folder}: is not that of the running daemon", Exit.CONFIG)
        lock = cls(descriptor)
        lock.is_handed_over = True
        return lock

    @classmethod
    def take(cls, folder: Path, name: str = LOCK_NAME, what: str = "emailsys") -> FolderLock:
        """Lock the folder.

        @raise StartupError: another process holds the lock; the message names that process.
        """
        path = folder / name
        try:
            descriptor = open_regular(path, os.O_RDWR | os.O_CREAT | NO_FOLLOW)
        except OSError as error:
            raise StartupError(f"{path}: cannot be opened: {error.strerror}", Exit.CANNOT_CREATE) from None
        try:
            LOCKS.lock(descriptor, wait=False)
        except OSError as error:
            holder = read_at(descriptor, _MAX_LOCK_OCTETS, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            if not isinstance(error, IS_HELD):
                raise StartupError(f"{path}: cannot be locked: {error.strerror}", Exit.OS) from None
            who = f"process {holder}" if holder.isdigit() else "another process"
            advice = "stop it first, or use another state folder"
            raise StartupError(
                f"state folder {folder}: {what} already runs there, as {who}; {advice}", Exit.UNAVAILABLE
            ) from None
        lock = cls(descriptor)
        lock.write_pid()
        return lock

    def write_pid(self) -> None:
        """Write the pid of this process into the lock file. Call again after a fork."""
        self.is_handed_over = False
        os.ftruncate(self._descriptor, 0)
        write_at(self._descriptor, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Release the lock. A second call does nothing."""
        if self._descriptor >= 0:
            if not self.is_handed_over:
                os.ftruncate(self._descriptor, 0)
            LOCKS.close(self._descriptor)
            self._descriptor = -1


def holder_of(folder: Path, name: str = LOCK_NAME) -> int | None:
    """Return the process that holds the lock of a folder, None if no process does. 0 means an unknown process."""
    try:
        descriptor = open_regular(folder / name, os.O_RDONLY | NO_FOLLOW)
    except OSError:
        return None
    try:
        if not LOCKS.is_locked(descriptor):
            return None
        text = read_at(descriptor, _MAX_LOCK_OCTETS, 0).decode("ascii", "replace").strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(descriptor)

"""Users, groups and the limit of open files, on systems that have them."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

try:
    import grp
    import pwd
    import resource
except ImportError:
    _HAS_USERS = False
else:
    _HAS_USERS = hasattr(os, "getuid")

# Sockets that Python's select takes on Windows (FD_SETSIZE); files have no limit there.
_SELECTABLE: Final = 512

#: Whether this system has users and groups by number, as every Unix has.
HAS_USERS: Final = _HAS_USERS


@dataclass(frozen=True, slots=True)
class Identity:
    """A user and the groups that a process can run as."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    name: str


def effective_user() -> int | None:
    """The user this process runs as; None if the system has no such numbers."""
    if sys.platform == "win32" or not HAS_USERS:
        return None
    return os.geteuid()


def is_root() -> bool:
    """Whether this process may do what only root may."""
    return effective_user() == 0


def user_name(uid: int | None) -> str:
    """The name of a user, or its number if it has no name."""
    if uid is None:
        return "this user"
    if sys.platform == "win32" or not HAS_USERS:
        return f"user {uid}"
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def identity_of(user: str, group: str | None) -> Identity:
    """The identity of a user, in a group other than the user's own if one is given.

    @raise KeyError: its argument is "user" or "group", whichever does not exist.
    """
    if sys.platform == "win32" or not HAS_USERS:
        raise KeyError("user")
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise KeyError("user") from None
    gid = entry.pw_gid
    if group is not None:
        try:
            gid = grp.getgrnam(group).gr_gid
        except KeyError:
            raise KeyError("group") from None
    return Identity(entry.pw_uid, gid, tuple(os.getgrouplist(user, gid)), user)


def become(identity: Identity) -> None:
    """Run as that identity from now on, for good.

    @raise OSError: the process may not.
    """
    if sys.platform == "win32" or not HAS_USERS:
        return
    os.setgroups(identity.groups)
    os.setgid(identity.gid)
    os.setuid(identity.uid)


def owner_of(folder: Path) -> Identity | None:
    """The identity of the user that a folder belongs to; None if the system has no users by number."""
    if sys.platform == "win32" or not HAS_USERS:
        return None
    status = folder.stat()
    try:
        name = pwd.getpwuid(status.st_uid).pw_name
        groups = tuple(os.getgrouplist(name, status.st_gid))
    except KeyError:
        name, groups = str(status.st_uid), (status.st_gid,)
    return Identity(status.st_uid, status.st_gid, groups, name)


@contextmanager
def acting_as(identity: Identity | None) -> Iterator[None]:
    """Let root work with the rights of another user, in a folder where that user may have put links to other files.

    Does nothing for other users, or without an identity. All threads of the process are affected.
    """
    if sys.platform == "win32" or identity is None or identity.uid == 0 or not is_root():
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    os.setgroups(identity.groups)
    os.setegid(identity.gid)
    os.seteuid(identity.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def may_read(identity: Identity, path: Path) -> bool:
    """Whether a user can read a file, by the folders above it and access lists, too.

    @raise OSError: the process is not root's, and may not find out.
    """
    if sys.platform == "win32" or not HAS_USERS:
        return os.access(path, os.R_OK)
    # Imported here: most commands need no further program.
    import subprocess

    asked = subprocess.run(  # noqa: S603 (a program of the system)
        ["/usr/bin/env", "test", "-r", str(path)],
        user=identity.uid,
        group=identity.gid,
        extra_groups=identity.groups,
        check=False,
    )
    return asked.returncode == 0


def give_folder(folder: Path, uid: int, gid: int) -> None:
    """Give a folder, and the folders and files in it, to a user. Links, sockets and pipes keep their owner.

    The folder may belong to that user already, who may change it at the same time. So each name is looked up in a
    directory that is open, and no link is followed.
    """
    if sys.platform == "win32" or not HAS_USERS:
        return
    for _, _, files, directory in os.fwalk(folder):
        os.fchown(directory, uid, gid)
        for name in files:
            # The user may have removed or replaced it: then it is none of root's files.
            with suppress(OSError):
                _give_file(name, directory, uid, gid)


def _give_file(name: str, directory: int, uid: int, gid: int) -> None:
    if sys.platform == "win32" or not HAS_USERS:
        return
    if not stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
        return
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    try:
        opened = os.fstat(descriptor)
        named = os.stat(name, dir_fd=directory, follow_symlinks=False)
        # If this is the only name of the open file, no other folder has the file. The count must be taken with the
        # name: the user could link a file from elsewhere, and remove that name after the file was opened.
        if stat.S_ISREG(opened.st_mode) and os.path.samestat(opened, named) and named.st_nlink == 1:
            os.fchown(descriptor, uid, gid)
    finally:
        os.close(descriptor)


def raise_descriptor_limit(wanted: int) -> int:
    """Raise the soft limit of open files as far as the hard limit allows, for root the hard limit too.

    Returns the limit in force.
    """
    if sys.platform == "win32" or not HAS_USERS:
        return _SELECTABLE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        enough = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        for new in ((wanted, max(wanted, hard)), (enough, hard)):
            with suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_NOFILE, new)
                break
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]

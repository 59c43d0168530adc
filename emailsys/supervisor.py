"""Hold what the process owns before it serves: the state folder's lock, bound sockets, limits, and whom it runs as."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emailsys.config.exit_status import Exit
from emailsys.config.settings import Listen, Settings
from emailsys.config.values import EVERY_ADDRESS, LOOPBACK, shown_address
from emailsys.platforms.files import BINARY, NO_FOLLOW, is_read_only, read_at, write_at
from emailsys.platforms.locks import IS_HELD, LOCKS
from emailsys.platforms.users import (
    HAS_USERS,
    Identity,
    become,
    effective_user,
    give_folder,
    identity_of,
    is_root,
    user_name,
)
from emailsys.store.engine.file_locks import make_directory

LOCK_NAME: Final = "daemon.lock"
# Listening sockets queue this many connections that were not yet accepted; the kernel caps it (somaxconn).
BACKLOG: Final = 1024
# A lock file holds a pid and a line end.
_MAX_LOCK_OCTETS: Final = 64


class StartupError(Exception):
    """The daemon cannot start; the message is one line for the operator, the status is what the process ends with."""

    def __init__(self, message: str, status: Exit) -> None:
        super().__init__(message)
        self.status = status


def make_state_folder(folder: Path) -> None:
    """Create the state folder with mode 0700, parents by the umask; refuse one that others may write to.

    @raise StartupError: it cannot be made, or is open to others.
    """
    try:
        make_directory(folder)
    except OSError as error:
        raise StartupError(f"state folder {folder}: cannot be made: {error.strerror}", Exit.CANNOT_CREATE) from None
    check_state_folder(folder)


def check_state_folder(folder: Path) -> None:
    """Whether a state folder that exists is a folder, ours to write to, and closed to others; nothing is changed.

    @raise StartupError: it is not.
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
    # Without users by number, the mode says nothing.
    if HAS_USERS and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StartupError(
            f"state folder {folder}: found mode {stat.S_IMODE(status.st_mode):04o}, which lets others write; "
            f"allowed: 0700 (chmod 700 {folder})",
            Exit.CONFIG,
        )
    if is_read_only(folder):
        raise StartupError(
            f"state folder {folder}: found a file system that is mounted read-only; allowed: one to write to",
            Exit.CANNOT_CREATE,
        )
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise StartupError(
            f"state folder {folder}: belongs to {user_name(status.st_uid)}, and {user_name(effective_user())} may not "
            "write there; try sudo, or name another folder by --state",
            Exit.NO_PERMISSION,
        )


class FolderLock:
    """The claim of one process on a folder: a flock on a file in it, which the kernel releases when the process ends.

    A flock belongs to the open file, so that it survives the forks by which twistd becomes a daemon.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, folder: Path, name: str = LOCK_NAME, what: str = "emailsys") -> FolderLock:
        """Claim the folder.

        @raise StartupError: another process holds it; the message names that process.
        """
        path = folder / name
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | BINARY | NO_FOLLOW, 0o600)
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
            raise StartupError(
                f"state folder {folder}: {what} already runs there, as {who}", Exit.UNAVAILABLE
            ) from None
        lock = cls(descriptor)
        lock.write_pid()
        return lock

    def write_pid(self) -> None:
        """Note this process as the holder; said again after a fork."""
        os.ftruncate(self._descriptor, 0)
        write_at(self._descriptor, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Give the folder up. Does nothing the second time."""
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            LOCKS.close(self._descriptor)
            self._descriptor = -1


def holder_of(folder: Path, name: str = LOCK_NAME) -> int | None:
    """The process that holds a folder's lock, None where nobody does. Takes nothing."""
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | BINARY)
    except OSError:
        return None
    try:
        if not LOCKS.is_locked(descriptor):
            return None
        text = read_at(descriptor, _MAX_LOCK_OCTETS, 0).decode("ascii", "replace").strip()
        return int(text) if text.isdigit() else 0
    finally:
        os.close(descriptor)


def find_identity(user: str | None, group: str | None) -> Identity | None:
    """The user and group of the settings, None where none is named.

    @raise StartupError: one does not exist, or a group stands alone.
    """
    if user is None:
        if group is not None:
            raise StartupError(f'group: found "{group}" without a user; allowed: together with user', Exit.CONFIG)
        return None
    if not HAS_USERS:
        raise StartupError(
            f'user: found "{user}"; this system cannot run the daemon as another user: remove user and group',
            Exit.CONFIG,
        )
    try:
        return identity_of(user, group)
    except KeyError as error:
        (kind,) = error.args
        found = user if kind == "user" else group
        raise StartupError(f'{kind}: found "{found}"; allowed: a {kind} of this machine', Exit.NO_USER) from None


def drop_privileges(identity: Identity | None, folder: Path) -> None:
    """Become that user for good, and give the user the state folder. Nothing happens for one who is that user already.

    @raise StartupError: the process may not, or would still be root.
    """
    if identity is None or identity.uid == effective_user():
        return
    if not is_root():
        raise StartupError(
            f'user: found "{identity.name}", but {user_name(effective_user())} started the daemon; '
            f"allowed: start it as root or as {identity.name}",
            Exit.NO_PERMISSION,
        )
    try:
        give_folder(folder, identity.uid, identity.gid)
        become(identity)
    except OSError as error:
        raise StartupError(f"cannot run as {identity.name}: {error.strerror}", Exit.OS) from None
    if identity.uid != 0 and is_root():
        raise StartupError(f"cannot run as {identity.name}: the process is still root", Exit.OS)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise StartupError(
            f"state folder {folder}: {identity.name} cannot reach it; a folder above it is closed to that user",
            Exit.NO_PERMISSION,
        )


def keep_owner(folder: Path) -> None:
    """Give what root has made in a state folder to the folder's owner; other users have made nothing but their own."""
    status = folder.stat()
    if is_root() and status.st_uid != 0:
        give_folder(folder, status.st_uid, status.st_gid)


@dataclass(frozen=True, slots=True)
class Bound:
    """A listening socket of a service."""

    service: str
    socket: socket.socket

    @property
    def shown(self) -> str:
        """Its address as the configuration writes it."""
        host, port = self.socket.getsockname()[:2]
        return shown_address(host, port)


def has_ipv6(host: str = "::1") -> bool:
    """Whether this machine can listen on IPv6 at that address."""
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def expand(addresses: Iterable[tuple[str, int]], ipv6: bool) -> list[tuple[str, int]]:
    """Addresses as they are bound: `*` and `localhost` become one of each family this machine has."""
    pairs: list[tuple[str, int]] = []
    for host, port in addresses:
        both = {EVERY_ADDRESS: ("0.0.0.0", "::"), LOOPBACK: ("127.0.0.1", "::1")}.get(host)  # noqa: S104
        if both is None:
            pairs.append((host, port))
        else:
            pairs += [(one, port) for one in both if ipv6 or ":" not in one]
    return pairs


def listens_of(settings: Settings) -> Sequence[tuple[str, Listen]]:
    """The services by name, each with where it listens."""
    return (
        ("smtp", settings.smtp_listen),
        ("submission", settings.submission_listen),
        ("submissions", settings.submissions_listen),
        ("pop3", settings.pop3_listen),
        ("pop3s", settings.pop3s_listen),
        ("metrics", Listen(settings.monitoring.metrics_listen)),
    )


def bind_all(settings: Settings) -> list[Bound]:
    """Bind and listen on each address of each service; on an error none stays bound.

    @raise StartupError: an address cannot be bound; the message names service, address, reason and what to do.
    """
    ipv6 = has_ipv6()
    bound: list[Bound] = []
    try:
        for service, listen in listens_of(settings):
            for host, port in expand(listen.addresses, ipv6):
                bound.append(Bound(service, _listening(service, host, port)))
    except StartupError:
        close_all(bound)
        raise
    return bound


def close_all(bound: Iterable[Bound]) -> None:
    """Close the sockets."""
    for one in bound:
        one.socket.close()


def _listening(service: str, host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listener.family == socket.AF_INET6:
            # `0.0.0.0` and `::` stand side by side, each with its own socket.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        where = f"listen.{service}: {shown_address(host, port)}"
        if error.errno == errno.EADDRINUSE:
            raise StartupError(f"{where}: another program listens there", Exit.UNAVAILABLE) from None
        if error.errno == errno.EACCES:
            raise StartupError(
                f"{where}: ports below 1024 are root's; start the daemon as root and name a user to run as",
                Exit.NO_PERMISSION,
            ) from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise StartupError(f"{where}: this machine has no such address", Exit.UNAVAILABLE) from None
        raise StartupError(f"{where}: {error.strerror}", Exit.OS) from None
    return listener

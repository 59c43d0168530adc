"""Process resources of the daemon: lock of the state folder, bound sockets, limits, user and group."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from emailsys.config.exit_status import Exit
from emailsys.config.settings import Listen, Settings
from emailsys.config.values import EVERY_ADDRESS, LOOPBACK, described, shown_address
from emailsys.mail.ip import is_loopback
from emailsys.platforms.files import BINARY, NO_FOLLOW, NO_WAIT, is_read_only, read_at, write_at
from emailsys.platforms.locks import IS_HELD, LOCKS
from emailsys.platforms.users import (
    HAS_USERS,
    Identity,
    acting_as,
    become,
    effective_user,
    give_folder,
    identity_of,
    is_root,
    owner_of,
    user_name,
)
from emailsys.store.engine.file_locks import make_directory

LOCK_NAME: Final = "daemon.lock"
# Connections that may wait for accept() on a listening socket; the kernel limits it (somaxconn).
BACKLOG: Final = 1024
# A lock file holds a pid and a line end.
_MAX_LOCK_OCTETS: Final = 64


class StartupError(Exception):
    """The daemon cannot start. The message is one line for the operator; `status` is the exit status."""

    def __init__(self, message: str, status: Exit) -> None:
        super().__init__(message)
        self.status = status


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
    """Check that an existing state folder is a folder that this process, and nobody else, may write to.

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
    # Without users by number, the mode says nothing.
    if HAS_USERS and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StartupError(
            f"state folder {folder}: found mode {stat.S_IMODE(status.st_mode):04o}, which lets others write; "
            f"allowed: 0700; run: chmod 700 {folder}",
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

    @classmethod
    def take(cls, folder: Path, name: str = LOCK_NAME, what: str = "emailsys") -> FolderLock:
        """Lock the folder.

        @raise StartupError: another process holds the lock; the message names that process.
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
        """Write the pid of this process into the lock file. Call again after a fork."""
        os.ftruncate(self._descriptor, 0)
        write_at(self._descriptor, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Release the lock. A second call does nothing."""
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            LOCKS.close(self._descriptor)
            self._descriptor = -1


def holder_of(folder: Path, name: str = LOCK_NAME) -> int | None:
    """Return the process that holds the lock of a folder, None if no process does. 0 means an unknown process."""
    try:
        descriptor = os.open(folder / name, os.O_RDONLY | BINARY | NO_FOLLOW | NO_WAIT)
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
    """Look up the user and group of the settings; None if no user is set.

    @raise StartupError: one of them does not exist, or a group is set without a user.
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


def check_user(settings: Settings, identity: Identity | None) -> None:
    """Check that a daemon that root starts may keep the rights of root: only for development on loopback.

    `user = "root"` is a decision of the operator, for a container in which root is an ordinary user.

    @raise StartupError: a user is not set. The message says what to write.
    """
    if not is_root() or (identity is not None and identity.uid != 0):
        return
    source = settings.source
    if source is not None and (owner := source.stat().st_uid) != 0:
        raise StartupError(
            f"user: root would run by a configuration of {user_name(owner)}, who may change it; "
            f"set user to another one than root, or run: chown root {source}",
            Exit.CONFIG,
        )
    if identity is None and not all(is_loopback(host) for host, _ in _all_addresses(settings)):
        where = "/etc/emailsys/emailsys.toml, and name that file with --config" if source is None else str(source)
        raise StartupError(
            "user: not set, and root started the daemon; a fault in the daemon would give away the machine. "
            f'Write user = "emailsys" at the beginning of {where}, and create that user with: '
            "useradd --system --shell /usr/sbin/nologin emailsys. Only on loopback may the daemon run as root",
            Exit.CONFIG,
        )


def _all_addresses(settings: Settings) -> list[tuple[str, int]]:
    return [pair for _, listen in listens_of(settings) for pair in expand(listen.addresses, True)]


def give_state_folder(identity: Identity | None, folder: Path) -> None:
    """Give the state folder to the user that the daemon will run as, before root does anything else there.

    @raise StartupError: the folder belongs to a third user, or to another user than root and none is set.
    """
    if not is_root() or (identity is not None and identity.uid == 0):
        return
    owner = folder.stat().st_uid
    if owner != 0 and (identity is None or owner != identity.uid):
        name = user_name(owner)
        allowed = f"root or {identity.name}; run: chown -R {identity.name} {folder}" if identity is not None else "root"
        raise StartupError(
            f"state folder {folder}: belongs to {name}; allowed: {allowed}, or user = {described(name)} in the "
            "configuration",
            Exit.CONFIG,
        )
    if identity is not None:
        try:
            give_folder(folder, identity.uid, identity.gid)
        except OSError as error:
            raise StartupError(f"state folder {folder}: {error.strerror}", Exit.OS) from None


def drop_privileges(identity: Identity | None, folder: Path) -> None:
    """Become that user permanently. Does nothing if the process runs as this user already.

    @raise StartupError: the process has no permission, or would still be root, or the user cannot open the folder.
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
        become(identity)
    except OSError as error:
        raise StartupError(f"cannot run as {identity.name}: {error.strerror}", Exit.OS) from None
    if identity.uid != 0 and is_root():
        raise StartupError(f"cannot run as {identity.name}: the process is still root", Exit.OS)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise StartupError(
            f"state folder {folder}: {identity.name} cannot open it, because that user may not enter a folder above it",
            Exit.NO_PERMISSION,
        )


def check_owner(folder: Path) -> None:
    """Check, for a command that root runs, that no other user can change a state folder under it.

    @raise StartupError: the folder belongs to another user.
    """
    if is_root() and folder.is_dir() and (owner := folder.stat().st_uid) != 0:
        raise StartupError(
            f"state folder {folder}: belongs to {user_name(owner)}, and root needs a folder of its own here: "
            "name another one with --state",
            Exit.NO_PERMISSION,
        )


@contextmanager
def as_owner(folder: Path) -> Iterator[None]:
    """Let root work in a state folder with the rights of its owner. Does nothing for other users.

    Files there that still belong to root are given to the owner first.
    """
    owner = owner_of(folder) if is_root() and folder.is_dir() else None
    if owner is not None and owner.uid != 0:
        give_folder(folder, owner.uid, owner.gid)
    with acting_as(owner):
        yield


@dataclass(frozen=True, slots=True)
class Bound:
    """A listening socket and its service."""

    service: str
    socket: socket.socket

    @property
    def shown(self) -> str:
        """The address as the configuration writes it."""
        host, port = self.socket.getsockname()[:2]
        return shown_address(host, port)


def has_ipv6(host: str = "::1") -> bool:
    """Tell whether this machine can listen on that IPv6 address."""
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True


def expand(addresses: Iterable[tuple[str, int]], ipv6: bool) -> list[tuple[str, int]]:
    """Return the addresses to bind: `*` and `localhost` become one address of each IP version of this machine."""
    pairs: list[tuple[str, int]] = []
    for host, port in addresses:
        both = {EVERY_ADDRESS: ("0.0.0.0", "::"), LOOPBACK: ("127.0.0.1", "::1")}.get(host)  # noqa: S104
        if both is None:
            pairs.append((host, port))
        else:
            pairs += [(one, port) for one in both if ipv6 or ":" not in one]
    return pairs


def listens_of(settings: Settings) -> Sequence[tuple[str, Listen]]:
    """Return the listening addresses of each service, by name."""
    return (
        ("smtp", settings.smtp_listen),
        ("submission", settings.submission_listen),
        ("submissions", settings.submissions_listen),
        ("pop3", settings.pop3_listen),
        ("pop3s", settings.pop3s_listen),
        ("metrics", Listen(settings.monitoring.metrics_listen)),
    )


def bind_all(settings: Settings) -> list[Bound]:
    """Bind and listen on each address of each service. On an error, no socket stays bound.

    @raise StartupError: an address cannot be bound. The message names service, address, reason and what to do.
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
            # `0.0.0.0` and `::` have one socket each.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        where = f"listen.{service}: {shown_address(host, port)}"
        if error.errno == errno.EADDRINUSE:
            raise StartupError(
                f"{where} is already in use by another program; stop it, or change listen.{service}", Exit.UNAVAILABLE
            ) from None
        if error.errno == errno.EACCES:
            raise StartupError(
                f"{where}: ports below 1024 require root; start the daemon as root and set user in the configuration",
                Exit.NO_PERMISSION,
            ) from None
        if error.errno == errno.EADDRNOTAVAIL:
            raise StartupError(
                f"{where}: this machine has no such address; change listen.{service}", Exit.UNAVAILABLE
            ) from None
        raise StartupError(f"{where}: {error.strerror}", Exit.OS) from None
    return listener

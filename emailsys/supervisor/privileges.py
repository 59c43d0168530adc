"""User and group of the daemon, and what root may do before it becomes that user."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from emailsys.config.exit_status import Exit
from emailsys.config.settings import Settings
from emailsys.config.values import described
from emailsys.mail.ip import is_loopback
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
from emailsys.supervisor.errors import StartupError
from emailsys.supervisor.sockets import expand, listens_of


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


def check_configuration(path: Path, status: os.stat_result) -> None:
    """Check that only root can change a configuration that root reads. Does nothing for other users.

    The file names the user of the daemon, and the keys, certificates and passwords that root reads.

    @param status: of the file that was opened.
    @raise StartupError: the file belongs to another user, or other users may write to it. The message says what to do.
    """
    if not is_root():
        return
    if status.st_uid != 0:
        who, remedy = f"belongs to {user_name(status.st_uid)}, who may change it", f"chown root {path}"
    elif status.st_mode & stat.S_IWOTH or (status.st_mode & stat.S_IWGRP and status.st_gid != 0):
        who, remedy = "can be changed by other users", f"chmod go-w {path}"
    else:
        return
    raise StartupError(
        f"{path}: {who}, and root would read keys and passwords by it. Read the file first: if every line is yours, "
        f"run: {remedy}; otherwise remove it. The daemon's user may read the file as it is",
        Exit.CONFIG,
    )


def check_user(settings: Settings, identity: Identity | None) -> None:
    """Check that a daemon that root starts may keep the rights of root: only for development on loopback.

    `user = "root"` is a decision of the operator, for a container in which root is an ordinary user.

    @raise StartupError: a user is not set. The message says what to write.
    """
    if not is_root() or (identity is not None and identity.uid != 0):
        return
    source = settings.source
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


def check_folder_owner(identity: Identity | None, folder: Path) -> None:
    """Check, for a start by root, that an existing state folder belongs to root or to the user of the daemon.

    @raise StartupError: it belongs to a third user, or to another user than root and none is set.
    """
    if not is_root() or (identity is not None and identity.uid == 0) or not folder.is_dir():
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


def give_state_folder(identity: Identity | None, folder: Path) -> None:
    """Give the state folder to the user that the daemon will run as, before root does anything else there.

    @raise StartupError: as for `check_folder_owner`.
    """
    check_folder_owner(identity, folder)
    if is_root() and identity is not None and identity.uid != 0:
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


def is_foreign(folder: Path) -> bool:
    """Whether root runs this process, and the folder belongs to another user, who could plant links in it."""
    return is_root() and folder.is_dir() and folder.stat().st_uid != 0


def check_owner(folder: Path) -> None:
    """Check, for a command that root runs, that no other user can change a state folder under it.

    @raise StartupError: the folder belongs to another user.
    """
    if is_foreign(folder):
        raise StartupError(
            f"state folder {folder}: belongs to {user_name(folder.stat().st_uid)}, and root needs a folder of its own "
            "here: name another one with --state",
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

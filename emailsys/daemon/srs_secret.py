"""Key that signs rewritten senders (SRS): created at random once, kept in the state folder, read at each start."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from emailsys.config.exit_status import Exit
from emailsys.mail.quantities import counted
from emailsys.platforms.files import NO_FOLLOW, open_regular, read_file, sync_directory
from emailsys.supervisor import StartupError

SRS_SECRET: Final = "srs.secret"  # noqa: S105 -- a file name
_OCTETS: Final = 32
# Octets that are read of a file that is too large.
_MOST_READ: Final = 4096


def load_or_create_secret(path: Path) -> bytes:
    """Return the secret in a file, 32 octets. If there is no file, create it with mode 0600 and sync it to the disk.

    @raise StartupError: the file cannot be read or created, or has the wrong size.
    """
    try:
        if not path.exists():
            _make(path)
        return read_secret(path)
    except OSError as error:
        raise StartupError(f"{path}: {error.strerror}", Exit.CANNOT_CREATE) from None


def read_secret(path: Path) -> bytes:
    """Return the secret in a file.

    @raise OSError: the file cannot be read.
    @raise StartupError: the file has the wrong size.
    """
    secret = read_file(path, _MOST_READ)
    if len(secret) != _OCTETS:
        raise StartupError(
            f"{path}: has {counted(len(secret), 'octet')} instead of {_OCTETS}; remove it, and a new one is created",
            Exit.CONFIG,
        )
    return secret


def _make(path: Path) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = open_regular(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | NO_FOLLOW)
    try:
        os.write(descriptor, secrets.token_bytes(_OCTETS))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        # If two daemons share the folder, the first one wins.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    sync_directory(path.parent)

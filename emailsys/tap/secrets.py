"""Keep a secret of this system's own in the state folder: made at random once, read at each start."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from emailsys.config.exit_status import Exit
from emailsys.platforms.files import BINARY, sync_directory
from emailsys.supervisor import StartupError

SRS_SECRET: Final = "srs.secret"  # noqa: S105 -- a file name
_OCTETS: Final = 32


def kept_secret(path: Path) -> bytes:
    """The secret in that file, 32 octets; made, mode 0600, on disk before this returns, where there is none.

    @raise StartupError: the file cannot be read or made, or is no secret.
    """
    try:
        if not path.exists():
            _make(path)
        secret = path.read_bytes()
    except OSError as error:
        raise StartupError(f"{path}: {error.strerror}", Exit.CANNOT_CREATE) from None
    if len(secret) != _OCTETS:
        raise StartupError(f"{path}: has {len(secret)} octets, not {_OCTETS}; remove it, and one is made", Exit.CONFIG)
    return secret


def _make(path: Path) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | BINARY, 0o600)
    try:
        os.write(descriptor, secrets.token_bytes(_OCTETS))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        # Of two daemons over one folder the first decides.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    sync_directory(path.parent)

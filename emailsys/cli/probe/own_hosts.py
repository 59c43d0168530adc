"""The hosts that the user owns: a file of the user's own names them, and only they get intrusive tests."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class NotOwn(Exception):
    """The file does not name the host, or is not the user's own. The message says what to do."""


def default_file() -> Path:
    """Returns the path of the file, in the user's folder for configuration."""
    import platformdirs

    return platformdirs.user_config_path("emailsys", appauthor=False) / "probe-hosts"


def require_own(host: str, path: Path) -> None:
    """Checks that a file of the user's own names a host.

    @raise NotOwn: it does not, or others can write to it.
    """
    try:
        status = path.stat()
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise NotOwn(f"--intrusive sends messages. If {host} is yours, write its name on a line of {path}") from None
    if hasattr(os, "geteuid") and (status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        raise NotOwn(f"{path} must belong to you, and nobody else may write to it: chmod go-w {path}")
    names = {line.partition("#")[0].strip().lower().removesuffix(".") for line in lines}
    if host.lower() not in names:
        raise NotOwn(f"--intrusive sends messages. If {host} is yours, write its name on a line of {path}")

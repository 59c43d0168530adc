"""Files that other programs open: in a private folder, and removed after a day."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from emailsys.client.base.folders import make_folder
from emailsys.client.opening.values import OpeningError

# Seconds after which a file is removed: programs read it when they start, and some again when they reload it.
_KEPT: Final = 86_400.0
READ_ONLY: Final = 0o400
PRIVATE: Final = 0o600


def put(state: Path, name: str, octets: bytes, mode: int, now: Callable[[], float] = time.time) -> Path:
    """Write a file into a new private folder, and remove the files of earlier days. Return its absolute path.

    @param state: the mailbox's state folder.
    @param name: a safe file name.
    @raise OpeningError: it cannot be written.
    """
    opened = (state / "opened").absolute()
    sweep(state, now)
    # The name has the moment: the clock of the file system may be another one.
    folder = opened / f"{int(now())}-{secrets.token_hex(8)}"
    path = folder / name
    try:
        make_folder(folder)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), PRIVATE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(octets)
        path.chmod(mode)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise OpeningError(f"{error.filename or path}: {error.strerror}") from error
    return path


def _moment_of(name: str) -> int:
    moment = name.partition("-")[0]
    return int(moment) if re.fullmatch(r"[0-9]{1,12}", moment) else 0


def sweep(state: Path, now: Callable[[], float] = time.time) -> None:
    """Remove files that were opened more than a day ago. Costs nothing if there are none."""
    try:
        with os.scandir(state / "opened") as entries:
            folders = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
            old = [entry.path for entry in folders if now() - _moment_of(entry.name) > _KEPT]
    except OSError:
        return
    for path in old:
        # Windows removes no file that is only for reading.
        with contextlib.suppress(OSError), os.scandir(path) as copies:
            for copy in copies:
                if not copy.is_symlink():
                    os.chmod(copy.path, PRIVATE)
        shutil.rmtree(path, ignore_errors=True)

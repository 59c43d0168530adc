"""Completion of a path that the user types, as a shell does it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path


def complete_path(typed: str, only_folders: bool = False) -> tuple[str, Sequence[str]]:
    """Complete the last name of a path as far as it is certain.

    @return: the path, as far as it is completed, and the names that are possible. A folder ends with "/".
    """
    head, name = os.path.split(typed)
    folder = os.path.expanduser(head) if head else "."
    try:
        with os.scandir(folder or ".") as entries:
            names = sorted(
                entry.name + (os.sep if entry.is_dir() else "")
                for entry in entries
                if entry.name.startswith(name)
                and (name.startswith(".") or not entry.name.startswith("."))
                and (entry.is_dir() or not only_folders)
                # A name that a terminal would act on is not offered.
                and entry.name.isprintable()
            )
    except OSError:
        names = []
    if typed == "~":
        return f"~{os.sep}", ()
    if not names:
        return typed, ()
    begin = typed[: len(typed) - len(name)]
    # What all of them begin with is what the first and the last in order begin with.
    first, last = names[0], names[-1]
    common = next((at for at, one in enumerate(first) if at >= len(last) or last[at] != one), len(first))
    return begin + first[:common], names


def path_of(typed: str) -> Path:
    """Return the path that the user typed. @raise OSError: it begins with the home folder of an unknown user."""
    try:
        return Path(typed).expanduser()
    except RuntimeError as unknown:
        raise OSError(errno.ENOENT, str(unknown), typed) from unknown


def existing_path(typed: str) -> Path:
    """Return the path of a file or folder that exists. @raise OSError: it does not, or is a pipe, device or socket."""
    path = path_of(typed)
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        # Reading a pipe may wait for ever, and a device may never end.
        raise OSError(errno.EINVAL, "it is neither a file nor a folder", typed)
    return path


def new_file(typed: str) -> Path:
    """Return the path of a file to write. @raise OSError: it is a folder, or its parent is not an existing folder."""
    path = path_of(typed)
    if path.is_dir():
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), typed)
    if not path.parent.is_dir():
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))
    return path


def folder_for(typed: str) -> Path:
    """Return the folder that the user typed, and create it. @raise OSError: it cannot be made."""
    folder = path_of(typed)
    folder.mkdir(parents=True, exist_ok=True)
    return folder

"""Durable creation of folders, and sync of the names in them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder to disk. Does nothing on Windows, which cannot and need not sync folders."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, mode 0700, and sync each parent."""
    make_folders([folder])


def make_folders(folders: Iterable[Path]) -> None:
    """Create folders and their parents, mode 0700, and sync each parent once."""
    fresh = [folder for folder in folders if not folder.is_dir()]
    try:
        for folder in fresh:
            make_folders([folder.parent])
            folder.mkdir(mode=0o700, exist_ok=True)
        sync_folders(folder.parent for folder in fresh)
    except OSError:
        # If they stayed, the next call would find them, and their names would never be synced.
        for folder in reversed(fresh):
            with suppress(OSError):
                folder.rmdir()
        raise


def sync_folders(folders: Iterable[Path]) -> None:
    """Sync each folder once."""
    for folder in set(folders):
        sync_folder(folder)

"""Folders made and synced, so that a crash loses no name in them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on disk. Windows has no such thing and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, mode 0700, each synced into the one above."""
    make_folders([folder])


def make_folders(folders: Iterable[Path]) -> None:
    """Make folders and those above them, mode 0700; each folder above is synced once."""
    fresh = [folder for folder in folders if not folder.is_dir()]
    for folder in fresh:
        make_folders([folder.parent])
        folder.mkdir(mode=0o700, exist_ok=True)
    sync_folders(folder.parent for folder in fresh)


def sync_folders(folders: Iterable[Path]) -> None:
    """Sync each of the folders once."""
    for folder in set(folders):
        sync_folder(folder)

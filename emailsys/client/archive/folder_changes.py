"""Changes of folders: valid names, renaming and removal. The caller holds the write lock."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from emailsys.client.archive.files import is_message, remove_parts
from emailsys.client.archive.index import Index
from emailsys.client.archive.marks import Journal
from emailsys.client.archive.reconcile import folder_path
from emailsys.client.archive.values import STANDARD_FOLDERS, ArchiveError, Folder
from emailsys.client.base.folders import sync_folder
from emailsys.client.text.file_names import folded, safe_name

# Prefix of the folder of a removed account while its files are deleted.
_REMOVED = ".removed-"
# The words of its messages stay in the search index, unreachable.
_REMOVAL: Final = (
    """INSERT OR IGNORE INTO gone SELECT id FROM messages
    WHERE folder IN (SELECT folder FROM folders WHERE account = :account)""",
    """DELETE FROM tags WHERE key IN
    (SELECT key FROM messages JOIN folders USING (folder) WHERE account = :account)""",
    """DELETE FROM notes WHERE key IN
    (SELECT key FROM messages JOIN folders USING (folder) WHERE account = :account)""",
    "DELETE FROM messages WHERE folder IN (SELECT folder FROM folders WHERE account = :account)",
    "DELETE FROM mentions WHERE account = :account",
    "DELETE FROM journals WHERE account = :account",
    "DELETE FROM folders WHERE account = :account",
)
# In octets. Longer names do not fit into every file system.
_MAX_NAME = 120


def check_names(folders: Sequence[Folder]) -> None:
    """@raise ArchiveError: the name of an account or a folder is not valid."""
    for name in {name for folder in folders for name in (folder.account, folder.name)}:
        if safe_name(name, max_octets=_MAX_NAME) != name:
            raise ArchiveError(f"{name!r} is not a valid folder name")


def alike(index: Index, folder: Folder) -> Folder | None:
    """Return the folder of the account whose name differs at most in case and normal form, or None."""
    names = index.connection.execute("SELECT name FROM folders WHERE account = ?", (folder.account,))
    found = {name for (name,) in names if folded(name) == folded(folder.name)}
    return None if not found else folder if folder.name in found else Folder(folder.account, min(found))


def rename_folder(root: Path, index: Index, folder: Folder, name: str) -> None:
    """Rename a folder. @raise ArchiveError: the name is taken or invalid."""
    name = unicodedata.normalize("NFC", name)
    taken = alike(index, Folder(folder.account, name))
    if taken is not None and taken != folder:
        raise ArchiveError(f"The folder {taken.name!r} already exists. Names must differ in more than case.")
    if safe_name(name, max_octets=_MAX_NAME) != name or name in STANDARD_FOLDERS:
        raise ArchiveError(f"{name!r} is not a valid name of a custom folder")
    target = folder_path(root, Folder(folder.account, name))
    # A new case of the same name is the same folder on some systems.
    if taken is None and target.exists():
        raise ArchiveError(f"the folder {name!r} already exists")
    os.rename(folder_path(root, folder), target)
    sync_folder(target.parent)
    with index.transaction() as connection:
        connection.execute(
            "UPDATE folders SET name = ? WHERE account = ? AND name = ?", (name, folder.account, folder.name)
        )


def remove_folder(root: Path, index: Index, folder: Folder) -> None:
    """Remove an empty folder. @raise ArchiveError: it is not empty."""
    path = folder_path(root, folder)
    if any(map(is_message, os.listdir(path))):
        raise ArchiveError(f"the folder {folder.name!r} is not empty")
    remove_parts(path)
    os.rmdir(path)
    sync_folder(path.parent)
    with index.transaction() as connection:
        connection.execute("DELETE FROM folders WHERE account = ? AND name = ?", (folder.account, folder.name))


def remove_account(root: Path, index: Index, account: str, only_empty: bool) -> None:
    """Delete all folders of an account with their messages, for good. What an earlier call left is deleted too.

    @param only_empty: do nothing if there are files besides the marks of messages.
    """
    # First, for the folder gets a name that these may have.
    _clear_removed(root)
    path = root / account
    if path.is_dir():
        if only_empty:
            if not _remove_empty(path):
                return
        else:
            os.rename(path, root / f"{_REMOVED}{account}")
        sync_folder(root)
    with index.transaction() as connection:
        for statement in _REMOVAL:
            connection.execute(statement, {"account": account})
    _clear_removed(root)


def _clear_removed(root: Path) -> None:
    for left in root.glob(f"{_REMOVED}*"):
        if left.is_symlink():
            # The user keeps the mail elsewhere. That folder itself stays.
            for one in left.iterdir() if left.is_dir() else ():
                shutil.rmtree(one) if one.is_dir() and not one.is_symlink() else one.unlink()
            left.unlink()
        else:
            shutil.rmtree(left)


def _remove_empty(path: Path) -> bool:
    """Remove the folder of an account whose folders are all empty. Return False if it is not such a folder."""
    if path.is_symlink():
        return False
    marks = Journal(path).path
    remove_parts(path)
    folders = [one for one in path.iterdir() if one != marks]
    if not all(one.is_dir() and not one.is_symlink() for one in folders):
        return False
    for folder in folders:
        remove_parts(folder)
    if any(any(folder.iterdir()) for folder in folders):
        return False
    marks.unlink(missing_ok=True)
    # Each fails if another program has just put a file there.
    for folder in (*folders, path):
        folder.rmdir()
    return True

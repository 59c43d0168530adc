"""Public interface of the local store."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace as changed
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from emailsys.client.archive.changes import Changes
from emailsys.client.archive.files import translated_disk_errors
from emailsys.client.archive.folder_changes import alike, check_names, remove_account, remove_folder, rename_folder
from emailsys.client.archive.index import Index, open_index, translated_index_errors
from emailsys.client.archive.lock import WriteLock
from emailsys.client.archive.marks import Marks, check_tags
from emailsys.client.archive.reader import MOST, ArchiveReader
from emailsys.client.archive.reconcile import Progress, catch_up, folder_path, rebuild
from emailsys.client.archive.staging import Staging, make_staging_folder
from emailsys.client.archive.values import (
    STANDARD_FOLDERS,
    TRASH,
    Addition,
    ArchiveError,
    ArchiveFull,
    Flag,
    Folder,
    NoSuchFolder,
    NoSuchMessage,
    Summary,
)
from emailsys.client.archive.writer import Writer
from emailsys.client.base.folders import make_folder, make_folders

if TYPE_CHECKING:
    from emailsys.client.archive.reading_process import Read

#: File name of the index in the store's folder.
INDEX: Final = "index.sqlite"
_LOCK: Final = ".lock"
# Key in the note of a message in Trash: the folder it came from.
_WAS_IN: Final = "was_in"
_READING_ONLY: Final = (
    "The disk is full. Mail can be read and searched, but nothing can be fetched, changed or stored. Files that other "
    "programs have added are not shown. Free some space."
)


class Archive(ArchiveReader):
    """The messages of all accounts, below one folder. Any thread may call any method; methods block until done.

    Several processes may have the same folder open. Methods that write raise ArchiveError, or ArchiveFull if the disk
    is full. After an error, no change is visible.
    """

    def __init__(self, root: Path, now: Callable[[], datetime], tell: Callable[[str], None] | None = None) -> None:
        """Open the store at `root`. Create the folder, mode 0700, if it does not exist.

        If the index is missing, damaged, or of another version, it is rebuilt from the files.

        @param now: the current moment, with time zone.
        @param tell: called before the files of a store are indexed again, which may take minutes.
        """
        #: Sentences for the user about files that are gone or cannot be read.
        self.reports: list[str] = []
        # What the last comparison of files and index reported: what lasts is told once.
        self._last_reported: frozenset[str] = frozenset()
        with translated_disk_errors():
            make_folder(root)
            self._lock = WriteLock(root / _LOCK)
        try:
            self._open(root, now, tell)
        except ArchiveFull:
            self._open_to_read(root, now)

    def _open_to_read(self, root: Path, now: Callable[[], datetime]) -> None:
        """Open the index on a full disk as it is. @raise ArchiveError: there is no usable index."""
        with translated_disk_errors(), translated_index_errors():
            index = Index(root / INDEX, reads_only=True)
        if index.is_new:
            raise ArchiveFull("the disk is full, and the index has to be rebuilt; free some space first")
        super().__init__(root, index, now)
        self._changes = Changes(root, index)
        self._staging = Staging(root)
        self._report(_READING_ONLY)

    def _open(self, root: Path, now: Callable[[], datetime], tell: Callable[[str], None] | None) -> None:
        with translated_disk_errors(), translated_index_errors(), self._lock.held():
            super().__init__(root, open_index(root / INDEX), now)
            make_staging_folder(root)
            self._changes = Changes(root, self._index)
            self._staging = Staging(root)
            if self._index.is_new:
                rebuild(root, self._index, None, self._report, tell)
            else:
                self._catch_up()
            self._lock.is_dirty = False

    def close(self) -> None:
        """Close the index, the lock file, and the staging threads."""
        self._staging.close()
        self._index.close()
        self._lock.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the write lock, after the index has been brought up to date with the files."""
        with translated_disk_errors(), translated_index_errors(), self._lock.held():
            if self._index.reads_only:
                self._index.reopen()
            self._catch_up()
            self._lock.is_dirty = False
            # If the body fails or the process dies, the next writer compares files and index.
            try:
                yield
            except BaseException:
                self._lock.is_dirty = True
                raise

    def _catch_up(self) -> None:
        found: list[str] = []
        catch_up(self._root, self._index, everything=self._lock.is_dirty, report=found.append)
        for text in found:
            if text not in self._last_reported:
                self._report(text)
        self._last_reported = frozenset(found)

    # Folders

    def add_account(self, account: str) -> None:
        """Create the standard folders of an account that do not exist yet. Report those that cannot be made."""
        folders = [Folder(account, name) for name in STANDARD_FOLDERS]
        check_names(folders)
        try:
            self._add_folders(folders)
        except ArchiveError:
            for folder in folders:
                try:
                    self._add_folders([folder])
                except ArchiveError as error:
                    self._report(f"The folder {folder_path(self._root, folder)} cannot be made: {error}")

    def _report(self, text: str) -> None:
        if text not in self.reports:
            self.reports.append(text)

    def add_folder(self, folder: Folder) -> Folder:
        """Create a folder if it does not exist. Return it, with its name in NFC.

        @raise ArchiveError: the name is not valid, or that of another folder but for case.
        """
        if self.has_folder(folder):
            return folder
        folder = Folder(folder.account, unicodedata.normalize("NFC", folder.name))
        check_names([folder])
        taken = self.alike(folder)
        if taken is not None and unicodedata.normalize("NFC", taken.name) == folder.name:
            folder = taken
        elif taken is not None:
            raise ArchiveError(f"The folder {taken.name!r} already exists. Names must differ in more than case.")
        self._add_folders([folder])
        return folder

    def alike(self, folder: Folder) -> Folder | None:
        """Return the folder of the account whose name differs at most in case and normal form, or None."""
        with translated_index_errors():
            return alike(self._index, folder)

    def _add_folders(self, folders: Sequence[Folder]) -> None:
        if all(map(self.has_folder, folders)):
            return
        with self._writing():
            make_folders(folder_path(self._root, folder) for folder in folders)
            with self._index.transaction() as connection:
                for folder in folders:
                    self._index.folder(connection, folder)

    def rename_folder(self, folder: Folder, name: str) -> None:
        """Rename a custom folder. @raise ArchiveError: the folder is standard, or the name is taken or invalid."""
        self._require_custom_folder(folder)
        with self._writing():
            rename_folder(self._root, self._index, folder, name)

    def remove_folder(self, folder: Folder) -> None:
        """Remove a custom folder. @raise ArchiveError: the folder is standard or not empty."""
        self._require_custom_folder(folder)
        with self._writing():
            remove_folder(self._root, self._index, folder)

    def remove_account(self, account: str, only_empty: bool = False) -> None:
        """Delete all folders of an account with their messages, for good.

        @param only_empty: do nothing if there is a file besides the archive's own: a message, or one of the user.
        """
        check_names([Folder(account, TRASH)])
        with self._writing():
            remove_account(self._root, self._index, account, only_empty)

    def _require_custom_folder(self, folder: Folder) -> None:
        self._require_folder(folder)
        if folder.name in STANDARD_FOLDERS:
            raise ArchiveError(f"{folder.name} is a standard folder and cannot be renamed or removed")

    def _require_folder(self, folder: Folder) -> None:
        """@raise NoSuchFolder: the account has no such folder."""
        if not self.has_folder(folder):
            raise NoSuchFolder(f"{folder.account} has no folder {folder.name!r}")

    # Adding

    def add(self, addition: Addition) -> str:
        """Add one message. Return its key once file and folder are on disk."""
        return self.add_many([addition])[0]

    def add_many(self, additions: Sequence[Addition], read: Sequence[Read] | None = None) -> list[str]:
        """Add messages in one batch, much faster than one by one. Return once all files and folders are on disk.

        @param read: what another process read of each message; None to read them here.
        @return: the keys, in the same order. A source that is already stored gives the key of its message.
        @raise NoSuchFolder: nothing was added.
        @raise ArchiveFull: nothing was added.
        """
        for folder in {addition.folder for addition in additions}:
            self._require_folder(folder)
        with self.writer() as writer:
            return writer.add(additions, reads_whole=True, read=read)

    def writer(self, seconds: Callable[[], float] = time.monotonic) -> Writer:
        """A writer of many batches, for one thread, which updates the index after them.

        @param seconds: a monotonic clock.
        """
        return Writer(self._root, self._index, self._staging, self._writing, self._now, seconds)

    def replace(self, key: str, octets: bytes) -> None:
        """Replace a message's octets atomically. Drafts use this."""
        with self._writing():
            self._changes.replace(self.get(key).key, octets, self._now())

    # Reading

    def octets(self, key: str) -> bytes:
        """Return a message exactly as it was received. @raise NoSuchMessage: the message or its file does not exist."""
        for _attempt in range(2):
            try:
                return self.path(key).read_bytes()
            except FileNotFoundError:
                self.refresh()
            except OSError as refused:
                raise ArchiveError(f"{refused.filename}: {refused.strerror}") from refused
        raise NoSuchMessage(f"the file of message {key!r} is not there")

    # Marks

    def _mark(self, keys: Iterable[str], change: Callable[[Marks], Marks]) -> None:
        with self._writing():
            self._changes.mark([one.key for one in self.each(keys)], change)

    def set_flags(self, keys: Iterable[str], add: Flag = Flag.NONE, remove: Flag = Flag.NONE) -> None:
        """Set and clear flags. They are on disk when this returns."""
        self._mark(keys, lambda marks: changed(marks, flags=(marks.flags | add) & ~remove))

    def set_tags(self, keys: Iterable[str], add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        """Add and remove tags. They are on disk when this returns. @raise ArchiveError: a tag is not one word."""
        wanted, unwanted = set(add), set(remove)
        check_tags(wanted)
        self._mark(keys, lambda marks: changed(marks, tags=tuple(sorted({*marks.tags, *wanted} - unwanted))))

    def set_note(self, key: str, note: Mapping[str, Any] | None) -> None:
        """Replace or remove the note of a message. The change is on disk when this returns."""
        self._mark([key], lambda marks: changed(marks, note=note))

    # Moving

    def move(self, keys: Iterable[str], folder: Folder) -> None:
        """Move messages to a folder, also of another account. The move is on disk when this returns."""
        self._require_folder(folder)
        with self._writing():
            self._move(self.each(keys), folder)

    def move_seen(self, seen: Iterable[Summary], folder: Folder) -> Sequence[Summary]:
        """Move those messages that are still in the folder where the caller saw them.

        @param seen: the messages as the caller saw them.
        @return: the messages that were moved, as they were before.
        """
        self._require_folder(folder)
        with self._writing():
            found = self.unmoved(seen)
            self._move(found, folder)
        return found

    def _move(self, found: Sequence[Summary], folder: Folder) -> None:
        if folder.name == TRASH:
            self._remember_folders(found)
        self._changes.move([(one.key, folder) for one in found])

    def _remember_folders(self, found: Iterable[Summary]) -> None:
        by_folder: dict[str, list[str]] = {}
        for one in found:
            if one.folder.name != TRASH:
                by_folder.setdefault(one.folder.name, []).append(one.key)
        for folder, keys in by_folder.items():
            noted = {_WAS_IN: folder}
            self._changes.mark(keys, lambda marks, noted=noted: changed(marks, note={**(marks.note or {}), **noted}))  # type: ignore[misc]

    def folder_before_trash(self, key: str) -> str | None:
        """Return the folder a message was in before Trash, or None if it is unknown or no longer exists."""
        name = (self.note(key) or {}).get(_WAS_IN)
        folder = Folder(self.get(key).folder.account, str(name))
        return folder.name if name is not None and self.has_folder(folder) else None

    def delete(self, seen: Iterable[Summary], for_good: bool = False) -> Sequence[Summary]:
        """Move messages to their account's Trash. Those that the caller saw in Trash are deleted permanently.

        A message that has moved into Trash since the caller saw it stays there; one that has left Trash stays where
        it is.

        @param seen: the messages as the caller saw them. Their folders decide, not those where they are now.
        @param for_good: delete all of them permanently.
        @return: the messages that were moved or deleted, as they were before.
        """
        with self._writing():
            seen_in_trash = {one.key: one.folder.name == TRASH for one in seen}
            found = [one for one in self.each(seen_in_trash) if seen_in_trash[one.key] == (one.folder.name == TRASH)]
            doomed = [one for one in found if for_good or one.folder.name == TRASH]
            trashed = [one for one in found if not (for_good or one.folder.name == TRASH)]
            self._remember_folders(trashed)
            moves = [(one.key, Folder(one.folder.account, TRASH)) for one in trashed]
            for _key, folder in moves:
                make_folder(folder_path(self._root, folder))
            self._changes.move(moves)
            self._changes.remove([one.key for one in doomed])
        return found

    def purge(self, keys: Iterable[str]) -> None:
        """Delete messages permanently, whatever folder they are in."""
        with self._writing():
            self._changes.remove([one.key for one in self.each(keys)])

    def empty_trash(self, account: str, before: datetime | None = None) -> int:
        """Delete the messages in Trash permanently, or those that arrived before a moment. Return their number."""
        with self._writing():
            rows = self._index.connection.execute(
                """SELECT key FROM messages m JOIN folders f USING (folder)
                WHERE f.account = ? AND f.name = ? AND m.arrived < ?""",
                (account, TRASH, MOST if before is None else before.timestamp()),
            ).fetchall()
            self._changes.remove([row[0] for row in rows])
        return len(rows)

    # The index

    def shrink_log(self) -> None:
        """Free the disk space of the index's log. Call it after much was added."""
        self._index.shrink_log()

    def refresh(self) -> int:
        """Bring the index up to date with files that other programs changed. Return its version.

        If the disk is full, the user is told, and reading goes on with the index as it is.
        """
        try:
            with self._writing():
                return self._index.version()
        except ArchiveFull:
            self._report(_READING_ONLY)
            return self._index.version()

    def rebuild(self, progress: Progress | None = None) -> int:
        """Rebuild the index from the files. Return the number of messages.

        @param progress: called with the number of files that are done, and of all files.
        """
        with translated_disk_errors(), translated_index_errors(), self._lock.held():
            if self._index.reads_only:
                self._index.reopen()
            return rebuild(self._root, self._index, progress, self._report)

"""The local store as the rest of the client sees it."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace as changed
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from emailsys.client.archive.changes import Changes
from emailsys.client.archive.files import is_message, new_key, remove_parts, translated_disk_errors
from emailsys.client.archive.index import Index, note_of, translated_index_errors
from emailsys.client.archive.lock import WriteLock
from emailsys.client.archive.marks import Marks
from emailsys.client.archive.people import find
from emailsys.client.archive.query import parse_query
from emailsys.client.archive.reconcile import Progress, catch_up, folder_path, rebuild
from emailsys.client.archive.staging import Staging, make_staging_folder
from emailsys.client.archive.values import (
    STANDARD_FOLDERS,
    TRASH,
    Addition,
    ArchiveError,
    Flag,
    FolderCount,
    NoSuchFolder,
    NoSuchMessage,
    Place,
    Summary,
)
from emailsys.client.archive.writer import Writer
from emailsys.client.base.folders import make_folder, make_folders, sync_folder
from emailsys.client.text.file_names import safe_name
from emailsys.mail.message.mailboxes import Mailbox

#: The file of the index below the store's folder.
INDEX: Final = "index.sqlite"
_LOCK: Final = ".lock"
# In the note of a message that went to Trash: where it lay before.
_WAS_IN: Final = "was_in"


class Archive:
    """All accounts' messages below one folder. Every method may be called from any thread and blocks until done.

    Several processes may have the same folder open. All methods that write raise ArchiveError (ArchiveFull for a full
    disk) and then have changed nothing that can be seen.
    """

    def __init__(self, root: Path, now: Callable[[], datetime]) -> None:
        """Open the store at `root`, which is made if it is not there (mode 0700).

        An index that is not there, is damaged or of another version is made anew from the files.

        @param now: the current moment, with time zone.
        """
        self._root = root
        self._now = now
        with translated_disk_errors():
            make_folder(root)
            self._lock = WriteLock(root / _LOCK)
        with translated_disk_errors(), translated_index_errors(), self._lock.held():
            self._index = self._open_index()
            make_staging_folder(root)
            self._changes = Changes(root, self._index)
            self._staging = Staging(root)
            if self._index.is_new:
                rebuild(root, self._index)
            else:
                catch_up(root, self._index, everything=self._lock.is_dirty)
            self._lock.is_dirty = False

    def _open_index(self) -> Index:
        path = self._root / INDEX
        try:
            index = Index(path)
            if not index.is_new:
                index.connection.execute("SELECT count(*) FROM folders, journals").fetchone()
            return index
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            for suffix in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    os.replace(f"{path}{suffix}", f"{path}{suffix}.damaged")
            return Index(path)

    def close(self) -> None:
        """Close the index. The files need no closing."""
        self._staging.close()
        self._index.close()
        self._lock.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the write lock over an index that agrees with the files."""
        with translated_disk_errors(), translated_index_errors(), self._lock.held():
            catch_up(self._root, self._index, everything=self._lock.is_dirty)
            self._lock.is_dirty = False
            # If what follows fails half-way, or the process dies, the next writer compares files and index.
            try:
                yield
            except BaseException:
                self._lock.is_dirty = True
                raise

    # Folders

    def add_account(self, account: str) -> None:
        """Make the standard folders of an account; does nothing where they are."""
        self._add_folders([Place(account, folder) for folder in STANDARD_FOLDERS])

    def accounts(self) -> Sequence[str]:
        """The accounts that have folders."""
        return sorted({count.place.account for count in self.folders()})

    def folders(self, account: str | None = None) -> Sequence[FolderCount]:
        """The folders of one account or of all, standard ones first, with counts."""
        with translated_index_errors():
            rows = self._index.connection.execute(
                """SELECT account, name, (SELECT count(*) FROM messages m WHERE m.folder = f.folder),
                (SELECT count(*) FROM messages m WHERE m.folder = f.folder AND m.flags & 1 = 0)
                FROM folders f WHERE account = coalesce(?, account)""",
                (account,),
            ).fetchall()
        standard = {name: number for number, name in enumerate(STANDARD_FOLDERS)}
        rows.sort(key=lambda row: (row[0], standard.get(row[1], len(standard)), row[1]))
        return [FolderCount(Place(row[0], row[1]), row[2], row[3]) for row in rows]

    def add_folder(self, place: Place) -> None:
        """Make a folder; does nothing where it is. @raise ArchiveError: the name cannot be a folder's."""
        self._add_folders([place])

    def _add_folders(self, places: Sequence[Place]) -> None:
        for name in {name for place in places for name in (place.account, place.folder)}:
            if safe_name(name, max_octets=120) != name:
                raise ArchiveError(f"{name!r} cannot be the name of a folder")
        if all(map(self._is_there, places)):
            return
        with self._writing():
            make_folders(folder_path(self._root, place) for place in places)
            with self._index.transaction() as connection:
                for place in places:
                    self._index.folder(connection, place)

    def rename_folder(self, place: Place, name: str) -> None:
        """Rename a folder of one's own. @raise ArchiveError: it is a standard one, or the name is taken or no name."""
        self._own_folder(place)
        if safe_name(name, max_octets=120) != name or name in STANDARD_FOLDERS:
            raise ArchiveError(f"{name!r} cannot be the name of a folder of one's own")
        with self._writing():
            target = folder_path(self._root, Place(place.account, name))
            if target.exists():
                raise ArchiveError(f"there is a folder {name!r} already")
            os.rename(folder_path(self._root, place), target)
            sync_folder(target.parent)
            with self._index.transaction() as connection:
                connection.execute(
                    "UPDATE folders SET name = ? WHERE account = ? AND name = ?", (name, place.account, place.folder)
                )

    def remove_folder(self, place: Place) -> None:
        """Remove a folder of one's own. @raise ArchiveError: it is a standard one, or it is not empty."""
        self._own_folder(place)
        with self._writing():
            folder = folder_path(self._root, place)
            if any(map(is_message, os.listdir(folder))):
                raise ArchiveError(f"the folder {place.folder!r} is not empty")
            remove_parts(folder)
            os.rmdir(folder)
            sync_folder(folder.parent)
            with self._index.transaction() as connection:
                connection.execute("DELETE FROM folders WHERE account = ? AND name = ?", (place.account, place.folder))

    def _own_folder(self, place: Place) -> None:
        self._folder(place)
        if place.folder in STANDARD_FOLDERS:
            raise ArchiveError(f"{place.folder} is a folder every account has")

    def _is_there(self, place: Place) -> bool:
        with translated_index_errors():
            row = self._index.connection.execute(
                "SELECT 1 FROM folders WHERE account = ? AND name = ?", (place.account, place.folder)
            ).fetchone()
        return row is not None and folder_path(self._root, place).is_dir()

    def _folder(self, place: Place) -> None:
        """@raise NoSuchFolder: there is none."""
        if not self._is_there(place):
            raise NoSuchFolder(f"{place.account} has no folder {place.folder!r}")

    # Keeping

    def add(self, addition: Addition) -> str:
        """Keep one message; returns its key once file and folder are on disk."""
        return self.add_many([addition])[0]

    def add_many(self, additions: Sequence[Addition]) -> list[str]:
        """Keep messages in one go, much faster than one by one; returns once all files and folders are on disk.

        The keys are in the same order; a source that is kept already gives the key of the message that is there.

        @raise NoSuchFolder: and nothing is kept.
        @raise ArchiveFull: and nothing is kept.
        """
        for place in {addition.place for addition in additions}:
            self._folder(place)
        with self.writer() as writer:
            return writer.add(additions)

    def writer(self, seconds: Callable[[], float] = time.monotonic) -> Writer:
        """A writer of many batches, for one thread, which updates the index after them.

        @param seconds: a monotonic clock.
        """
        return Writer(self._root, self._index, self._staging, self._writing, self._now, seconds)

    def known(self, sources: Iterable[str]) -> dict[str, str]:
        """Those of the sources whose messages are here, with their keys."""
        keys = {source: new_key(source) for source in sources}
        with translated_index_errors():
            here = self._index.existing_keys([*keys.values()])
        return {source: key for source, key in keys.items() if key in here}

    def replace(self, key: str, octets: bytes) -> None:
        """Put other octets in a message's place, at once or not at all (drafts)."""
        with self._writing():
            self._changes.replace(self.get(key).key, octets, self._now())

    # Reading

    def get(self, key: str) -> Summary:
        """The message whose key begins so. @raise NoSuchMessage: there is none, or several."""
        with translated_index_errors():
            found = self._index.summaries("m.key >= ? AND m.key < ?", (key, f"{key}~"), 2) if key else []
        if len(found) != 1:
            raise NoSuchMessage(f"{'more than one' if found else 'no'} message {key!r}")
        return found[0]

    def _each(self, keys: Iterable[str]) -> Sequence[Summary]:
        """The messages of the keys, each once."""
        found = {one.key: one for one in map(self.get, keys)}
        return [*found.values()]

    def octets(self, key: str) -> bytes:
        """The message, exactly as it came. @raise NoSuchMessage: there is none, or its file went away."""
        for _attempt in range(2):
            try:
                return self.path(key).read_bytes()
            except FileNotFoundError:
                self.refresh()
            except OSError as refused:
                raise ArchiveError(f"{refused.filename}: {refused.strerror}") from refused
        raise NoSuchMessage(f"the file of message {key!r} is not there")

    def path(self, key: str) -> Path:
        """Its file. @raise NoSuchMessage: there is none."""
        with translated_index_errors():
            location = self._index.location(self.get(key).key)
        if location is None:
            raise NoSuchMessage(f"no message {key!r}")
        return folder_path(self._root, location[0]) / location[1]

    def list(self, place: Place, limit: int = 100, below: int | None = None) -> Sequence[Summary]:
        """Messages of a folder, the newest first. @param below: only those whose `order` is smaller (the next page)."""
        with translated_index_errors():
            return self._index.summaries(
                "m.folder = (SELECT folder FROM folders WHERE account = ? AND name = ?) AND m.id < ?",
                (place.account, place.folder, _MOST if below is None else below),
                limit,
            )

    def search(
        self, query: str, account: str | None = None, limit: int = 100, below: int | None = None
    ) -> Sequence[Summary]:
        """Messages that the query finds, the newest first; those in Trash only where a folder is named.

        @raise BadQuery: with what is wrong.
        """
        with translated_index_errors():
            return self._index.found(parse_query(query, self._now()), account, limit, below)

    def thread(self, key: str) -> Sequence[Summary]:
        """The conversation a message belongs to, the oldest first."""
        with translated_index_errors():
            return self._index.summaries("m.thread = ?", (self.get(key).thread,), 1_000, oldest_first=True)

    def people(self, typed: str, limit: int = 8) -> Sequence[Mailbox]:
        """Whom the beginning of a name or an address may mean: those written to first, then those mail came from."""
        with translated_index_errors():
            return find(self._index.connection, typed, limit)

    # Marks

    def _mark(self, keys: Iterable[str], change: Callable[[Marks], Marks]) -> None:
        with self._writing():
            self._changes.mark([one.key for one in self._each(keys)], change)

    def set_flags(self, keys: Iterable[str], add: Flag = Flag.NONE, remove: Flag = Flag.NONE) -> None:
        """Set and clear flags; on disk when this returns."""
        self._mark(keys, lambda marks: changed(marks, flags=(marks.flags | add) & ~remove))

    def set_tags(self, keys: Iterable[str], add: Iterable[str] = (), remove: Iterable[str] = ()) -> None:
        """Add and remove tags; on disk when this returns. @raise ArchiveError: a tag is not one word."""
        wanted, unwanted = set(add), set(remove)
        for tag in wanted:
            if not tag or len(tag) > 100 or not tag.isprintable() or " " in tag:
                raise ArchiveError(f"{tag!r} cannot be a tag: a tag is one word")
        self._mark(keys, lambda marks: changed(marks, tags=tuple(sorted({*marks.tags, *wanted} - unwanted))))

    def tags(self) -> dict[str, int]:
        """All tags in use, each with how many messages bear it."""
        with translated_index_errors():
            return dict(
                self._index.connection.execute("SELECT tag, count(*) FROM tags JOIN messages USING (key) GROUP BY tag")
            )

    def set_note(self, key: str, note: Mapping[str, Any] | None) -> None:
        """Put another note to a message, or take it away; on disk when this returns."""
        self._mark([key], lambda marks: changed(marks, note=note))

    def note(self, key: str) -> Mapping[str, Any] | None:
        """The note that goes with a message."""
        with translated_index_errors():
            return note_of(self._index.connection, self.get(key).key)

    # Moving

    def move(self, keys: Iterable[str], place: Place) -> None:
        """Move messages to a folder, of another account too; on disk when this returns."""
        self._folder(place)
        with self._writing():
            found = self._each(keys)
            if place.folder == TRASH:
                self._remember_places(found)
            self._changes.move([(one.key, place) for one in found])

    def _remember_places(self, found: Iterable[Summary]) -> None:
        by_folder: dict[str, list[str]] = {}
        for one in found:
            if one.place.folder != TRASH:
                by_folder.setdefault(one.place.folder, []).append(one.key)
        for folder, keys in by_folder.items():
            noted = {_WAS_IN: folder}
            self._changes.mark(keys, lambda marks, noted=noted: changed(marks, note={**(marks.note or {}), **noted}))  # type: ignore[misc]

    def folder_before_trash(self, key: str) -> str | None:
        """The folder that a message lay in before it went to Trash; None where that is not known, or no more."""
        folder = (self.note(key) or {}).get(_WAS_IN)
        place = Place(self.get(key).place.account, str(folder))
        return place.folder if folder is not None and self._is_there(place) else None

    def delete(self, keys: Iterable[str]) -> None:
        """Move messages to their account's Trash; those that are there go for good."""
        with self._writing():
            found = self._each(keys)
            trashed = [(one.key, Place(one.place.account, TRASH)) for one in found if one.place.folder != TRASH]
            self._remember_places(found)
            for _key, place in trashed:
                make_folder(folder_path(self._root, place))
            self._changes.move(trashed)
            self._changes.remove([one.key for one in found if one.place.folder == TRASH])

    def purge(self, keys: Iterable[str]) -> None:
        """Delete messages permanently, whatever folder they are in."""
        with self._writing():
            self._changes.remove([one.key for one in self._each(keys)])

    def empty_trash(self, account: str, before: datetime | None = None) -> int:
        """Remove what is in Trash for good, or what arrived before a moment; returns how many messages that was."""
        with self._writing():
            rows = self._index.connection.execute(
                """SELECT key FROM messages m JOIN folders f USING (folder)
                WHERE f.account = ? AND f.name = ? AND m.arrived < ?""",
                (account, TRASH, _MOST if before is None else before.timestamp()),
            ).fetchall()
            self._changes.remove([row[0] for row in rows])
        return len(rows)

    # The index

    def refresh(self) -> None:
        """Take in what changed among the files behind the index's back."""
        with self._writing():
            pass

    def rebuild(self, progress: Progress | None = None) -> int:
        """Make the index anew from the files; returns the number of messages. `progress` is told done and all."""
        with translated_disk_errors(), translated_index_errors(), self._lock.held():
            return rebuild(self._root, self._index, progress)


# Above every number of a message.
_MOST: Final = 1 << 62

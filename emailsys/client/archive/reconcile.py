"""Comparison of files and index: updates the index after a crash or foreign changes, or rebuilds it."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from emailsys.client.archive.files import is_message, is_part, key_of, new_key, remove_parts, with_key
from emailsys.client.archive.index import Entry, Index
from emailsys.client.archive.index_entry import Heading, moment_of
from emailsys.client.archive.marks import Journal, Marks
from emailsys.client.archive.unreadable import insert_readable, readable_fields
from emailsys.client.archive.values import Folder
from emailsys.client.archive.word_index import optimize_words
from emailsys.client.base.folders import sync_folder
from emailsys.client.text.file_names import folded

# Messages per transaction of the index.
_BATCH: Final = 1_000

Progress = Callable[[int, int], None]


def folders(root: Path, report: Callable[[str], None] = lambda text: None) -> Iterator[Folder]:
    """Iterate over the folders on disk, without those of an account that cannot be read.

    @param report: called with a sentence for each such account.
    """
    for account in _folders_in(root):
        try:
            names = _folders_in(root / account)
        except OSError as error:
            report(f"The folder {root / account} cannot be read: {error.strerror}. Check its permissions.")
            continue
        for name in names:
            yield Folder(account, name)


def _folders_in(path: Path) -> Sequence[str]:
    with os.scandir(path) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and entry.name[0] != ".")


def folder_path(root: Path, folder: Folder) -> Path:
    """Return the path of a folder."""
    return root / folder.account / folder.name


def folder_stamp(folder: Path) -> int:
    """Return a value that changes when a file name is added to the folder or removed from it."""
    return folder.stat().st_mtime_ns


def read_entry(
    root: Path, folder: Folder, name: str, key: str, marks: Marks, heading: Heading | None = None
) -> Entry | None:
    """Read a message file for the index. Return None if the file is gone.

    @param heading: the heading of the message, if it was read before.
    @raise OSError: the file cannot be read.
    """
    try:
        with open(f"{root}{os.sep}{folder.account}{os.sep}{folder.name}{os.sep}{name}", "rb", buffering=0) as file:
            octets = file.read()
            arrived = moment_of(os.fstat(file.fileno()).st_mtime)
    except (FileNotFoundError, NotADirectoryError):
        return None
    fields = readable_fields(root, key, octets, arrived, heading)
    return Entry(key, folder, name, len(octets), arrived, fields, marks)


def _message_names(folder: Path) -> set[str]:
    """Return the file names of the messages in a folder, and remove unfinished files.

    Only the holder of the write lock writes to message folders, and that is us: the writers of those files are dead.
    """
    names = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_part(entry.name):
                with suppress(OSError):
                    os.unlink(entry.path)
            elif is_message(entry.name):
                names.add(entry.name)
    return names


@dataclass(slots=True)
class _Differences:
    """Differences between files and index."""

    added: list[tuple[Folder, str]] = field(default_factory=list)
    missing: dict[str, tuple[Folder, str]] = field(default_factory=dict)
    stamps: dict[Folder, int] = field(default_factory=dict)
    #: Folders that are no longer on disk.
    vanished: set[Folder] = field(default_factory=set)
    #: The reasons why files cannot be read, by folder.
    unread: dict[Folder, list[str]] = field(default_factory=dict)
    #: Reports for the user: what is gone, and what cannot be read.
    reports: list[str] = field(default_factory=list)

    def leave_unread(self, folder: Folder, name: str, error: OSError) -> None:
        """Note a file that cannot be read. The next comparison tries it again."""
        self.stamps[folder] = 0
        self.unread.setdefault(folder, []).append(f"{name}: {error.strerror}")

    def report_unread(self, root: Path) -> None:
        """Report the files that cannot be read. Their messages may be whole, so that their marks are kept."""
        for folder, reasons in self.unread.items():
            files = "1 message" if len(reasons) == 1 else f"{len(reasons)} messages"
            self.reports.append(
                f"{files} in {folder_path(root, folder)} cannot be read: {reasons[0]}. Check the disk and permissions."
            )

    def report_missing(self, root: Path) -> None:
        """Report the messages that are missing for good, and the folders that vanished with messages."""
        counts = Counter(folder for folder, _ in self.missing.values())
        for folder, count in sorted(counts.items(), key=lambda one: (one[0].account, one[0].name)):
            path = folder_path(root, folder)
            messages = f"{count} message{'' if count == 1 else 's'}"
            if folder in self.vanished:
                self.reports.append(f"The folder {path} is gone, with {messages}. Another program has removed it.")
            else:
                self.reports.append(f"{messages} in {path} {'is' if count == 1 else 'are'} gone. "
                                    "Another program has removed the files.")  # fmt: skip


def _compare(root: Path, index: Index, everything: bool) -> _Differences:
    changes = _Differences()
    known: dict[Folder, int] = {
        Folder(account, name): seen
        for account, name, seen in index.connection.execute("SELECT account, name, seen FROM folders")
    }
    listed = {*folders(root, changes.reports.append)}
    by_folded = {(folded(one.account), folded(one.name)): one for one in listed} if known.keys() - listed else {}
    for folder in sorted({*listed, *known}, key=lambda one: (one.account, one.name)):
        path = folder_path(root, folder)
        try:
            if folder not in listed:
                _require_own(root, folder, by_folded.get((folded(folder.account), folded(folder.name))))
            # The stamp is read first: if a file is added meanwhile, the next comparison reads the folder again.
            seen = folder_stamp(path)
            if not everything and known.get(folder) == seen:
                continue
            names = _message_names(path)
        except (FileNotFoundError, NotADirectoryError):
            changes.vanished.add(folder)
            names = set()
        except OSError as error:
            # Its messages may be there, so they stay in the index, unless that is being rebuilt.
            changes.reports.append(f"The folder {path} cannot be read: {error.strerror}. Check its permissions.")
            continue
        else:
            changes.stamps[folder] = seen
        entered = index.locations(folder)
        changes.added += [(folder, name) for name in sorted(names - entered.keys())]
        changes.missing |= {key: (folder, name) for name, key in entered.items() if name not in names}
    return changes


def _require_own(root: Path, folder: Folder, listed: Folder | None) -> None:
    """@raise FileNotFoundError: the folder is there under another name only: its files are those of `listed`.

    That happens on a file system that ignores case, after another program has changed the case.
    """
    path = folder_path(root, folder)
    if listed is not None and os.path.samefile(path, folder_path(root, listed)):
        raise FileNotFoundError(path)


def _name_with_key(root: Path, index: Index, folder: Folder, name: str, taken: set[str]) -> tuple[str, str]:
    """Return name and key of a file that is new to the index. A file without a unique key is renamed and gets one."""
    key = key_of(name)
    if key is not None and key not in taken:
        taken.add(key)
        return name, key
    path = folder_path(root, folder)
    key = new_key(None)
    new_name = with_key(name, key)
    os.rename(path / name, path / new_name)
    sync_folder(path)
    taken.add(key)
    return new_name, key


def _journal_from(connection: sqlite3.Connection, account: str) -> int:
    row = connection.execute("SELECT octets FROM journals WHERE account = ?", (account,)).fetchone()
    return int(row[0]) if row else 0


def record_journal(connection: sqlite3.Connection, account: str, size: int) -> None:
    """Record in the index up to which octet it has read an account's journal."""
    connection.execute(
        """INSERT INTO journals VALUES (?, ?)
        ON CONFLICT (account) DO UPDATE SET octets = excluded.octets WHERE octets <> excluded.octets""",
        (account, size),
    )


def record_stamp(index: Index, connection: sqlite3.Connection, folder: Folder, seen: int) -> None:
    """Record in the index the folder stamp that it is up to date with."""
    number = index.folder(connection, folder)
    # Without a change nothing is written, so that `Index.version` stays the same.
    connection.execute("UPDATE folders SET seen = ? WHERE folder = ? AND seen <> ?", (seen, number, seen))


def catch_up(
    root: Path,
    index: Index,
    everything: bool = False,
    progress: Progress | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> int:
    """Update the index: add new files, remove missing ones, follow moved ones, and read the journals further.

    The caller holds the write lock.

    @param everything: compare all folders, not only those whose stamp changed.
    @param report: called with a sentence for each folder that is gone, has lost messages, or cannot be read.
    @return: the number of new files.
    """
    journals = {account: Journal(root / account) for account in {folder.account for folder in folders(root)}}
    read_from = {account: _journal_from(index.connection, account) for account in journals}
    sizes = {account: journal.size() for account, journal in journals.items()}
    new_marks: dict[str, Marks] = {}
    for account, journal in journals.items():
        # Unfinished rewrites of journals: see `_message_names`.
        with suppress(OSError):
            remove_parts(root / account)
        if sizes[account] != read_from[account]:
            start = read_from[account] if sizes[account] > read_from[account] else 0
            new_marks |= dict(journal.read(start))
    changes = _compare(root, index, everything)
    if not new_marks and not changes.stamps and not changes.missing and not changes.vanished:
        for text in changes.reports:
            report(text)
        return 0
    done = _index_added(root, index, changes, progress)
    with index.transaction() as connection:
        for key, marks in new_marks.items():
            index.mark(connection, key, marks)
        for key in changes.missing:
            index.remove(connection, key, None)
        for folder, seen in changes.stamps.items():
            record_stamp(index, connection, folder, seen)
        for account, size in sizes.items():
            record_journal(connection, account, size)
        connection.executemany(
            "DELETE FROM folders WHERE account = ? AND name = ?", [(one.account, one.name) for one in changes.vanished]
        )
    changes.report_missing(root)
    changes.report_unread(root)
    for text in changes.reports:
        report(text)
    return done


def _index_added(root: Path, index: Index, changes: _Differences, progress: Progress | None) -> int:
    """Index the added files in batches. If a file's key is missing elsewhere, the file was moved."""
    taken = {row[0] for row in index.connection.execute("SELECT key FROM messages")} - changes.missing.keys()
    # A file that comes back to the store may have marks from before.
    all_marks: dict[str, Marks] = {}
    for account in {folder.account for folder, _ in changes.added}:
        all_marks |= dict(Journal(root / account).read())
    waiting: list[Entry] = []
    done = 0
    for folder, old_name in changes.added:
        done += 1
        try:
            name, key = _name_with_key(root, index, folder, old_name, taken)
        except FileNotFoundError:
            continue
        except OSError as error:
            changes.leave_unread(folder, old_name, error)
            continue
        if key in changes.missing:
            del changes.missing[key]
            with index.transaction() as connection:
                index.relocate(connection, key, folder, name)
            continue
        try:
            entry = read_entry(root, folder, name, key, all_marks.get(key, Marks()))
        except OSError as error:
            changes.leave_unread(folder, name, error)
            continue
        if entry is not None:
            waiting.append(entry)
        if len(waiting) >= _BATCH:
            with index.transaction() as connection:
                insert_readable(root, index, connection, waiting)
            waiting = []
            if progress is not None:
                progress(done, len(changes.added))
    with index.transaction() as connection:
        insert_readable(root, index, connection, waiting)
    if progress is not None:
        progress(done, len(changes.added))
    return done - sum(map(len, changes.unread.values()))


def rebuild(
    root: Path,
    index: Index,
    progress: Progress | None = None,
    report: Callable[[str], None] = lambda text: None,
    tell: Callable[[str], None] | None = None,
) -> int:
    """Rebuild the index from files and journals, and compact the journals. The caller holds the write lock.

    @param tell: called at once with a sentence for the user, if the store has folders.
    """
    if tell is not None and next(folders(root), None) is not None:
        tell("The index is being rebuilt from the message files. With much mail, this takes minutes.")
    unread: list[str] = []
    with index.transaction() as connection:
        index.clear(connection)
    with suppress(sqlite3.Error):
        # The file gives back the space of the old index.
        index.connection.execute("VACUUM")
    count = catch_up(root, index, everything=True, progress=progress, report=unread.append)
    for text in unread:
        report(text)
    connection = index.connection
    optimize_words(connection)
    # The journal has the marks of messages that cannot be read now. Then it stays as it is.
    accounts = [] if unread else connection.execute("SELECT DISTINCT account FROM folders").fetchall()
    for (account,) in accounts:
        keys = [
            row[0]
            for row in connection.execute(
                "SELECT m.key FROM messages m JOIN folders f USING (folder) WHERE f.account = ?", (account,)
            )
        ]
        marks = {key: one for key, one in index.marks(keys).items() if not one.is_empty}
        journal = Journal(root / account)
        journal.compact(marks)
        with index.transaction() as connection:
            record_journal(connection, account, journal.size())
    index.shrink_log()
    return count

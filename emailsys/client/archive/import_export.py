"""Import and export of messages: .eml files, mbox files, and maildirs."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from emailsys.client.archive.archive import Archive
from emailsys.client.archive.files import translated_disk_errors, write_whole
from emailsys.client.archive.index_entry import moment_of
from emailsys.client.archive.maildir_names import decode_folder_name
from emailsys.client.archive.marks import flags_of, letters
from emailsys.client.archive.mbox import is_mmdf, mbox_messages, status_flags
from emailsys.client.archive.values import (
    INBOX,
    OUTBOX,
    STANDARD_FOLDERS,
    Addition,
    ArchiveError,
    Flag,
    Folder,
    UnknownFormat,
)
from emailsys.client.base.folders import make_folder, sync_folder
from emailsys.client.text.file_names import numbered, safe_name
from emailsys.mail.trace_fields import date_time

if TYPE_CHECKING:
    from emailsys.client.archive.reading_process import Read, ReadingProcess

# Limits of a batch in octets and messages: small messages share syncs, and memory stays bounded.
_BATCH_OCTETS: Final = 16 << 20
_BATCH: Final = 500
# mboxrd quotes lines that start with "From ", or with ">" characters and "From ", by another ">".
_FROM: Final = re.compile(rb"^(>*From )", re.M)
_CRLF: Final = re.compile(rb"\r\n")

Progress = Callable[[int], None]


class Importer:
    """Imports mail of other programs into one folder.

    A message that is imported again has the same source, and is not added twice. An interrupted import can therefore
    be repeated, and continues where it stopped.
    """

    def __init__(
        self,
        archive: Archive,
        folder: Folder,
        progress: Progress | None = None,
        reading: ReadingProcess | None = None,
    ) -> None:
        """
        @param progress: called with the number of messages so far, after each batch but the last.
        @param reading: reads a batch while the batch before it is stored. None: this process does both.
        """
        self._archive = archive
        self._folder = folder
        self._progress = progress
        self._reading = reading
        # The batch that the other process reads.
        self._in_reading: list[Addition] = []
        # Counts equal messages: two files with the same octets are two messages.
        self._copies: Counter[bytes] = Counter()
        # Sources that earlier versions gave to messages of maildirs: two maildirs of the same name shared them.
        self._earlier_sources: dict[str, str] = {}
        #: Number of messages that were added.
        self.added = 0
        #: Number of messages that were already stored.
        self.already_stored = 0
        #: Number of messages from each folder on disk that `import_tree` went through.
        self.by_source: dict[str, int] = {}
        #: Files and folders that could not be read, with the reason.
        self.left_out: list[str] = []
        #: Number of messages of each folder that a subfolder was imported into.
        self.by_subfolder: dict[str, int] = {}

    def import_path(self, path: Path, form: str | None = None) -> None:
        """Import a file, a maildir, or a folder of these.

        @param form: "maildir", "mbox" or "eml"; None to detect it.
        @raise UnknownFormat: the path is not of this form, an MMDF file, or a pipe without `form`.
        @raise OSError: it cannot be read.
        """
        match form or _form_of(path):
            case "maildir":
                self.import_maildir(path)
            case "mbox":
                self.import_mbox(path)
            case _ if path.is_dir():
                self.import_tree(path)
            case _:
                self.import_eml([path])

    def import_eml(self, paths: Sequence[Path]) -> None:
        """Import files that contain one message each, unchanged. A folder stands for its .eml files."""

        def additions() -> Iterator[Addition]:
            for path in paths:
                # By name, as strings: paths compare slowly.
                for file in sorted(path.glob("*.eml"), key=str) if path.is_dir() else [path]:
                    try:
                        octets, arrived = file.read_bytes(), moment_of(file.stat().st_mtime)
                    except OSError as error:
                        if not path.is_dir():
                            raise
                        # The other files of a folder can be imported.
                        self.left_out.append(f"{file}: {error.strerror}")
                        continue
                    yield self._addition(octets, Flag.SEEN, arrived)

        self._add(additions())

    def import_tree(self, path: Path) -> None:
        """Import the .eml files, the mbox files named *.mbox, and the maildirs in a folder and its subfolders."""
        for place, below, files in os.walk(path, onerror=self._leave_out):
            folder = Path(place)
            before = self.added + self.already_stored
            if os.path.isdir(folder / "cur"):
                self.import_maildir(folder)
                below.clear()
            else:
                below.sort()
                self.import_eml([folder])
                for name in sorted(files):
                    if name.endswith(".mbox"):
                        self._add(self._readable(self._mbox(folder / name), folder / name))
            if count := self.added + self.already_stored - before:
                self.by_source[place] = count

    def _readable(self, additions: Iterator[Addition], path: Path) -> Iterator[Addition]:
        """Iterate over the messages of a file up to where it cannot be read. The other files can be imported."""
        try:
            yield from additions
        except OSError as error:
            self.left_out.append(f"{path}: {error.strerror}")
        except ArchiveError as error:
            self.left_out.append(str(error))

    def _leave_out(self, error: OSError) -> None:
        self.left_out.append(f"{error.filename}: {error.strerror}")

    def import_maildir(self, path: Path) -> None:
        """Import `cur` and `new` of a maildir, with flags, and the subfolders of Maildir++, each into its own folder.

        Files that cannot be read are left out.

        @raise UnknownFormat: the path is not a maildir.
        """
        if not (path / "cur").is_dir():
            raise UnknownFormat(f"{path} is not a maildir: it has no folder cur")

        def additions(maildir: Path, target: Folder, where: str) -> Iterator[Addition]:
            for name in ("cur", "new"):
                for file in self._files_in(maildir / name):
                    yield from self._readable(message(file, target, where), file)

        def message(file: Path, target: Folder, where: str) -> Iterator[Addition]:
            unique, _, info = file.name.partition(":2,")
            octets, arrived = file.read_bytes(), moment_of(file.stat().st_mtime)
            earlier = f"maildir:{self._folder.account}:{where}:{unique}"
            source = f"{earlier}:{hashlib.sha256(octets).hexdigest()[:32]}"
            self._earlier_sources[source] = earlier
            yield Addition(octets, target, source, flags_of(info), arrived=arrived)

        self._add(additions(path, self._folder, path.name))
        for below in sorted(path.iterdir()):
            if below.name.startswith(".") and (below / "cur").is_dir():
                target = Folder(self._folder.account, self._subfolder_name(below.name[1:]))
                target = self._archive.alike(target) or self._archive.add_folder(target)
                before = self.added + self.already_stored
                self._add(additions(below, target, f"{path.name}/{below.name}"))
                count = self.added + self.already_stored - before
                self.by_subfolder[target.name] = self.by_subfolder.get(target.name, 0) + count

    def _files_in(self, folder: Path) -> list[Path]:
        try:
            return sorted(one for one in folder.iterdir() if one.is_file() and not one.name.startswith("."))
        except FileNotFoundError:
            return []
        except OSError as error:
            self._leave_out(error)
            return []

    def _subfolder_name(self, name: str) -> str:
        """Return the folder for a subfolder of Maildir++: a standard folder if it has its name in any case."""
        name = safe_name(decode_folder_name(name), "folder", 100)
        if self._folder.name != INBOX:
            return safe_name(f"{self._folder.name}.{name}", max_octets=120)
        # What is in the outbox would be sent.
        name = f"{name} imported" if name.lower() == OUTBOX.lower() else name
        return next((one for one in STANDARD_FOLDERS if one.lower() == name.lower()), name)

    def import_mbox(self, path: Path) -> None:
        """Import an mbox file. Line ends stay as they are. @raise UnknownFormat: the file is not an mbox."""
        self._add(self._mbox(path))

    def _mbox(self, path: Path) -> Iterator[Addition]:
        for moment, octets in mbox_messages(path):
            yield self._addition(octets, status_flags(octets), moment)

    def _addition(self, octets: bytes, flags: Flag, arrived: datetime | None) -> Addition:
        digest = hashlib.sha256(octets).digest()[:16]
        self._copies[digest] += 1
        where = f"{self._folder.account}:{self._folder.name}"
        source = f"import:{where}:{digest.hex()}:{self._copies[digest]}"
        return Addition(octets, self._folder, source, flags, arrived=arrived)

    def _add(self, additions: Iterable[Addition]) -> None:
        batch: list[Addition] = []
        octets = 0
        with translated_disk_errors():
            for addition in additions:
                if octets >= _BATCH_OCTETS or len(batch) >= _BATCH:
                    self._flush(batch)
                    batch, octets = [], 0
                    done = self.added + self.already_stored
                    if self._progress is not None and done:
                        self._progress(done)
                batch.append(addition)
                octets += len(addition.octets)
            self._flush(batch)
            self._store_read()

    def _flush(self, batch: Sequence[Addition]) -> None:
        """Store the new messages of a batch: now, or while the other process reads the next batch."""
        fresh = self._without_known(batch)
        self.already_stored += len(batch) - len(fresh)
        if self._reading is None:
            self._store(fresh)
            return
        before, read = self._in_reading, self._reading.receive() if self._in_reading else None
        self._in_reading = self._reading.send(fresh) if fresh else []
        self._store(before, read)

    def _store_read(self) -> None:
        """Store the batch that the other process reads, if there is one."""
        if self._in_reading and self._reading is not None:
            before, self._in_reading = self._in_reading, []
            self._store(before, self._reading.receive())

    def _store(self, fresh: Sequence[Addition], read: Sequence[Read] | None = None) -> None:
        if fresh:
            self._archive.add_many(fresh, read)
        self.added += len(fresh)

    def _without_known(self, batch: Sequence[Addition]) -> list[Addition]:
        """Return the messages that are not stored yet."""
        in_reading = {one.source for one in self._in_reading}
        sources = [one.source for one in batch]
        earlier = [self._earlier_sources.pop(one or "", None) for one in sources]
        known = self._archive.known(one for one in (*sources, *earlier) if one is not None)
        return [
            one
            for one, former in zip(batch, earlier, strict=True)
            if one.source not in known
            and one.source not in in_reading
            and not self._has_octets(known.get(former or ""), one.octets)
        ]

    def _has_octets(self, key: str | None, octets: bytes) -> bool:
        return key is not None and self._archive.octets(key) == octets


def _form_of(path: Path) -> str:
    if path.is_dir():
        return "maildir" if (path / "cur").is_dir() else "eml"
    if path.is_fifo() or path.is_socket():
        # What is read from it here would be missing in the message.
        raise UnknownFormat(f"{path} is a pipe, whose format cannot be detected. Name the format: --form mbox or eml")
    with path.open("rb") as file:
        first = file.read(5)
    # Files in MMDF format are refused with a word where mbox files are read. An empty mbox has no messages.
    is_empty_mbox = not first and path.suffix == ".mbox"
    return "mbox" if first == b"From " or is_mmdf(first) or is_empty_mbox else "eml"


def export_eml(archive: Archive, keys: Iterable[str], folder: Path) -> int:
    """Write each message unchanged to a file of its own. Existing files are never overwritten."""
    count = 0
    for key in keys:
        source = archive.path(key)
        octets = archive.octets(key)
        number, path = 1, folder / source.name
        while path.exists():
            number += 1
            path = folder / numbered(source.name, number)
        with translated_disk_errors():
            make_folder(folder)
        write_whole(path, octets)
        count += 1
    return count


def export_mbox(archive: Archive, keys: Iterable[str], path: Path) -> int:
    """Append messages to an mbox file, and sync it. Lines are quoted as in mboxrd and end with LF."""
    count = 0
    with translated_disk_errors(), path.open("ab") as file:
        for key in keys:
            summary = archive.get(key)
            octets = _FROM.sub(rb">\1", _CRLF.sub(b"\n", archive.octets(key)))
            if not octets.endswith(b"\n"):
                octets += b"\n"
            # `date_time` uses English names in every locale.
            _, day, month, year, time, _ = date_time(summary.date).split(" ")
            weekday = date_time(summary.date)[:3]
            file.write(f"From MAILER-DAEMON {weekday} {month} {day:>2} {time} {year}\n".encode() + octets + b"\n")
            count += 1
        file.flush()
        os.fsync(file.fileno())
    return count


def export_maildir(archive: Archive, keys: Iterable[str], path: Path) -> int:
    """Write messages with their flags to `cur` of a maildir, and sync it. Create the maildir if necessary."""
    with translated_disk_errors():
        for name in ("tmp", "new", "cur"):
            make_folder(path / name)
    count = 0
    for key in keys:
        summary = archive.get(key)
        octets = archive.octets(key)
        name = f"{int(summary.date.timestamp())}.{secrets.token_hex(8)}.emailsys:2,{letters(summary.flags)}"
        write_whole(path / "tmp" / name, octets)
        with translated_disk_errors():
            os.rename(path / "tmp" / name, path / "cur" / name)
        count += 1
    with translated_disk_errors():
        sync_folder(path / "cur")
    return count

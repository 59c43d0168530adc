"""Messages in and out of the local store: .eml files, mbox files, maildirs."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

from emailsys.client.archive.archive import Archive
from emailsys.client.archive.files import make_folder, speaking_of_the_disk, sync_folder, write_whole
from emailsys.client.archive.marks import flags_of, letters
from emailsys.client.archive.values import Addition, ArchiveError, Flag, Place
from emailsys.client.file_names import numbered
from emailsys.mail.trace import date_time

# Octets that are kept together: many small messages share their syncs, memory stays bounded.
_BATCH_OCTETS: Final = 16 << 20
_BATCH: Final = 500
_ENVELOPE: Final = re.compile(rb"From [^\r\n]*\r?\n")
# mboxrd: ">" before each line that begins with "From " behind any number of ">".
_QUOTED_FROM: Final = re.compile(rb"^>(>*From )", re.M)
_FROM: Final = re.compile(rb"^(>*From )", re.M)
_CRLF: Final = re.compile(rb"\r\n")

Progress = Callable[[int], None]


def _keep(archive: Archive, additions: Iterable[Addition], progress: Progress | None) -> int:
    count = 0
    waiting: list[Addition] = []
    octets = 0

    def flush() -> None:
        archive.add_many(waiting)
        waiting.clear()
        if progress is not None:
            progress(count)

    for addition in additions:
        waiting.append(addition)
        octets += len(addition.octets)
        count += 1
        if octets >= _BATCH_OCTETS or len(waiting) >= _BATCH:
            flush()
            octets = 0
    if waiting:
        flush()
    return count


def import_eml(archive: Archive, place: Place, paths: Sequence[Path], progress: Progress | None = None) -> int:
    """Take in files of one message each, octet by octet; returns how many. A folder stands for its .eml files."""

    def additions() -> Iterator[Addition]:
        for path in paths:
            for file in sorted(path.glob("*.eml")) if path.is_dir() else [path]:
                arrived = datetime.fromtimestamp(file.stat().st_mtime, UTC)
                yield Addition(file.read_bytes(), place, flags=Flag.SEEN, arrived=arrived)

    with speaking_of_the_disk():
        return _keep(archive, additions(), progress)


def import_maildir(archive: Archive, place: Place, path: Path, progress: Progress | None = None) -> int:
    """Take in a maildir's cur and new, with flags; returns how many. Importing it again adds only what is new."""
    if not (path / "cur").is_dir():
        raise ArchiveError(f"{path} is no maildir: it has no folder cur")

    def additions() -> Iterator[Addition]:
        for name in ("cur", "new"):
            folder = path / name
            for file in sorted(folder.iterdir()) if folder.is_dir() else []:
                if file.is_file() and not file.name.startswith("."):
                    unique, _, info = file.name.partition(":2,")
                    arrived = datetime.fromtimestamp(file.stat().st_mtime, UTC)
                    source = f"maildir:{place.account}:{path.name}:{unique}"
                    yield Addition(file.read_bytes(), place, source, flags_of(info), arrived=arrived)

    with speaking_of_the_disk():
        return _keep(archive, additions(), progress)


def mbox_messages(path: Path) -> Iterator[tuple[datetime | None, bytes]]:
    """The messages of an mbox file, with the date of the line before each where it has one.

    A message begins at "From " after an empty line or at the beginning; ">From " is unquoted as mboxrd has it.
    """
    lines: list[bytes] = []
    moment: datetime | None = None
    began = False
    after_empty = True
    with path.open("rb") as file:
        for line in file:
            if after_empty and _ENVELOPE.match(line):
                if began:
                    yield moment, _unquoted(lines)
                moment, began, lines = _envelope_date(line), True, []
            else:
                lines.append(line)
            after_empty = line in (b"\n", b"\r\n")
    if not began:
        raise ArchiveError(f"{path} is no mbox: it does not begin with a From line")
    yield moment, _unquoted(lines)


def _unquoted(lines: list[bytes]) -> bytes:
    # The empty line before the next message is the mbox's, not the message's.
    if lines and lines[-1] in (b"\n", b"\r\n"):
        lines = lines[:-1]
    return _QUOTED_FROM.sub(rb"\1", b"".join(lines))


def _envelope_date(line: bytes) -> datetime | None:
    # asctime: "From someone@example.org Mon Nov  3 10:00:00 2025", the time in UTC.
    words = line.decode("ascii", "replace").split()
    try:
        weekday, month, day, time, year = words[-5:]
        return parsedate_to_datetime(f"{weekday}, {day} {month} {year} {time} +0000")
    except (ValueError, TypeError, IndexError):
        return None


def import_mbox(archive: Archive, place: Place, path: Path, progress: Progress | None = None) -> int:
    """Take in an mbox file; returns how many messages. Lines keep the ends they have there."""

    def additions() -> Iterator[Addition]:
        for moment, octets in mbox_messages(path):
            status = re.search(rb"^Status: *([A-Z]*)", octets[:65_536], re.M)
            seen = Flag.SEEN if status is not None and b"R" in status[1] else Flag.NONE
            yield Addition(octets, place, flags=seen, arrived=moment)

    with speaking_of_the_disk():
        return _keep(archive, additions(), progress)


def export_eml(archive: Archive, keys: Iterable[str], folder: Path) -> int:
    """Write each message into a folder as a file of its own, octet by octet; nothing is overwritten."""
    count = 0
    for key in keys:
        source = archive.path(key)
        octets = archive.octets(key)
        number, path = 1, folder / source.name
        while path.exists():
            number += 1
            path = folder / numbered(source.name, number)
        with speaking_of_the_disk():
            make_folder(folder)
        write_whole(path, octets)
        count += 1
    return count


def export_mbox(archive: Archive, keys: Iterable[str], path: Path) -> int:
    """Append messages to an mbox file, quoted as mboxrd, with LF line ends as mbox programs want them; synced."""
    count = 0
    with speaking_of_the_disk(), path.open("ab") as file:
        for key in keys:
            summary = archive.get(key)
            octets = _FROM.sub(rb">\1", _CRLF.sub(b"\n", archive.octets(key)))
            if not octets.endswith(b"\n"):
                octets += b"\n"
            # date_time's names are not the locale's.
            _, day, month, year, time, _ = date_time(summary.date).split(" ")
            weekday = date_time(summary.date)[:3]
            file.write(f"From MAILER-DAEMON {weekday} {month} {day:>2} {time} {year}\n".encode() + octets + b"\n")
            count += 1
        file.flush()
        os.fsync(file.fileno())
    return count


def export_maildir(archive: Archive, keys: Iterable[str], path: Path) -> int:
    """Put messages into a maildir, which is made if it is not there: into cur, with their flags; synced."""
    with speaking_of_the_disk():
        for name in ("tmp", "new", "cur"):
            make_folder(path / name)
    count = 0
    for key in keys:
        summary = archive.get(key)
        octets = archive.octets(key)
        name = f"{int(summary.date.timestamp())}.{secrets.token_hex(8)}.emailsys:2,{letters(summary.flags)}"
        write_whole(path / "tmp" / name, octets)
        with speaking_of_the_disk():
            os.rename(path / "tmp" / name, path / "cur" / name)
        count += 1
    with speaking_of_the_disk():
        sync_folder(path / "cur")
    return count

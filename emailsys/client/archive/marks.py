"""Flags, tags, and notes on disk: one journal per account, one JSON object per line. The last line of a key counts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from emailsys.client.archive.files import rewrite, translated_disk_errors
from emailsys.client.archive.values import ArchiveError, Flag
from emailsys.client.base.folders import sync_folder

_NAME: Final = ".marks.jsonl"
_LETTERS: Final = {Flag.SEEN: "S", Flag.ANSWERED: "R", Flag.FLAGGED: "F", Flag.FORWARDED: "P"}


@dataclass(frozen=True, slots=True)
class Marks:
    """Flags, tags, and note of a message."""

    flags: Flag = Flag.NONE
    tags: tuple[str, ...] = ()
    note: Mapping[str, Any] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the message has no flags, tags, or note."""
        return not self.flags and not self.tags and self.note is None


#: The marks of a new message.
NO_MARKS: Final = Marks()


def check_tags(tags: Iterable[str]) -> None:
    """@raise ArchiveError: a tag is not one word."""
    for tag in tags:
        if not tag or len(tag) > 100 or not tag.isprintable() or " " in tag:
            raise ArchiveError(f"{tag!r} is not a valid tag: a tag is one word")


def letters(flags: Flag) -> str:
    """Return the flags as maildir's letters, in ASCII order."""
    return "".join(sorted(letter for flag, letter in _LETTERS.items() if flags & flag))


def flags_of(text: str) -> Flag:
    """Return the flags of maildir's letters. Unknown letters are ignored."""
    flags = Flag.NONE
    for flag, letter in _LETTERS.items():
        if letter in text:
            flags |= flag
    return flags


def _line(key: str, marks: Marks) -> bytes:
    entry: dict[str, Any] = {"key": key, "flags": letters(marks.flags), "tags": list(marks.tags)}
    if marks.note is not None:
        entry["note"] = marks.note
    return json.dumps(entry, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n"


def _entry(line: bytes) -> tuple[str, Marks] | None:
    try:
        entry = json.loads(line)
        note = entry.get("note")
        tags = tuple(str(tag) for tag in entry.get("tags", ()))
        return str(entry["key"]), Marks(
            flags_of(str(entry.get("flags", ""))), tags, note if isinstance(note, dict) else None
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # The line was torn by a crash: its writer never reported success.
        return None


class Journal:
    """The journal of one account. Only the holder of the write lock appends or compacts."""

    def __init__(self, account: Path) -> None:
        self.path = account / _NAME

    def size(self) -> int:
        """Return the size in octets, 0 without a file."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def append(self, entries: Iterable[tuple[str, Marks]]) -> None:
        """Append entries. They are on disk when this returns. @raise ArchiveError: no entry was appended."""
        octets = b"".join(_line(key, marks) for key, marks in entries)
        with translated_disk_errors():
            is_new = not self.path.exists()
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
            try:
                size = os.lseek(descriptor, 0, os.SEEK_END)
                if size:
                    os.lseek(descriptor, size - 1, os.SEEK_SET)
                    if os.read(descriptor, 1) != b"\n":
                        octets = b"\n" + octets
                try:
                    view = memoryview(octets)
                    while view:
                        view = view[os.write(descriptor, view) :]
                    os.fsync(descriptor)
                except OSError:
                    os.truncate(descriptor, size)
                    raise
            finally:
                os.close(descriptor)
            if is_new:
                sync_folder(self.path.parent)

    def read(self, start: int = 0) -> Iterator[tuple[str, Marks]]:
        """Read the entries in order. @param start: the position of the beginning of a line, in octets."""
        try:
            octets = self.path.read_bytes()[start:]
        except FileNotFoundError:
            return
        for line in octets.split(b"\n"):
            if line and (entry := _entry(line)) is not None:
                yield entry

    def compact(self, entries: Mapping[str, Marks]) -> None:
        """Rewrite the journal with these entries only."""
        if entries or self.path.exists():
            rewrite(self.path, b"".join(_line(key, marks) for key, marks in entries.items()))


def append_marks(root: Path, entries: Iterable[tuple[str, str, Marks]]) -> None:
    """Append marks to the journals of their accounts. They are on disk when this returns.

    @param root: the store's folder.
    @param entries: account, key, and marks of each message.
    @raise ArchiveError: a journal was not written.
    """
    by_account: dict[str, list[tuple[str, Marks]]] = {}
    for account, key, marks in entries:
        by_account.setdefault(account, []).append((key, marks))
    for account, marked in by_account.items():
        Journal(root / account).append(marked)

"""Messages of mbox files: RFC 4155, and the dialects of other programs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

from emailsys.client.archive.values import Flag, UnknownFormat
from emailsys.mail.message.dates import parse_date

_SEPARATOR: Final = b"From "
# RFC 4155 §A: the date of asctime. Programs leave out the seconds, or add a zone; some write a date of RFC 5322.
_DATE: Final = re.compile(
    rb"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*,?[ ]+)?(?:[a-z]{3}[ ]+\d{1,2}|\d{1,2}[ ]+[a-z]{3}[ ]+\d{4})[ ]+"
    rb"\d{1,2}:\d\d(?::\d\d)?[^\r\n]*",
    re.I,
)
_YEAR: Final = re.compile(rb"\d{4}")
_FIELD: Final = re.compile(rb"[!-9;-~]+[ \t]*:|>?From ")
_BLANK: Final = (b"\n", b"\r\n", b"")
# mboxrd quotes lines that start with "From ", or with ">" characters and "From ", by another ">".
_QUOTED_FROM: Final = re.compile(rb"^>(>*From )", re.M)
# mboxcl and mboxcl2 count the octets of the body.
_LENGTH: Final = re.compile(rb"content-length[ \t]*:[ \t]*(\d{1,12})[ \t]*\r?\n", re.I)
# What follows a body whose octets were counted rightly.
_FOLLOWS: Final = re.compile(rb"(?:\r?\n)*(?:From |\Z)")
_MMDF: Final = b"\x01\x01\x01\x01"
_STATUS: Final = re.compile(rb"^(X-Mozilla-Status|X-Status|Status)[ \t]*:[ \t]*([A-Z0-9]+)", re.M | re.I)
# Octets at the beginning of a message in which its status is looked for.
_HEAD: Final = 65_536
_MOZILLA: Final = ((0x1, Flag.SEEN), (0x2, Flag.ANSWERED), (0x4, Flag.FLAGGED), (0x1000, Flag.FORWARDED))


def is_mmdf(first: bytes) -> bool:
    """Whether a file is in MMDF format, which is not an mbox. @param first: its first octets."""
    return first.startswith(_MMDF)


def mbox_messages(path: Path) -> Iterator[tuple[datetime | None, bytes]]:
    """Iterate over the messages of an mbox file, each with the date of its From line, or None.

    A message starts with a From line at the beginning of the file, or after an empty line if it has a date, a header
    field follows, and no Content-Length says that it is text. In a file whose first From line has no date, none needs
    one, and the same line needs no empty line above it. ">From " is unquoted as in mboxrd.

    @raise UnknownFormat: the file is not an mbox.
    """
    with path.open("rb") as file:
        first = file.readline()
        if not first:
            # Programs keep a folder without messages as an empty file.
            return
        if not first.startswith(_SEPARATOR):
            what = "in MMDF format, which is not supported" if is_mmdf(first) else "not an mbox file"
            advice = "; convert it to mbox first" if is_mmdf(first) else ": it does not start with a From line"
            raise UnknownFormat(f"{path} is {what}{advice}")
        yield from _Reader(file, first).messages()


class _Reader:
    def __init__(self, file: BinaryIO, first: bytes) -> None:
        self._file = file
        self._first = first
        self._needs_date = _has_date(first)
        #: Position in the file up to which no separator counts.
        self._counted = 0

    def messages(self) -> Iterator[tuple[datetime | None, bytes]]:
        moment = _date_of(self._first)
        lines: list[bytes] = []
        is_head = True
        at = len(self._first)
        readline = self._file.readline
        line = readline()
        while line:
            begin, at = at, at + len(line)
            if line.startswith(_SEPARATOR) and not is_head and begin >= self._counted and self._may_follow(lines, line):
                following = readline()
                if self._separates(line, following):
                    yield moment, _unquoted(lines)
                    moment, lines, is_head = _date_of(line), [], True
                else:
                    lines.append(line)
                line = following
                continue
            lines.append(line)
            if is_head and line in _BLANK:
                is_head = False
                self._counted = self._end_of_body(lines, at)
            line = readline()
        yield moment, _unquoted(lines)

    def _may_follow(self, lines: list[bytes], line: bytes) -> bool:
        """Whether a From line may start a message here: below an empty line, or if it repeats the undated first one."""
        return lines[-1] in _BLANK or (not self._needs_date and line == self._first)

    def _separates(self, line: bytes, following: bytes) -> bool:
        if not self._needs_date:
            return _FIELD.match(following) is not None
        return _has_date(line) and (following in _BLANK or _FIELD.match(following) is not None)

    def _end_of_body(self, head: list[bytes], body: int) -> int:
        """Return where the body ends by its Content-Length; where it begins, if there is none or it is wrong.

        @param body: the position of the file, which does not change.
        """
        stated = next((found for line in head if (found := _LENGTH.match(line)) is not None), None)
        if stated is None:
            return body
        end = body + int(stated[1])
        self._file.seek(end)
        is_right = _FOLLOWS.match(self._file.read(64)) is not None
        size = self._file.seek(0, 2)
        self._file.seek(body)
        return end if is_right and end <= size else body


def _has_date(line: bytes) -> bool:
    found = _DATE.search(line)
    return found is not None and _YEAR.search(found[0]) is not None


def _date_of(line: bytes) -> datetime | None:
    """Return the date of a From line. Without a zone it is in UTC (RFC 4155)."""
    found = _DATE.search(line)
    return parse_date(found[0].decode("ascii", "replace")) if found is not None else None


def _unquoted(lines: list[bytes]) -> bytes:
    # The empty line before the next From line is part of the mbox format, not of the message.
    if lines and lines[-1] in _BLANK:
        lines = lines[:-1]
    return _QUOTED_FROM.sub(rb"\1", b"".join(lines))


def status_flags(octets: bytes) -> Flag:
    """Return the flags that an mbox keeps in the header of a message: Status, X-Status, X-Mozilla-Status."""
    flags = Flag.NONE
    head = octets[:_HEAD].replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    for name, value in _STATUS.findall(head):
        if name.lower() == b"x-mozilla-status":
            try:
                bits = int(value, 16)
            except ValueError:
                continue
            for bit, flag in _MOZILLA:
                flags |= flag if bits & bit else Flag.NONE
        else:
            for letter, flag in ((b"R", Flag.SEEN), (b"A", Flag.ANSWERED), (b"F", Flag.FLAGGED)):
                # Only Status tells of reading.
                if letter in value and (letter == b"R") == (name.lower() == b"status"):
                    flags |= flag
    return flags

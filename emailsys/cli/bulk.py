"""Bulk input: a file with one account or domain in each line, as text or as JSON."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

import click

from emailsys.cli.administer import administer
from emailsys.cli.options import Places, Refused
from emailsys.cli.output import Progress, print_json
from emailsys.config.exit_status import Exit
from emailsys.control.control_socket import MAX_REQUEST_OCTETS
from emailsys.control.requests import Request
from emailsys.mail.address import Address, AddressSyntaxError, parse
from emailsys.mail.quantities import counted

# Octets. An address has at most 254, and a password 1,024 characters.
_MAX_LINE_OCTETS: Final = 8192
# Rows in one commit, which delays other mail by about 50 ms, and octets of their request.
_ROWS_AT_ONCE: Final = 100
_OCTETS_AT_ONCE: Final = MAX_REQUEST_OCTETS // 2


class LineError(Exception):
    """A line cannot be used. The message says why."""


@dataclass(slots=True)
class Line:
    """A line of the file: its number from 1 (in a JSON array: the position), and its fields or its problem."""

    number: int
    fields: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    #: What the request carries for this line.
    row: tuple[Any, ...] = ()

    def apply(self, function: Callable[[Mapping[str, str]], tuple[Any, ...]]) -> Line:
        """Make the row from the fields; a `LineError` becomes the problem of this line."""
        if not self.problem:
            try:
                self.row = function(self.fields)
            except LineError as error:
                self.problem = str(error)
        return self


def address_in(fields: Mapping[str, str], name: str) -> Address:
    """Return the address in a field.

    @raise LineError: it is missing or not an address.
    """
    text = fields.get(name, "")
    try:
        return parse(text)
    except AddressSyntaxError as error:
        raise LineError(f"{name}: {text!r} is no mail address: {error}") from None


def read_file(file: BinaryIO, keys: Sequence[str], split: Callable[[str], dict[str, str]]) -> list[Line]:
    """Read lines of text, lines of JSON objects, or one JSON array of objects. Empty lines and comments are left out.

    @param keys: the fields that an object may have.
    @param split: returns the fields of a line of text, or raises LineError.
    @raise Refused: the file is a malformed JSON array.
    """
    octets = file.read().removeprefix(codecs.BOM_UTF8)
    if octets.lstrip().startswith(b"["):
        try:
            rows = json.loads(octets)
        except (ValueError, RecursionError) as error:
            raise Refused(f"the JSON array in the file is malformed: {error}") from None
        return [_array_line(number, row, keys) for number, row in enumerate(rows, 1)]
    return list(_text_lines(octets, keys, split))


def _array_line(number: int, document: Any, keys: Sequence[str]) -> Line:
    try:
        return Line(number, _fields(document, keys))
    except LineError as error:
        return Line(number, problem=str(error))


def _text_lines(octets: bytes, keys: Sequence[str], split: Callable[[str], dict[str, str]]) -> Iterator[Line]:
    for number, raw in enumerate(octets.split(b"\n"), 1):
        line = Line(number)
        try:
            if len(raw) > _MAX_LINE_OCTETS:
                raise LineError(f"the line is longer than {_MAX_LINE_OCTETS} octets")
            text = raw.removesuffix(b"\r").decode("utf-8-sig")
            if not text.strip() or text.startswith("#"):
                continue
            line.fields = _object(text, keys) if text.lstrip().startswith("{") else split(text)
        except UnicodeDecodeError:
            line.problem = "the line is not UTF-8"
        except LineError as error:
            line.problem = str(error)
        yield line


def _object(text: str, keys: Sequence[str]) -> dict[str, str]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LineError(f"the JSON object is malformed: {error}") from None
    return _fields(document, keys)


def _fields(document: Any, keys: Sequence[str]) -> dict[str, str]:
    if not isinstance(document, dict):
        raise LineError(f"found {type(document).__name__}; allowed: a JSON object with {', '.join(keys)}")
    unknown = [key for key in document if key not in keys]
    if unknown:
        raise LineError(f"found the field {unknown[0]!r}; allowed: {', '.join(keys)}")
    if not all(isinstance(value, str) for value in document.values()):
        raise LineError("all values must be strings")
    return document


@dataclass(slots=True)
class Result:
    """The rows that were added and those that were refused, in the words of `--json`."""

    added: list[str] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)

    def refuse(self, line: Line, name: str, problem: str) -> None:
        """Note a line that was refused."""
        self.refused.append({"line": line.number, "name": name, "problem": problem})


def add_rows(
    where: Places, lines: Sequence[Line], kind: Callable[[tuple[Any, ...]], Request], what: str, as_json: bool
) -> int:
    """Send the rows of the good lines, many in one request, and report what was added. Returns the exit status.

    @param kind: the request, made from rows; the first column is the name that the report shows.
    @param what: the singular of what is added.
    """
    result, progress, status = Result(), Progress(as_json), Exit.OK
    for line in lines:
        if line.problem:
            result.refuse(line, next(iter(line.fields.values()), ""), line.problem)
    for chunk in _chunks([line for line in lines if not line.problem], kind):
        if status is Exit.OK:
            progress.tell(f"{len(result.added)} of {counted(len(lines), what)} added")
        try:
            if status is not Exit.OK:
                raise Refused("not tried, because an earlier request failed", status)
            answer = administer(where, kind(tuple(line.row for line in chunk)))
        except Refused as error:
            if not result.added:
                raise
            status = error.status
            answer = {"refused": [{"row": number, "problem": error.message} for number in range(len(chunk))]}
        problems = {each["row"]: each["problem"] for each in answer["refused"]}
        for number, line in enumerate(chunk):
            if number in problems:
                result.refuse(line, str(line.row[0]), problems[number])
            else:
                result.added.append(str(line.row[0]))
    progress.tell("")
    result.refused.sort(key=lambda each: int(each["line"]))
    _report(result, what, as_json)
    return status or (Exit.DATA if result.refused else Exit.OK)


def _chunks(lines: Sequence[Line], kind: Callable[[tuple[Any, ...]], Request]) -> Iterator[list[Line]]:
    chunk: list[Line] = []
    octets = 0
    for line in lines:
        length = len(json.dumps(kind((line.row,)).as_json()))
        if chunk and (len(chunk) == _ROWS_AT_ONCE or octets + length > _OCTETS_AT_ONCE):
            yield chunk
            chunk, octets = [], 0
        chunk.append(line)
        octets += length
    if chunk:
        yield chunk


def _report(result: Result, what: str, as_json: bool) -> None:
    if as_json:
        print_json({"added": result.added, "refused": result.refused})
        return
    for each in result.refused:
        click.echo(f"emailsys: line {each['line']}: {each['problem']}", err=True)
    refused = f"; {counted(len(result.refused), 'line')} refused" if result.refused else ""
    click.echo(f"added {counted(len(result.added), what)}{refused}", err=True)

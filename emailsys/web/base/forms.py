"""Bodies of HTML forms: fields and files (WHATWG URL, RFC 7578)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

# Fields and files of one form.
_MAX_FIELDS: Final = 200
_BOUNDARY: Final = re.compile(r'multipart/form-data\s*;\s*boundary=("?)([-0-9A-Za-z\'()+_,./:=? ]{1,70})\1\s*', re.I)
_NAME: Final = re.compile(r';\s*name="([^"\r\n]*)"', re.I)
_FILE: Final = re.compile(r';\s*filename="([^"\r\n]*)"', re.I)
# Octets of the header section of a part: names of fields and files.
_MAX_HEAD: Final = 8192


class BadForm(ValueError):
    """The body is not a form that a browser sends."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a form. Its name and its type are what the browser says: any text."""

    name: str
    content_type: str
    octets: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form, each with all its values, and its files."""

    fields: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)
    files: Mapping[str, Sequence[Upload]] = field(default_factory=dict)

    def get(self, name: str, default: str = "") -> str:
        """Return the first value of a field."""
        return next(iter(self.fields.get(name, ())), default)

    @property
    def typed(self) -> str:
        """The message that a person typed into the form; "" if it is not the form of a message."""
        if not self.get("text"):
            return ""
        head = [
            f"{name}: {self.get(name.lower())}" for name in ("To", "Cc", "Bcc", "Subject") if self.get(name.lower())
        ]
        return "\n".join([*head, "", self.get("text").replace("\r\n", "\n")])


def parse_query(octets: bytes) -> dict[str, list[str]]:
    """Parse the octets of application/x-www-form-urlencoded.

    @raise BadForm: it has too many fields.
    """
    try:
        pairs = parse_qsl(octets.decode("ascii"), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="replace")
    except ValueError:
        raise BadForm("too many fields, or octets that are not ASCII") from None
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def parse_form(content_type: str, octets: bytes) -> Form:
    """Parse the body of a form.

    @raise BadForm: it is malformed.
    """
    if content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
        return Form(parse_query(octets))
    match = _BOUNDARY.fullmatch(content_type)
    if match is None:
        raise BadForm("not the body of a form")
    fields: dict[str, list[str]] = {}
    files: dict[str, list[Upload]] = {}
    for name, file_name, kind, body in _parts(octets, match[2].encode()):
        if file_name is None:
            fields.setdefault(name, []).append(body.decode("utf-8", "replace"))
        elif file_name or body:
            # A file input without a file sends an empty one without a name.
            files.setdefault(name, []).append(Upload(file_name, kind, body))
    return Form(fields, files)


def _parts(octets: bytes, boundary: bytes) -> Iterator[tuple[str, str | None, str, bytes]]:
    """Yield name, file name, content type and body of each part."""
    pieces = (b"\r\n" + octets).split(b"\r\n--" + boundary, _MAX_FIELDS + 2)
    if len(pieces) - 2 > _MAX_FIELDS:
        raise BadForm("too many fields")
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise BadForm("the form is cut off")
    for piece in pieces[1:-1]:
        head, empty, body = piece.partition(b"\r\n\r\n")
        if not empty or not head.startswith(b"\r\n"):
            raise BadForm("a part has no header section")
        if len(head) > _MAX_HEAD:
            raise BadForm("a part has too large a header section")
        lines = [line.partition(b":") for line in head.split(b"\r\n")]
        headers = {name.strip().lower(): value.strip() for name, colon, value in lines if colon}
        disposition = headers.get(b"content-disposition", b"").decode("utf-8", "replace")
        name = _NAME.search(disposition)
        if not disposition.lower().startswith("form-data") or name is None:
            raise BadForm("a part has no name")
        file = _FILE.search(disposition)
        kind = headers.get(b"content-type", b"").decode("ascii", "replace")
        yield _unescaped(name[1]), _unescaped(file[1]) if file else None, kind, body


def _unescaped(text: str) -> str:
    # WHATWG HTML §4.10.22.8: browsers escape these three characters, and nothing else.
    return text.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")

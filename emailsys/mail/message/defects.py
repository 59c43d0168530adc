"""Defects of a message: what had to be guessed in its structure and in its header fields, and what is not used.

The readers of these fields are lenient and say nothing, because lists and indexes only need values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from emailsys.mail.message.charsets import decode_charset
from emailsys.mail.message.dates import date_defect
from emailsys.mail.message.fields import MAX_STRUCTURED, parameter_defects, word_defects
from emailsys.mail.message.ids import id_defect, replied_defect
from emailsys.mail.message.mailboxes import guessed_addresses, unusable_addresses
from emailsys.mail.message.part import Field, Part

# RFC 5322 §3.6: a message has at most one of each.
_SINGLE: Final = frozenset(
    {"from", "sender", "reply-to", "to", "cc", "bcc", "date", "subject"}
    | {"message-id", "in-reply-to", "references", "mime-version"}
)
_PARAMETERS: Final = frozenset({"content-type", "content-disposition"})
# Defects of one section that are listed, and characters of a value that a defect quotes.
_MAX_LISTED: Final = 20
_MAX_QUOTED: Final = 100
# Octets of the text around the parts that are read.
_AROUND: Final = 10_000
# What programs write before the first part, for readers that know no MIME; and the length of the longest such text.
_FOR_OLD_READERS: Final = re.compile(r"\bMIME\b|\bmulti-?part\b", re.I)
_MAX_FOR_OLD_READERS: Final = 500


def message_defects(root: Part) -> Iterator[tuple[Part, list[str]]]:
    """Yield each part of a message with its defects, in the order of the message."""
    heads = {id(root)}
    for part in root.walk():
        if part.is_message and part.parts:
            heads.add(id(part.parts[0]))
        yield part, [*part.defects, *field_defects(part.fields, id(part) in heads)]


def around_parts(part: Part) -> tuple[str, str]:
    """Return the text before the first part and below the last one, which mail programs do not show (RFC 2046 §5.1)."""
    if not part.parts or not part.content_type.startswith("multipart/") or part.parts[0].source is not part.source:
        return "", ""
    # The line of the boundary is left out.
    before = part.source[part.body_start : part.parts[0].start].rstrip().rpartition(b"\n")[0]
    below = part.source[part.parts[-1].end : part.end].lstrip().partition(b"\n")[2]
    return _text(before), _text(below)


def _text(octets: bytes) -> str:
    return decode_charset(octets[:_AROUND], "utf-8")[0].replace("\r\n", "\n").strip()


def notes_on(part: Part) -> Iterator[str]:
    """Yield what is no defect of a part, but is not shown either: readers must ignore it (RFC 2046 §5.1.1)."""
    before, below = around_parts(part)
    if before and (len(before) > _MAX_FOR_OLD_READERS or _FOR_OLD_READERS.search(before) is None):
        yield f"it has text before its first part, which is not part of the message: {_quoted(before)}"
    if below:
        yield f"it has text below its last part, which is not part of the message: {_quoted(below)}"


def _quoted(text: str) -> str:
    return repr(" ".join(text[: 2 * _MAX_QUOTED].split())[:_MAX_QUOTED])


def field_defects(fields: Sequence[Field], is_message: bool) -> list[str]:
    """Return the defects of a header section, each once and with the name of its field.

    @param is_message: whether it is the header of a message, and not that of a part.
    """
    found: dict[str, None] = {}
    for one in _each(fields, is_message):
        found[one] = None
        if len(found) > _MAX_LISTED:
            break
    return [*found][:_MAX_LISTED]


def _each(fields: Sequence[Field], is_message: bool) -> Iterator[str]:
    seen: set[str] = set()
    for field in fields:
        name = field.name.lower()
        if name in _PARAMETERS:
            if name not in seen:
                yield from (f"{field.name}: {one}" for one in parameter_defects(field.text))
        elif is_message and name in _SINGLE:
            if name in seen:
                yield f"more than one {field.name} field: this one is not used: {field.decoded[:_MAX_QUOTED]!r}"
            elif (check := _CHECKS.get(name)) is not None:
                yield from (f"{field.name}: {one}" for one in check(field.text))
        seen.add(name)


def _of_addresses(text: str) -> Iterator[str]:
    if len(text) > MAX_STRUCTURED:
        yield f"only its first {MAX_STRUCTURED:,} characters are read"
    yield from (f"no usable address in {one[:_MAX_QUOTED]!r}" for one in unusable_addresses(text))
    yield from (
        f"{written[:_MAX_QUOTED]!r} is not a well-formed address, and is read as {address}"
        for written, address in guessed_addresses(text)
    )
    yield from word_defects(text)


def _of_date(text: str) -> Iterator[str]:
    if wrong := date_defect(text):
        yield wrong


def _of_id(text: str) -> Iterator[str]:
    if wrong := id_defect(text):
        yield wrong


def _of_replied(text: str) -> Iterator[str]:
    if wrong := replied_defect(text):
        yield wrong


_CHECKS: Final[Mapping[str, Callable[[str], Iterator[str] | list[str]]]] = {
    **dict.fromkeys(("from", "sender", "reply-to", "to", "cc", "bcc"), _of_addresses),
    "date": _of_date,
    "message-id": _of_id,
    "in-reply-to": _of_replied,
    "references": _of_replied,
    "subject": word_defects,
}

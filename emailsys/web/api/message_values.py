"""Messages as JSON: the summary of a list, and the whole message with its parts."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from emailsys.interfaces import Listed
from emailsys.mail.message.contents import contents
from emailsys.mail.message.dates import parse_date
from emailsys.mail.message.ids import message_id, message_ids
from emailsys.mail.message.mailboxes import read_mailboxes
from emailsys.mail.message.mime import Part, parse, parse_header
from emailsys.web.api.schema import Schema, count, flag, moment, or_null, record, several, text

# Characters of a header field, people of a list, and characters of a text that an answer has.
_MAX_FIELD: Final = 4000
_MAX_PEOPLE: Final = 200
_MAX_TEXT: Final = 2_000_000
_MAX_FIELDS: Final = 500
_MAX_DEFECTS: Final = 50

_MAILBOX: Final = record({"name": text("The name that is shown.", _MAX_FIELD), "address": text("", _MAX_FIELD)})
_PEOPLE: Final = several(_MAILBOX, most=_MAX_PEOPLE)
SUMMARY_FIELDS: Final[Mapping[str, Schema]] = {
    "id": text("The id of the message in its maildrop: its UIDL in POP3.", 40),
    "queue_id": text("Its id in the log and in traces.", 40),
    "octets": count("Its size."),
    "received": moment("When it was accepted here."),
    "from": _PEOPLE,
    "to": _PEOPLE,
    "cc": _PEOPLE,
    "subject": text("The subject, decoded.", _MAX_FIELD),
    "date": or_null(moment("The Date field, in UTC; null if it has none that can be read.")),
    "message_id": text("Its Message-ID without brackets; empty if it has none.", _MAX_FIELD),
    "in_reply_to": several(text("", _MAX_FIELD), "The messages that it answers."),
}
SUMMARY: Final = record(SUMMARY_FIELDS)
_PART: Final = record(
    {
        "number": text("The number of the part: 1 is the message, 1.2 its second part."),
        "content_type": text("The media type.", _MAX_FIELD),
        "charset": text("The charset; empty if none is named.", _MAX_FIELD),
        "encoding": text("The transfer encoding.", _MAX_FIELD),
        "disposition": text("inline, attachment or empty.", _MAX_FIELD),
        "name": text("The file name as the sender wrote it. It is not safe to use as a path.", _MAX_FIELD),
        "content_id": text("The Content-ID without brackets.", _MAX_FIELD),
        "octets": count("The size of its body as sent."),
        "is_leaf": flag("Whether it can be fetched, because it has no parts of its own."),
        "defects": several(text("", _MAX_FIELD), "What is malformed."),
    }
)
MESSAGE: Final = record(
    {
        **SUMMARY_FIELDS,
        "headers": several(
            record({"name": text("", _MAX_FIELD), "value": text("The value, unfolded and decoded.", _MAX_FIELD)}),
            "All header fields in order.",
        ),
        "text": or_null(text("The plain text; null if the message has none.", _MAX_TEXT)),
        "html": or_null(text("The HTML as the sender wrote it: clean it before you show it.", _MAX_TEXT)),
        "attachments": several(text(), "The numbers of the parts that are attachments."),
        "parts": several(_PART, "All parts in order."),
    }
)


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _clean(text: str, most: int = _MAX_FIELD) -> str:
    """Return a text within its limit that can be written as UTF-8."""
    return text[:most].encode("utf-8", "replace").decode("utf-8")


def _people(root: Part, name: str) -> list[dict[str, str]]:
    return [
        {"name": _clean(one.name), "address": _clean(str(one.address))}
        for one in read_mailboxes(root.text_of(name))[:_MAX_PEOPLE]
    ]


def _summary(root: Part, row: Listed) -> dict[str, Any]:
    return {
        "id": row.uid,
        "queue_id": row.queue_id,
        "octets": row.octets,
        "received": _time(row.arrived_at),
        "from": _people(root, "from"),
        "to": _people(root, "to"),
        "cc": _people(root, "cc"),
        "subject": _clean(root.decoded_of("subject")),
        "date": _time(parse_date(root.text_of("date"))),
        "message_id": _clean(message_id(root.text_of("message-id"))),
        "in_reply_to": [_clean(one) for one in message_ids(root.text_of("in-reply-to"))],
    }


def summary(head: bytes, row: Listed) -> dict[str, Any]:
    """Return the summary of a message. @param head: with its header section."""
    return _summary(parse_header(head), row)


def message(octets: bytes, row: Listed) -> dict[str, Any]:
    """Return a message with its texts and the list of its parts."""
    root = parse(octets)
    return {
        **_summary(root, row),
        "headers": [{"name": _clean(one.name), "value": _clean(one.decoded)} for one in root.fields[:_MAX_FIELDS]],
        "text": plain_text(root),
        "html": _html(root),
        "attachments": [part.number for part in contents(root).attachments],
        "parts": [_part(part) for part in root.walk()],
    }


def _part(part: Part) -> dict[str, Any]:
    return {
        "number": part.number,
        "content_type": _clean(part.content_type),
        "charset": _clean(part.charset),
        "encoding": _clean(part.encoding),
        "disposition": _clean(part.disposition),
        "name": _clean(part.name),
        "content_id": _clean(part.content_id),
        "octets": len(part.raw),
        "is_leaf": part.is_leaf,
        "defects": [_clean(one) for one in part.defects[:_MAX_DEFECTS]],
    }


def _joined(parts: list[Part]) -> str | None:
    return _clean("\n".join(part.text()[0] for part in parts), _MAX_TEXT) if parts else None


def plain_text(root: Part) -> str | None:
    """Return the plain text of a message, None if it has none."""
    return _joined([part for part in contents(root).texts if part.content_type != "text/html"])


def _html(root: Part) -> str | None:
    return _joined([part for part in contents(root, prefer_html=True).texts if part.content_type == "text/html"])


def part_of(octets: bytes, number: str) -> tuple[bytes, str] | None:
    """Return the decoded body of a part and its file name, None if there is no such part with a body of its own."""
    for part in parse(octets).walk():
        if part.number == number and part.is_leaf:
            return part.decoded()[0], part.name
    return None

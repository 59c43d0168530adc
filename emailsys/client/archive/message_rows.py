"""Rows of the index: what is written for a message, and what is read to list it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from emailsys.client.archive.values import Flag, Folder, Summary


class MessageRow(NamedTuple):
    """A row of the table `messages`. The fields bear the names of the columns."""

    id: int
    key: str
    folder: int
    name: str
    octets: int
    arrived: int
    subject: str
    sender: str
    recipients: str
    preview: str
    attachments: int
    flags: int
    message_id: str
    thread: int
    checksum: int
    unverified: bool
    date: int
    ancestors: str


_NAMES: Final = ", ".join(MessageRow._fields)
_VALUES: Final = ", ".join("?" for _ in MessageRow._fields)
#: Writes a MessageRow.
INSERT: Final = f"INSERT INTO messages ({_NAMES}) VALUES ({_VALUES})"  # noqa: S608

#: The columns that `summary` reads, in its order. They select from messages (m) and folders (f).
SUMMARY: Final = """m.id, m.key, f.account, f.name, m.subject, m.sender, m.recipients, m.preview, m.octets,
    m.attachments, m.flags, m.message_id, m.thread, m.unverified, m.date,
    (SELECT group_concat(tag, char(31)) FROM tags t WHERE t.key = m.key)"""


def summary(row: Sequence[Any]) -> Summary:
    """Convert a row that begins with the columns of SUMMARY."""
    # Reading a NamedTuple or a sqlite3.Row by name takes longer, and lists have many rows.
    (number, key, account, folder, subject, sender, recipients, preview, octets,
     attachments, flags, message_id, thread, unverified, date,
     tags, *_) = row  # fmt: skip
    return Summary(
        key=key,
        order=number,
        folder=Folder(account, folder),
        date=datetime.fromtimestamp(date, UTC),
        subject=subject,
        sender=sender,
        recipients=recipients,
        preview=preview,
        octets=octets,
        attachments=attachments,
        flags=Flag(flags),
        tags=tuple(sorted(tags.split("\x1f"))) if tags else (),
        message_id=message_id,
        thread=thread,
        unverified=bool(unverified),
    )

"""What the local store speaks of: folders, flags, summaries of messages, and how it refuses."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

INBOX: Final = "Inbox"
SENT: Final = "Sent"
DRAFTS: Final = "Drafts"
OUTBOX: Final = "Outbox"
ARCHIVE: Final = "Archive"
TRASH: Final = "Trash"
#: The folders every account has, in the order in which they are shown; a person's own ones follow by name.
STANDARD_FOLDERS: Final = (INBOX, DRAFTS, OUTBOX, SENT, ARCHIVE, TRASH)

# A message's number is its date in seconds, then so many bits that make it unique: by number is by date.
ORDER_BITS: Final = 20


def order_of(moment: datetime) -> int:
    """The least number of a message of that second or later; of moments before 1970, 0."""
    return max(int(moment.timestamp()), 0) << ORDER_BITS


class Flag(enum.IntFlag):
    """What was done with a message; the letters of the journal are those of maildir where it has one."""

    NONE = 0
    SEEN = 1
    ANSWERED = 2
    FLAGGED = 4
    FORWARDED = 8


class ArchiveError(Exception):
    """The local store could not do it; nothing was lost. The message is fit to be shown."""


class ArchiveFull(ArchiveError):
    """The disk is full; what was being written is gone, what was there before is whole."""


class NoSuchMessage(ArchiveError):
    """No message bears that key, or more than one begins with it."""


class NoSuchFolder(ArchiveError):
    """The account has no folder of that name."""


class BadQuery(ArchiveError):
    """The search cannot be understood; the message names the word."""


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of an account."""

    account: str
    folder: str


@dataclass(frozen=True, slots=True)
class FolderCount:
    """A folder with how many messages it has, and how many of them were not read."""

    place: Place
    messages: int
    unread: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A message as lists show it. The texts are decoded and on one line, but not safe for a terminal: see `reading`.

    `key` names the message for good, through moves and rebuilds. `order` sorts by date and pages lists; it may change
    when the index is made anew. `date` is the Date field's moment, else that of arrival, in UTC. `octets` is the size
    of the file. `thread` is the same number for all messages of a conversation.
    """

    key: str
    order: int
    place: Place
    date: datetime
    subject: str
    sender: str
    recipients: str
    preview: str
    octets: int
    attachments: int
    flags: Flag
    tags: tuple[str, ...]
    message_id: str
    thread: int

    @property
    def is_unread(self) -> bool:
        """Whether nobody has read it yet."""
        return not self.flags & Flag.SEEN


@dataclass(frozen=True, slots=True)
class Addition:
    """A message to be kept.

    `source` names where it came from, for example "pop3:host:user:uidl": a message of the same source is kept once,
    whatever crashed in between, as long as its file is there. `note` is a JSON object that goes with the message, on
    disk before it (the outbox keeps its envelope there). `arrived` is None for now.
    """

    octets: bytes
    place: Place
    source: str | None = None
    flags: Flag = Flag.NONE
    tags: tuple[str, ...] = ()
    note: Mapping[str, Any] | None = None
    arrived: datetime | None = None


class FetchStore(Protocol):
    """What a fetch asks of the local store, with the methods of Archive. Any thread may call them; they block."""

    def add_account(self, account: str) -> None:
        """Make the standard folders of an account."""
        ...

    def known(self, sources: Iterable[str]) -> dict[str, str]:
        """Those of the sources whose messages are here, with their keys."""
        ...

    def add_many(self, additions: Sequence[Addition]) -> list[str]:
        """Keep messages; returns their keys once all files and folders are on disk."""
        ...

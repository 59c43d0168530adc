"""Values and exceptions of the local store."""

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
SPAM: Final = "Spam"
#: The folders of every account, in display order. Custom folders follow by name.
STANDARD_FOLDERS: Final = (INBOX, DRAFTS, OUTBOX, SENT, ARCHIVE, TRASH)

#: Header field of a draft: a line above its text that cannot be used yet, such as "To:bob".
AS_TYPED: Final = "X-Emailsys-As-Typed"

# A message's number is its date in seconds, followed by bits that make it unique. Numbers sort by date. The word index
# stores differences of numbers, so each bit costs space; more messages of one second take numbers of later seconds.
ORDER_BITS: Final = 3


def order_of(moment: datetime) -> int:
    """Return the smallest number of messages of that second or later; 0 for moments before 1970."""
    return max(int(moment.timestamp()), 0) << ORDER_BITS


class Flag(enum.IntFlag):
    """Flags of a message. The journal writes maildir's letters."""

    NONE = 0
    SEEN = 1
    ANSWERED = 2
    FLAGGED = 4
    FORWARDED = 8


class ArchiveError(Exception):
    """An operation of the local store failed; nothing was lost. The message can be shown to the user."""


class ArchiveFull(ArchiveError):
    """The disk is full. The new data was discarded; earlier data is intact."""


class UnknownFormat(ArchiveError):
    """A file or a folder to import is not in the format that it is read in. Trying again does not help."""


class NoSuchMessage(ArchiveError):
    """No message has that key, or several keys have that prefix."""


class NoSuchFolder(ArchiveError):
    """The account has no folder of that name."""


class BadQuery(ArchiveError):
    """The search is invalid. The message names the term."""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of an account."""

    account: str
    name: str


@dataclass(frozen=True, slots=True)
class FolderCount:
    """A folder, with the numbers of its messages and of its unread messages."""

    folder: Folder
    messages: int
    unread: int


@dataclass(frozen=True, slots=True)
class Summary:
    """A message as lists show it. Its texts are decoded and on one line, but not safe for a terminal.

    - `key` identifies the message permanently, through moves and rebuilds.
    - `order` sorts by date and pages lists. It may change when the index is rebuilt.
    - `date` is the moment of the Date field, or else of the arrival, in UTC.
    - `octets` is the size of the file.
    - `thread` is the same number for all messages of a conversation.
    - `unverified`: From is an address of the receiving system, and the client did not log in there.
    """

    key: str
    order: int
    folder: Folder
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
    unverified: bool

    @property
    def is_unread(self) -> bool:
        """Whether the message has not been read."""
        return not self.flags & Flag.SEEN


@dataclass(frozen=True, slots=True)
class Addition:
    """A message to add.

    - `source` names the origin, for example "pop3:host:user:uidl". While its file exists, a message of the same source
      is not added again, even after a crash.
    - `note` is a JSON object that is on disk before the message. The outbox stores its envelope there.
    - `arrived` is the time of arrival, None for now.
    """

    octets: bytes
    folder: Folder
    source: str | None = None
    flags: Flag = Flag.NONE
    tags: tuple[str, ...] = ()
    note: Mapping[str, Any] | None = None
    arrived: datetime | None = None


class FetchStore(Protocol):
    """The methods of Archive that a fetch calls. Any thread may call them; they block."""

    def add_account(self, account: str) -> None:
        """Create the standard folders of an account that do not exist yet."""
        ...

    def has_folder(self, folder: Folder) -> bool:
        """Whether the folder exists."""
        ...

    def known(self, sources: Iterable[str]) -> dict[str, str]:
        """Return the sources whose messages are stored, with their keys."""
        ...

    def add_many(self, additions: Sequence[Addition]) -> list[str]:
        """Add messages. Return their keys once all files and folders are on disk."""
        ...

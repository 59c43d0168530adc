"""Reading of a maildrop without its lock, as browsers and programs of the API do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from zope.interface import Interface

#: Stands before the unique-ids of all messages.
BEFORE_ALL: Final = "*"


@dataclass(frozen=True, slots=True)
class Listed:
    """A message in a maildrop.

    @ivar uid: its unique-id, that of UIDL (RFC 1939 §7). Unique-ids sort as the messages arrived.
    @ivar queue_id: its identifier in the log and in `trace`.
    @ivar octets: its size, with the fields that delivery put in front.
    """

    uid: str
    queue_id: str
    octets: int
    arrived_at: datetime


class IMaildropReading(Interface):
    """Access to the messages of a maildrop by their unique-ids, at any time.

    A POP3 session may have the maildrop open meanwhile, and may delete messages. A method to which a unique-id is
    unknown, or malformed, treats it as that of a deleted message.
    """

    async def page(account_id: int, count: int, before: str = "", after: str = "") -> Sequence[Listed]:
        """Return at most `count` messages, the newest first.

        @param before: only messages older than this unique-id. @param after: only newer ones, those next to it;
            BEFORE_ALL for the oldest messages.
        """

    async def find(account_id: int, uid: str) -> Listed | None:
        """Return one message, or None if it is deleted."""

    async def heads(account_id: int, uids: Sequence[str], octets: int) -> Mapping[str, bytes]:
        """Return the beginnings of messages, each at most so long. Deleted messages are missing."""

    async def read(account_id: int, uids: Collection[str]) -> frozenset[str]:
        """Return those of the messages that were read: fetched by a program, or noted by `note_read`."""

    def pieces(account_id: int, uid: str) -> AsyncIterator[bytes]:
        """Return a message in pieces of at most 256 KiB with CRLF lines, each read in its own transaction.

        @raise StoreDamaged: the next piece differs from what was accepted; it is not returned.
        @raise StoreError: the message is deleted."""

    async def note_read(account_id: int, uid: str) -> None:
        """Record that a message was read. Does nothing if it is recorded already, or the message deleted."""

    async def delete(account_id: int, uids: Collection[str]) -> int:
        """Delete messages in one commit, under the lock of the maildrop. Returns how many there were.

        @raise MaildropInUse: a POP3 session has the maildrop open. Nothing was deleted."""

"""Maildrops, as POP3 reads them."""

from __future__ import annotations

from collections.abc import AsyncIterator

from twisted.mail import pop3
from zope.interface import Attribute, Interface


class IMaildrop(pop3.IMailbox):
    """An open, locked maildrop: pop3.IMailbox over the snapshot taken at login, and methods for streaming.

    Indices count from 0 over the snapshot. `listMessages` and `getUidl` answer from memory. The size of a message is
    without dot-stuffing (RFC 1939 §11), that of a deleted message is 0. `getMessage` returns a Deferred of a file.
    `sync` returns a Deferred that fires when the deletes are on disk.
    """

    listings = Attribute(
        """A mapping in which the server keeps whole replies that list the messages, by command. Sessions that find the
        same messages share it. None if this session has deleted messages, so that its lists differ, or if the store
        does not keep the list of the messages."""
    )

    has_exact_sizes = Attribute(
        """Whether `listMessages` returns the octets that `pieces` will yield. If so, a message that has fewer is known
        to be cut off. If not, its end is that of `pieces`."""
    )

    def needs_utf8(index: int) -> bool:
        """Return whether a message is an SMTPUTF8 message (RFC 6856 §2)."""

    def pieces(index: int) -> AsyncIterator[tuple[bytes, bool]]:
        """Return a message in pieces of at most 256 KiB with CRLF lines, each read in its own transaction.

        With each piece comes whether it may have a line that begins with a dot. The first piece begins a line.

        @raise MaildropLost: another session took over the maildrop.
        @raise StoreDamaged: the next piece differs from what was accepted; it is not returned."""

    def whole_message(index: int) -> tuple[bytes, bool] | None:
        """Return the only piece of a message, as `pieces` does, if it is in memory already.

        Returns None otherwise, and always for a message that is deleted or needs UTF8, or does not exist."""

    def touch() -> None:
        """Note activity of the client, so that the session does not count as idle."""

    def release() -> None:
        """Release the lock. May be called twice. Deletes that were not synced are void."""


class IMaildrops(Interface):
    """Access of POP3 to the maildrops of the store."""

    async def open(account_id: int) -> IMaildrop:
        """Lock the maildrop and take its snapshot.

        @raise MaildropInUse: another active session holds the lock."""

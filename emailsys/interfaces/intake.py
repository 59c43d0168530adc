"""Acceptance of messages into the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from emailsys.mail.envelope import Envelope


@dataclass(frozen=True, slots=True)
class Notice:
    """A message that this system composes, such as a DSN or a quota warning. It is kept in memory."""

    envelope: Envelope
    body: bytes


class IIncoming(Interface):
    """A message body that is written to the store. Ends with exactly one `commit` or `abandon`."""

    queue_id: str = Attribute("The message's identifier in the Received field, the log and the 250 reply.")
    octets: int = Attribute("The number of octets written.")

    def write(octets: bytes) -> Deferred[None] | None:
        """Write the next octets (CRLF lines, dots unstuffed).

        If it returns a Deferred, the caller pauses until the Deferred fires (backpressure). The Deferred may fail with
        StoreError: the message is lost then, and the caller calls `abandon`."""

    async def commit(envelope: Envelope, notices: Sequence[Notice] = ()) -> None:
        """Commit the message. Returns when message, body, maildrop rows and queue rows are on disk, all or none.

        @param notices: notices that the acceptance causes; they are accepted in the same commit.
        @raise StoreError: nothing was accepted."""

    def abandon() -> None:
        """Discard the message. The sweeper removes staged pieces. Does nothing after `commit` or `abandon`."""


class IIntake(Interface):
    """Acceptance of messages into the store."""

    def begin() -> IIncoming:
        """Return a new, empty message."""

    async def has_room(octets: int) -> bool:
        """Return whether the disk has room for a message of this size and a reserve (RFC 1870 §6)."""

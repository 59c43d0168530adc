"""Bring a message into the store: its head read and completed, then its pieces, then one commit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from twisted.internet.defer import Deferred

from emailsys.interfaces import IIncoming
from emailsys.mail import reply as replies
from emailsys.mail.envelope import Envelope
from emailsys.mail.message.headers import (
    count_received,
    fields_end,
    header_end,
    message_id_of,
    missing_fields,
    without_results_of,
)
from emailsys.mail.reply import Reply
from emailsys.mail.trace_fields import date_time

# A header section is gathered in memory before anything is stored; real ones have a few KiB, long lists of recipients
# tens of KiB.
MAX_HEAD: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class HeadRules:
    """What is done to the head of every message of a service.

    `hostname` is also the authserv-id (RFC 8601 §2.5). `complete`: add missing Date and Message-ID (RFC 6409 §8).
    """

    hostname: str
    max_received_fields: int = 100
    complete: bool = False


class IncomingMessage:
    """A message on its way from a client into the store. It ends in `commit` or `abandon`."""

    __slots__ = (
        "_gathered",
        "_head_done",
        "_incoming",
        "_rules",
        "arrived_at",
        "head_is_ascii",
        "message_id",
        "trace",
    )

    def __init__(self, incoming: IIncoming, rules: HeadRules, trace: bytes, arrived_at: datetime) -> None:
        """@param trace: the Received field, which goes before all else."""
        self._incoming: IIncoming | None = incoming
        self._rules = rules
        self._gathered = b""
        self._head_done = False
        self.trace = trace
        self.arrived_at = arrived_at
        #: Whether the header section has no octet above 127; known once it was written.
        self.head_is_ascii = True
        #: The value of its Message-ID field, "" where there is none; known likewise.
        self.message_id = ""

    def write(self, octets: bytes) -> Deferred[None] | Reply | None:
        """Take the next octets.

        @return: a Deferred to wait for, which may fail with StoreError; or why the message is refused.
        """
        assert self._incoming is not None
        if self._head_done:
            return self._incoming.write(octets)
        self._gathered += octets
        end = header_end(self._gathered, len(self._gathered) - len(octets))
        if (len(self._gathered) if end is None else end) > MAX_HEAD:
            # A text without header, perhaps. Its whole lines are looked at only here, so that it makes no difference
            # how the message was cut on its way.
            lines, line_end, _ = self._gathered[:MAX_HEAD].rpartition(b"\r\n")
            end = fields_end(lines + line_end)
            if end == len(lines + line_end):
                return replies.HEADER_TOO_BIG
        return None if end is None else self._write_head(end)

    def _write_head(self, end: int) -> Deferred[None] | Reply | None:
        assert self._incoming is not None
        self._head_done = True
        gathered, self._gathered = self._gathered, b""
        head = gathered[:end]
        if count_received(head) > self._rules.max_received_fields:
            return replies.LOOP
        self.head_is_ascii = head.isascii()
        kept = without_results_of(head, self._rules.hostname)
        self.message_id = message_id_of(head)
        added = b""
        if self._rules.complete:
            message_id = f"{self._incoming.queue_id}@{self._rules.hostname}"
            added = missing_fields(head, date_time(self.arrived_at), message_id)
            self.message_id = self.message_id or message_id_of(added)
        if kept is head:
            return self._incoming.write(b"".join((self.trace, added, gathered)))
        return self._incoming.write(b"".join((self.trace, added, kept, gathered[end:])))

    def finish(self) -> Deferred[None] | Reply | None:
        """The last octets were written: where there was no empty line, that is only known now."""
        return None if self._head_done else self._write_head(fields_end(self._gathered))

    async def commit(self, envelope: Envelope) -> tuple[str, int]:
        """Return once the message is on disk.

        @return: its queue id, and its octets as they are stored.
        @raise StoreError: nothing was accepted.
        """
        incoming, self._incoming = self._incoming, None
        assert incoming is not None
        await incoming.commit(envelope)
        return incoming.queue_id, incoming.octets

    def abandon(self) -> None:
        """Forget the message, unless its commit has begun: that is never called off."""
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.abandon()

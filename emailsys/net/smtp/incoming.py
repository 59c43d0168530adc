"""Incoming message: checks and completes its header section, then passes its pieces to the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from twisted.internet.defer import Deferred

from emailsys.config.settings import SMTPSettings
from emailsys.interfaces import IIncoming
from emailsys.mail import reply as replies
from emailsys.mail.envelope import Envelope
from emailsys.mail.message.headers import HeaderSection, fields_end, header_end
from emailsys.mail.message.identity import Identity, claimed_domains, read_identity
from emailsys.mail.reply import Reply
from emailsys.mail.trace_fields import date_time

Examine = Callable[[frozenset[str]], bytes | Reply]


@dataclass(frozen=True, slots=True)
class HeaderRules:
    """How a service checks and changes the header section of each message.

    `hostname` is also the authserv-id (RFC 8601 §2.5). `is_submission` adds a missing Date and Message-ID (RFC 6409 §8)
    and reads the message's identity. `max_header_size` is in octets; the header section is held in memory until it is
    complete.
    """

    hostname: str
    max_header_size: int = SMTPSettings().max_header_size
    max_received_fields: int = SMTPSettings().max_received_fields
    is_submission: bool = False


class IncomingMessage:
    """A message that is being received from a client. It ends with `commit` or `abandon`."""

    __slots__ = (
        "_examine",
        "_gathered",
        "_head_done",
        "_incoming",
        "_rules",
        "arrived_at",
        "head_is_ascii",
        "identity",
        "message_id",
        "trace",
    )

    def __init__(
        self,
        incoming: IIncoming,
        rules: HeaderRules,
        trace: bytes,
        arrived_at: datetime,
        examine: Examine | None = None,
    ) -> None:
        """
        @param trace: the Received field, which is put in front of the message.
        @param examine: returns the fields that are put in front of it for the domains of its authors,
            or the reply that refuses it.
        """
        self._examine = examine
        self._incoming: IIncoming | None = incoming
        self._rules = rules
        self._gathered = b""
        self._head_done = False
        self.trace = trace
        self.arrived_at = arrived_at
        #: Whether the header section is ASCII. Valid once the header section was written.
        self.head_is_ascii = True
        #: The value of the Message-ID field, "" if there is none. Valid at the same time.
        self.message_id = ""
        #: Whom a submitted message names as author and sender. Valid at the same time.
        self.identity: Identity | None = None

    @property
    def queue_id(self) -> str:
        """The id of the message. Valid until `commit` or `abandon`."""
        assert self._incoming is not None
        return self._incoming.queue_id

    def write(self, octets: bytes) -> Deferred[None] | Reply | None:
        """Append the next octets.

        @return: a Deferred to wait for, which may fail with StoreError; or the reply that refuses the message; or None.
        """
        assert self._incoming is not None
        if self._head_done:
            return self._incoming.write(octets)
        self._gathered += octets
        end = header_end(self._gathered, len(self._gathered) - len(octets))
        if (len(self._gathered) if end is None else end) > self._rules.max_header_size:
            # Perhaps a text without a header section. Its lines are examined only here, so that the result does not
            # depend on how the message was cut into segments.
            lines, line_end, _ = self._gathered[: self._rules.max_header_size].rpartition(b"\r\n")
            end = fields_end(lines + line_end)
            if end == len(lines + line_end):
                return replies.HEADER_TOO_BIG
        return None if end is None else self._write_head(end)

    def _write_head(self, end: int) -> Deferred[None] | Reply | None:
        assert self._incoming is not None
        self._head_done = True
        gathered, self._gathered = self._gathered, b""
        head = gathered[:end]
        section = HeaderSection(head)
        if section.count_received() > self._rules.max_received_fields:
            return replies.LOOP
        self.head_is_ascii = head.isascii()
        kept = section.without_claims_of(self._rules.hostname)
        self.message_id = section.message_id()
        added = b""
        if self._examine is not None:
            mark = self._examine(claimed_domains(section))
            if isinstance(mark, Reply):
                return mark
            if mark:
                self.trace = mark + self.trace
        if self._rules.is_submission:
            self.identity = read_identity(section)
            message_id = f"{self._incoming.queue_id}@{self._rules.hostname}"
            added = section.missing_fields(date_time(self.arrived_at), message_id)
            self.message_id = self.message_id or HeaderSection(added).message_id()
        if kept is head:
            return self._incoming.write(b"".join((self.trace, added, gathered)))
        return self._incoming.write(b"".join((self.trace, added, kept, gathered[end:])))

    def finish(self) -> Deferred[None] | Reply | None:
        """End the message. If it has no empty line, its header section is written only now."""
        return None if self._head_done else self._write_head(fields_end(self._gathered))

    async def commit(self, envelope: Envelope) -> tuple[str, int]:
        """Store the message, and return once it is on disk.

        @return: its queue id, and its size in the store, in octets.
        @raise StoreError: the message was not stored.
        """
        incoming, self._incoming = self._incoming, None
        assert incoming is not None
        await incoming.commit(envelope)
        return incoming.queue_id, incoming.octets

    def abandon(self) -> None:
        """Discard the message. Does nothing once its commit has begun, which is never cancelled."""
        incoming, self._incoming = self._incoming, None
        if incoming is not None:
            incoming.abandon()

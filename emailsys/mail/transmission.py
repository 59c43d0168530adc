"""A message on its way to another host: what is sent to whom, and how it ended for each recipient."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from emailsys.mail.address import Address
from emailsys.mail.dsn_request import NOTHING_ASKED_FOR_RECIPIENT, RecipientRequest
from emailsys.mail.envelope import NO_PARAMETERS, MailParameters
from emailsys.mail.reply import BROKEN_OFF, Reply


@dataclass(frozen=True, slots=True)
class Forward:
    """A recipient, and what the sender wants to hear of it (RFC 3461 §4.1, §4.2)."""

    forward_path: Address
    dsn: RecipientRequest = NOTHING_ASKED_FOR_RECIPIENT


@dataclass(frozen=True, slots=True)
class Transmission:
    """A message and those of its recipients that go to one next hop.

    `octets` is its size with CRLF lines, not dot-stuffed. `pieces` begins to read the body anew: CRLF lines, cut
    anywhere.
    """

    queue_id: str
    reverse_path: Address | None
    recipients: tuple[Forward, ...]
    octets: int
    pieces: Callable[[], AsyncIterator[bytes]] = field(repr=False, compare=False)
    parameters: MailParameters = NO_PARAMETERS


class OutcomeKind(enum.Enum):
    """How an attempt ended for a recipient."""

    DELIVERED = "delivered"
    DELAYED = "delayed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended for one recipient, and why.

    `reply` is the remote host's where `from_remote`, else ours, which tells what we saw. `remote` and `tls` say whom we
    spoke with and how, "" where nobody or in the clear.
    """

    kind: OutcomeKind
    reply: Reply
    remote: str = ""
    tls: str = ""
    from_remote: bool = False
    #: The reply to the end of the message was never seen: it may have been delivered (RFC 1047).
    in_doubt: bool = False
    #: The host speaks DSN (RFC 3461) and answers for notices from here on.
    takes_dsn: bool = False
    #: Nothing was said of the message or the recipient: the host, or the way to it, is at fault.
    host_at_fault: bool = False
    #: What we have of the message is damaged: it waits for an operator, whatever host would take it.
    hold: bool = False

    @property
    def cut_short(self) -> bool:
        """Whether we gave the attempt up ourselves because the system stops, before anybody can have had the message:
        it counts for nothing."""
        return self.reply == BROKEN_OFF and not self.in_doubt

    @property
    def may_try_elsewhere(self) -> bool:
        """Whether another host of the next hop may be asked at once (RFC 5321 §5.1), without doubling the message."""
        return not (self.in_doubt or self.hold) and (self.host_at_fault or self.kind is OutcomeKind.DELAYED)


def kind_of(reply: Reply) -> OutcomeKind:
    """What a reply means for a recipient: 2xx, 5xx, and anything else is delayed."""
    if 200 <= reply.code < 300:
        return OutcomeKind.DELIVERED
    return OutcomeKind.FAILED if 500 <= reply.code < 600 else OutcomeKind.DELAYED

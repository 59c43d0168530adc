"""Outbound transmissions: a message for one next hop, and the outcome for each recipient."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from emailsys.mail.address import Address
from emailsys.mail.dsn_request import NOTHING_ASKED_FOR_RECIPIENT, RecipientRequest
from emailsys.mail.envelope import NO_PARAMETERS, MailParameters
from emailsys.mail.reply import BROKEN_OFF, LEASE_UNCERTAIN, Reply


@dataclass(frozen=True, slots=True)
class Forward:
    """A recipient with its DSN request (RFC 3461 §4.1, §4.2)."""

    forward_path: Address
    dsn: RecipientRequest = NOTHING_ASKED_FOR_RECIPIENT


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Transmission:
    """A message with those of its recipients that have the same next hop.

    @ivar octets: its size with CRLF lines, without dot-stuffing.
    @ivar pieces: starts to read the body from its beginning, in pieces of any size with CRLF lines.
    @ivar may_end: whether the message may still be sent to its end. If not, the attempt ends with LEASE_UNCERTAIN.
    """

    queue_id: str
    reverse_path: Address | None
    recipients: tuple[Forward, ...]
    octets: int
    pieces: Callable[[], AsyncIterator[bytes]] = field(repr=False, compare=False)
    parameters: MailParameters = NO_PARAMETERS
    may_end: Callable[[], bool] = field(default=_always, repr=False, compare=False)


async def close_pieces(pieces: AsyncIterator[bytes]) -> None:
    """Close the reading of a message that may not have been read to its end."""
    close = getattr(pieces, "aclose", None)
    if close is not None:
        # RuntimeError: the body is being read, and its reader closes it.
        with suppress(RuntimeError):
            await close()


class OutcomeKind(enum.Enum):
    """The kinds of outcome of a delivery attempt."""

    DELIVERED = "delivered"
    DELAYED = "delayed"
    FAILED = "failed"


# The usual kinds. Python 3.11 takes a tenth of a microsecond to look a member up in its class.
DELIVERED: Final = OutcomeKind.DELIVERED
DELAYED: Final = OutcomeKind.DELAYED


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a delivery attempt for one recipient.

    @ivar reply: the reply of the remote host if `from_remote`, otherwise our own description of the result.
    @ivar remote: the remote host, "" if there was no connection.
    @ivar tls: version and cipher suite, "" without TLS.
    """

    kind: OutcomeKind
    reply: Reply
    remote: str = ""
    tls: str = ""
    from_remote: bool = False
    #: Whether the message may have been delivered, because the reply to its end was never received (RFC 1047).
    in_doubt: bool = False
    #: Whether the host supports DSN (RFC 3461) and is now responsible for notifications.
    takes_dsn: bool = False
    #: Whether the fault lies with the host or the connection, not with the message or the recipient.
    host_at_fault: bool = False
    #: Whether our copy of the message is damaged. It waits for an operator and is sent to no host.
    hold: bool = False
    #: Whether the host or the login that a route of ours names is at fault, and not the recipient's system.
    route_at_fault: bool = False
    #: Whether the mail waits because the domain has only private addresses, and no route for it is set.
    no_public_address: bool = False

    @property
    def cut_short(self) -> bool:
        """Whether a shutdown or a lost lease ended the attempt before a host could have received the message. Such an
        attempt does not count."""
        return self.reply in (BROKEN_OFF, LEASE_UNCERTAIN) and not self.in_doubt

    @property
    def may_try_elsewhere(self) -> bool:
        """Whether another host of the next hop may be tried now (RFC 5321 §5.1) without sending a duplicate."""
        return not (self.in_doubt or self.hold) and (self.host_at_fault or self.kind is DELAYED)


def kind_of(reply: Reply) -> OutcomeKind:
    """Return the kind of outcome for a reply: 2xx is delivered, 5xx failed, anything else delayed."""
    if 200 <= reply.code < 300:
        return DELIVERED
    return OutcomeKind.FAILED if 500 <= reply.code < 600 else DELAYED

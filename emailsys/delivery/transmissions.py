"""Rows of one message for one next hop: what is sent, and settled, at once."""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.defer import Deferred

from emailsys.interfaces import IQueue, QueueRow
from emailsys.mail.address import Address
from emailsys.mail.next_hop import NextHop
from emailsys.mail.transmission import Forward, Outcome, OutcomeKind, Transmission


@dataclass(eq=False, slots=True)
class Parcel:
    """The rows, and where they stand on their way."""

    rows: tuple[QueueRow, ...]
    next_hop: NextHop
    # As it goes over the wire; the rows have that of who is told.
    sender: Address | None = None
    # It was given back once to wait, as the host bore no more connections.
    returned: bool = False
    sending: bool = False
    # The lease is not ours any more.
    lost: bool = False
    ended: Deferred[None] | None = None


def transmission(parcel: Parcel, queue: IQueue) -> Transmission:
    """What the relay is given to send."""
    first = parcel.rows[0]
    return Transmission(
        queue_id=first.queue_id,
        reverse_path=parcel.sender,
        # RFC 3461 §5.2.1 b: a relay adds the ORCPT that the sender did not give.
        recipients=tuple(Forward(row.forward_path, row.dsn.relayed_from(row.forward_path)) for row in parcel.rows),
        octets=first.octets,
        pieces=lambda: queue.pieces(first),
        parameters=first.parameters,
    )


def is_unreachable(outcomes: tuple[Outcome, ...]) -> bool:
    """Whether an attempt ended for all recipients as none of the hosts could be talked to."""
    return all(outcome.host_at_fault and outcome.kind is OutcomeKind.DELAYED for outcome in outcomes)


def words(outcome: Outcome) -> str:
    """The last word of an attempt, on one line or more."""
    reply = outcome.reply
    return f"{reply.code} {reply.enhanced}".rstrip() + f" {reply.text}"

"""Parcels: queue rows of one message for one next hop, which are sent and settled together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from twisted.internet.defer import Deferred

from emailsys.interfaces import IQueue, QueueRow
from emailsys.mail.address import Address
from emailsys.mail.next_hop import NextHop
from emailsys.mail.reply import LOCAL_ERROR
from emailsys.mail.transmission import Forward, Outcome, OutcomeKind, Transmission

#: The outcome of an attempt that an error of this system ended.
LOCAL_FAULT: Final = Outcome(OutcomeKind.DELAYED, LOCAL_ERROR)
# Advice for a domain that has only private addresses.
_ADVICE: Final = (
    "; if the host is yours, add a route (emailsys route set HOST --to DOMAIN), or set outbound.allow_private"
)
# Status codes of this system for faults at the host of a route: configuration, name, login and TLS.
_OPERATOR: Final = frozenset({"4.3.5", "4.4.3", "4.7.4", "4.7.5", "4.7.10", "4.7.11"})


@dataclass(eq=False, slots=True)
class Parcel:
    """Rows of one message for one next hop, and their state in this runner."""

    rows: tuple[QueueRow, ...]
    next_hop: NextHop
    # The wall clock and the monotonic clock at the lease.
    leased_at: datetime
    leased_on: float
    # The reverse-path that is sent, perhaps rewritten (SRS). Notices go to the reverse-path of the rows.
    sender: Address | None = None
    # The parcel has already waited again once, because the host accepted no more connections.
    returned: bool = False
    sending: bool = False
    # The lease was lost.
    lost: bool = False
    ended: Deferred[None] | None = None

    def schedule_time(self, now: datetime, seconds: float) -> datetime:
        """Return the time that the rows are rescheduled from: `now`, without a jump ahead since the lease.

        After a jump of the clock, the rows would seem to have expired. If they are rescheduled from this time, they are
        overdue at their next lease, and overdue time does not count toward their age.

        @param now: the wall clock.
        @param seconds: the monotonic clock.
        """
        return min(now, self.leased_at + timedelta(seconds=seconds - self.leased_on))


def transmission(parcel: Parcel, queue: IQueue) -> Transmission:
    """Return the transmission that the relay sends for a parcel, now that its leases are certain."""
    first, tenure = parcel.rows[0], queue.tenure()
    return Transmission(
        queue_id=first.queue_id,
        reverse_path=parcel.sender,
        # RFC 3461 §5.2.1 b: a relay adds the ORCPT that the sender did not give.
        recipients=tuple(Forward(row.forward_path, row.dsn.relayed_from(row.forward_path)) for row in parcel.rows),
        octets=first.octets,
        pieces=lambda: queue.pieces(first),
        parameters=first.parameters,
        may_end=lambda: tenure is not None and queue.tenure() == tenure,
    )


def is_unreachable(outcomes: tuple[Outcome, ...]) -> bool:
    """Return whether the attempt failed for all recipients because no host could be reached."""
    return all(outcome.host_at_fault and outcome.kind is OutcomeKind.DELAYED for outcome in outcomes)


def needs_operator(outcome: Outcome) -> bool:
    """Return whether mail waits until an operator corrects a route or its host.

    A host that is down or delays mail needs no operator.
    """
    reply = outcome.reply
    if not outcome.route_at_fault:
        return False
    return reply.code >= 500 if outcome.from_remote else reply.enhanced in _OPERATOR


def words(outcome: Outcome) -> str:
    """Return the final reply of an attempt as text: code, enhanced code and words. May have several lines."""
    reply = outcome.reply
    return f"{reply.code} {reply.enhanced}".rstrip() + f" {reply.text}"


def operator_words(outcome: Outcome) -> str:
    """Return the final reply as text, with advice that only the operator can follow."""
    return words(outcome) + (_ADVICE if outcome.no_public_address else "")

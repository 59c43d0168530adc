"""The outbound queue: leased rows and the results of their attempts."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from zope.interface import Attribute, Interface

from emailsys.interfaces.intake import Notice
from emailsys.mail.address import Address
from emailsys.mail.dsn_request import NOTHING_ASKED_FOR_RECIPIENT, RecipientRequest
from emailsys.mail.envelope import MailParameters

#: The domain of the reverse-path, None for the null one, and the domain of the forward-path, both as received.
DomainPair = tuple[str | None, str]


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One remote recipient of one message, leased for a delivery attempt.

    `attempts` counts the attempts before this one. `warned` is whether the sender was warned of the delay. `aged_from`
    is the time from which its age counts, None for the arrival of its message.
    """

    row_id: int
    lease: int
    message_id: int
    queue_id: str
    reverse_path: Address | None
    forward_path: Address
    arrived_at: datetime
    octets: int
    parameters: MailParameters
    attempts: int
    warned: bool = False
    forwarded: bool = False
    dsn: RecipientRequest = NOTHING_ASKED_FOR_RECIPIENT
    aged_from: datetime | None = None

    @property
    def age_start(self) -> datetime:
        """The time from which the age counts. Time on hold, or without a daemon, does not count."""
        return self.arrived_at if self.aged_from is None else self.aged_from

    @property
    def domains(self) -> DomainPair:
        """The domains that determine its next hop."""
        return (None if self.reverse_path is None else self.reverse_path.domain, self.forward_path.domain)


@dataclass(frozen=True, slots=True)
class DelayRule:
    """How to reschedule due rows whose next hop is paused or silent, without leasing them.

    If `reply` is set, rescheduling counts as a delayed attempt with this reply of `remote`, like any other.
    """

    # Returns when a row is due again, from its number of attempts, the start of its age, and whether its sender was
    # warned of the delay. None: lease the row all the same, because a notice is due. Called in a thread of the store.
    due_at: Callable[[int, datetime, bool], datetime | None]
    reply: str = ""
    remote: str = ""
    # Called after the commit for each row, with the queue id and forward-path.
    on_delayed: Callable[[str, Address], None] = lambda queue_id, forward_path: None


NO_DELAYS: Final[Mapping[DomainPair, DelayRule]] = MappingProxyType({})


class Fate(enum.Enum):
    """The final state of a maildrop or queue row in the ledger. A settlement has one of the first three."""

    RELAYED = "relayed"
    # The reverse-path got a notice.
    FAILED = "failed with a DSN"
    # Null reverse-path, NOTIFY=NEVER, or an undeliverable reverse-path.
    FAILED_UNTOLD = "failed without a DSN"
    # By the owner of the maildrop.
    DELETED = "deleted by its owner"
    DROPPED = "dropped by an operator"
    EXPIRED = "expired by retention"


@dataclass(frozen=True, slots=True)
class Settlement:
    """The result of an attempt for one row.

    If `due_at` is None, the row is final and ends with `fate`; else it is delayed until then. `reply` is the last reply
    and `remote` the host that sent it, "" for none.

    `tried` is False if no attempt was made, because the next hop had no free connection: the row is rescheduled without
    counting an attempt. `warned`: a notice of the delay is sent. `in_doubt`: the reply to the final dot was not
    received (RFC 1047). `hold`: the row is not due before an operator releases it, whatever `due_at` is."""

    row: QueueRow
    due_at: datetime | None = None
    reply: str = ""
    fate: Fate = Fate.RELAYED
    remote: str = ""
    tried: bool = True
    warned: bool = False
    in_doubt: bool = False
    hold: bool = False


class IQueue(Interface):
    """Queue of recipients on other hosts, each delivered at least once (RFC 1047).

    A lease belongs to its process. Another process gets the row only after that one has ended, or hangs. The process
    itself gets it again if it does not renew the lease.
    """

    on_returned: Callable[[], None] = Attribute(
        """Called when leases of other processes ended and their rows are due, or another process called `share`."""
    )

    def share() -> None:
        """Tell other nodes that rows are due which this one does not deliver now."""

    def tenure() -> int | None:
        """Return a number that stays the same as long as no other process can have taken leases of this one.

        None if that is uncertain at this moment: begin no delivery, and end none. If the number has changed, `renew`
        tells which leases were taken.
        """

    async def lease(
        limit: int, seconds: float, later: Mapping[DomainPair, DelayRule] = NO_DELAYS
    ) -> Sequence[QueueRow]:
        """Lease at most `limit` due rows for `seconds`, the longest due first.

        The time in which a row was due without being leased does not count toward its age, if it was long: the clock
        jumped or the daemon was down.

        @param later: rows with these domains are not leased but rescheduled in the same commit."""

    async def renew(rows: Sequence[QueueRow], seconds: float) -> Sequence[QueueRow]:
        """Renew the leases of rows until `seconds` from now. Returns the rows whose lease was already lost."""

    async def settle(settlements: Sequence[Settlement], notices: Sequence[Notice] = ()) -> int:
        """Record attempts in one commit. Returns how many rows were still leased; the others do not change.

        The notices are accepted in the same commit, as by `IIncoming.commit`, unless all leases were lost.
        """

    async def release(rows: Sequence[QueueRow], since: datetime) -> None:
        """Release leased rows without an attempt.

        @param since: when they are due, at most now. Earlier than now if the clock jumped during the lease: the jump
            then does not count toward their age.
        """

    async def correct_dates(ahead: float) -> int:
        """Make rows due now that are due more than `ahead` seconds from now. Returns their number.

        No schedule sets such dates: the clock was wrong when they were written. A leased row keeps its lease for
        `ahead` seconds.
        """

    async def next_due() -> datetime | None:
        """Return when the next row is due or the next lease of this process ends; None for neither."""

    def pieces(row: QueueRow) -> AsyncIterator[bytes]:
        """Return the accepted body in pieces of at most 256 KiB, each read in its own transaction.

        @raise StoreError: the lease has ended, or the body cannot be read now.

        @raise StoreDamaged: the next piece differs from what was accepted; it is not returned."""

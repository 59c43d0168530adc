"""Record attempts in the queue, patiently where the store fails, and tell the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from emailsys.delivery.outcomes import Bookkeeper
from emailsys.delivery.transmissions import Parcel, words
from emailsys.interfaces import IQueue, PutOff, Settlement, StoreError
from emailsys.mail.address import Address
from emailsys.mail.envelope import RemoteRoute
from emailsys.mail.next_hop import NextHop
from emailsys.mail.transmission import Outcome
from emailsys.telemetry import Telemetry

# Seconds before the store is asked again after it failed: at first, and at most.
_FIRST_PATIENCE: Final = 1.0
_MOST_PATIENCE: Final = 30.0


class Waits:
    """Spans of time that can be cut short."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._calls: dict[Deferred[None], IDelayedCall] = {}

    def begin(self, seconds: float) -> Deferred[None]:
        """Fires after so many seconds, or at `end`."""
        wait: Deferred[None] = Deferred()
        self._calls[wait] = self._clock.callLater(seconds, self.end, wait)
        return wait

    def end(self, wait: Deferred[None]) -> None:
        """Fire it now, unless it has fired."""
        call = self._calls.pop(wait, None)
        if call is not None:
            if call.active():
                call.cancel()
            wait.callback(None)

    def end_all(self) -> None:
        """Fire all."""
        for wait in tuple(self._calls):
            self.end(wait)


class Recorder:
    """Settles parcels.

    @param wake: called after a commit that put new mail for other hosts into the queue.
    """

    def __init__(
        self,
        queue: IQueue,
        books: Bookkeeper,
        waits: Waits,
        now: Callable[[], datetime],
        draw: Callable[[], float],
        telemetry: Telemetry,
        wake: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._books = books
        self._waits = waits
        self._now = now
        self._draw = draw
        self._telemetry = telemetry
        self._wake = wake
        self._hurried = False

    def hurry(self) -> None:
        """From now on give up where the store fails once."""
        self._hurried = True

    def put_off(self, next_hop: NextHop, outcome: Outcome) -> PutOff:
        """An attempt that ended so for all rows to a next hop without being made; those of which more than a delay is
        to be told are leased instead."""

        def told(queue_id: str, forward_path: Address) -> None:
            self._tell_one("delayed", queue_id, forward_path, next_hop, outcome)

        return PutOff(self._books.delay(self._now(), self._draw()), words(outcome), outcome.remote, told)

    async def record(self, parcel: Parcel, outcomes: Sequence[Outcome]) -> None:
        """Settle an attempt in one commit with its notices; where the store fails, again and again while we hold it.

        What has been sent and cannot be settled is sent again by who leases it next (RFC 1047).
        """
        patience = _FIRST_PATIENCE
        now, chance = self._now(), self._draw()
        queue_id = parcel.rows[0].queue_id
        while not parcel.lost:
            try:
                entry = await self._books.settle(parcel.rows, outcomes, now, chance)
                held = await self._queue.settle(entry.settlements, entry.notices)
            except StoreError as error:
                self._telemetry.event("settling-delayed", queue_id=queue_id, reason=str(error))
            except Exception:
                self._telemetry.exception("settling", Failure(), queue_id=queue_id)
            else:
                self._tell(parcel, entry.settlements, outcomes)
                if held < len(entry.settlements):
                    self._telemetry.event("lease-lost", queue_id=queue_id, rows=len(entry.settlements) - held)
                recipients = (recipient for notice in entry.notices for recipient in notice.envelope.recipients)
                if any(isinstance(route, RemoteRoute) for recipient in recipients for route in recipient.routes):
                    self._wake()
                return
            if self._hurried:
                return
            await self._waits.begin(patience)
            patience = min(patience * 2, _MOST_PATIENCE)

    def _tell(self, parcel: Parcel, settlements: Sequence[Settlement], outcomes: Sequence[Outcome]) -> None:
        for settlement, outcome in zip(settlements, outcomes, strict=True):
            name = (
                "held"
                if settlement.hold
                else "delayed"
                if settlement.due_at is not None
                else settlement.fate.value.partition(" ")[0]
            )
            self._tell_one(name, settlement.row.queue_id, settlement.row.forward_path, parcel.next_hop, outcome)

    def _tell_one(self, name: str, queue_id: str, to: Address, next_hop: NextHop, outcome: Outcome) -> None:
        self._telemetry.event(
            name,
            queue_id=queue_id,
            to=to,
            next_hop=next_hop,
            remote=outcome.remote or "-",
            tls=outcome.tls or "-",
            reply=words(outcome),
        )

"""Record delivery attempts in the queue and the log, with retries while the store fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twisted.python.failure import Failure

from emailsys.delivery.clock import Timing, Waits
from emailsys.delivery.outcomes import Bookkeeper, Entry
from emailsys.delivery.parcels import Parcel, words
from emailsys.interfaces import DelayRule, IQueue, Settlement, StoreError
from emailsys.mail.address import Address
from emailsys.mail.envelope import RemoteRoute
from emailsys.mail.next_hop import NextHop
from emailsys.mail.transmission import Outcome
from emailsys.telemetry import Telemetry

# Seconds until a settlement is retried after the store failed: the first wait, and the longest.
_FIRST_PATIENCE: Final = 1.0
_MOST_PATIENCE: Final = 30.0


class Recorder:
    """Settles parcels after their attempts, and logs one event for each recipient.

    @param wake: called after a commit that put new mail for other hosts into the queue.
    """

    def __init__(
        self,
        queue: IQueue,
        books: Bookkeeper,
        waits: Waits,
        timing: Timing,
        telemetry: Telemetry,
        wake: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._books = books
        self._waits = waits
        self._clock = timing.clock
        self._now = timing.now
        self._draw = timing.draw
        self._telemetry = telemetry
        self._wake = wake
        self._is_stopping = False

    def stop_retrying(self) -> None:
        """From now on, do not retry a settlement after the store failed. Called when the runner stops."""
        self._is_stopping = True

    def delay_rule(self, next_hop: NextHop, outcome: Outcome) -> DelayRule:
        """Return how the store settles due rows for a paused next hop without leasing them, each as a delayed attempt.

        A row that needs a notice or expires is leased nevertheless.
        """

        def log_delay(queue_id: str, forward_path: Address) -> None:
            self._log_recipient("delayed", queue_id, forward_path, next_hop, outcome)

        return DelayRule(self._books.delay(self._now(), self._draw()), words(outcome), outcome.remote, log_delay)

    async def record(self, parcel: Parcel, outcomes: Sequence[Outcome]) -> None:
        """Settle an attempt in one commit with its notices. While the store fails and the lease holds, try again.

        If a sent message cannot be settled, the next runner that leases its rows sends it again (RFC 1047).
        """
        patience = _FIRST_PATIENCE
        now, chance = self._now(), self._draw()
        schedule_time = parcel.schedule_time(now, self._clock.seconds())
        queue_id = parcel.rows[0].queue_id
        # Composed only once, because each notice counts toward the cap of its address.
        entry: Entry | None = None
        while not parcel.lost:
            try:
                if entry is None:
                    entry = await self._books.settle(parcel.rows, outcomes, now, schedule_time, chance)
                held = await self._queue.settle(entry.settlements, entry.notices)
            except StoreError as error:
                self._telemetry.event("settling-delayed", queue_id=queue_id, reason=str(error))
            except Exception:
                self._telemetry.exception("settling-exception", Failure(), queue_id=queue_id)
            else:
                self._log(parcel, entry.settlements, outcomes)
                if held < len(entry.settlements):
                    self._telemetry.event("lease-lost", queue_id=queue_id, rows=len(entry.settlements) - held)
                recipients = (recipient for notice in entry.notices for recipient in notice.envelope.recipients)
                if any(isinstance(route, RemoteRoute) for recipient in recipients for route in recipient.routes):
                    self._wake()
                return
            if self._is_stopping:
                return
            await self._waits.begin(patience)
            patience = min(patience * 2, _MOST_PATIENCE)

    def _log(self, parcel: Parcel, settlements: Sequence[Settlement], outcomes: Sequence[Outcome]) -> None:
        for settlement, outcome in zip(settlements, outcomes, strict=True):
            name = (
                "held"
                if settlement.hold
                else "delayed"
                if settlement.due_at is not None
                else settlement.fate.value.partition(" ")[0]
            )
            self._log_recipient(name, settlement.row.queue_id, settlement.row.forward_path, parcel.next_hop, outcome)

    def _log_recipient(self, name: str, queue_id: str, to: Address, next_hop: NextHop, outcome: Outcome) -> None:
        self._telemetry.event(
            name,
            queue_id=queue_id,
            to=to,
            next_hop=next_hop,
            remote=outcome.remote or "-",
            tls=outcome.tls or "-",
            reply=words(outcome),
        )

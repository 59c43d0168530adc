"""Queue runner: the service that leases due rows, hands them to the dispatcher and renews the leases."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure
from typing_extensions import override

from emailsys.config.settings import QueueSettings
from emailsys.delivery.attempt_records import Recorder
from emailsys.delivery.clock import ClockWatch, Timing, Waits
from emailsys.delivery.destinations import DestinationStatus
from emailsys.delivery.dispatcher import Dispatcher
from emailsys.delivery.outcomes import Bookkeeper
from emailsys.delivery.parcels import LOCAL_FAULT, Parcel
from emailsys.delivery.retry_schedule import latest_date
from emailsys.interfaces import IQueue, IRelay, IRouter, QueueRow, Settlement, StoreError
from emailsys.mail.address import Address
from emailsys.mail.next_hop import NextHop
from emailsys.telemetry import Telemetry

# Seconds between two measurements of the next hops, while rows are leased.
_TICK: Final = 1.0
# Seconds until the next attempt to lease rows after the store failed.
_PATIENCE: Final = 10.0
# Shortest sleep in seconds if the store says that a row is due, but leases none.
_LEAST_SLEEP: Final = 0.05
# Seconds between two hints for other nodes.
_SHARE_EVERY: Final = 1.0
# Seconds between two searches for rows with dates that no schedule sets.
_DATES_EVERY: Final = 600.0


class QueueRunner(Service):
    """Delivers queued mail to other hosts.

    The runner holds at most `max_leased` recipients in memory. A next hop begins with one delivery at a time, and its
    window grows with each answer. A next hop that cannot be reached is paused: rows that fall due for it meanwhile are
    settled as delayed without a connection. When memory is short, rows for slow next hops are rescheduled, so that they
    do not delay mail for other hosts.
    """

    def __init__(
        self,
        queue: IQueue,
        relay: IRelay,
        router: IRouter,
        books: Bookkeeper,
        settings: QueueSettings,
        timing: Timing,
        telemetry: Telemetry,
    ) -> None:
        self._queue = queue
        self._router = router
        self._books = books
        self._clock = timing.clock
        self._now = timing.now
        self._timing = timing
        self._clock_watch = ClockWatch(timing)
        self._check_dates_at = 0.0
        self._telemetry = telemetry
        self._waits = Waits(timing.clock)
        self._recorder = Recorder(queue, books, self._waits, timing, telemetry, self.wake)
        self._dispatcher = Dispatcher(queue, relay, self._recorder, settings, timing, telemetry, self._room_made)
        self._destinations = self._dispatcher.destinations
        self._look_ahead = False
        self._woken = False
        # Whether rows may not be leased, and whether they are being leased.
        self._is_paused = self._is_filling = False
        self._starved = False
        self._asleep: Deferred[None] | None = None
        self._loop: Deferred[None] | None = None
        self._tick_call: IDelayedCall | None = None
        self._renew_at = 0.0
        self._ticked_at = 0.0
        self._shared_at = -_SHARE_EVERY
        self._background: Deferred[None] | None = None

    @override
    def startService(self) -> None:
        super().startService()
        self._queue.on_returned = self.wake
        self._dispatcher.start()
        self._loop = self._begin(self._run(), "queue-runner-exception")

    @override
    def stopService(self) -> Deferred[None]:
        """Stop leasing rows, and drain. Fires when no row is leased any more.

        A message that was sent in full waits up to `stop_grace` for its reply. All other rows are released.
        """
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def pause(self) -> None:
        """Lease no more rows, and return when no row is leased any more, until `resume`.

        Deliveries in progress get `stop_grace`. What they have not ended then is tried again later.
        """
        self._is_paused = True
        self._dispatcher.halt()
        self.wake()
        while self._is_filling and self.running:
            await self._waits.begin(_LEAST_SLEEP)
        await self._dispatcher.drain(is_final=False)

    def resume(self) -> None:
        """Deliver mail again after `pause`."""
        if self._is_paused and self.running:
            self._is_paused = False
            self._dispatcher.start()
            self.wake()

    def wake(self) -> None:
        """Lease rows now, because a new row may be due."""
        self._woken = True
        if self._asleep is not None:
            self._waits.end(self._asleep)

    @property
    def _settings(self) -> QueueSettings:
        return self._dispatcher.settings

    def configure(self, settings: QueueSettings) -> None:
        """Use these settings from now on. Rows keep the dates that they have."""
        self._dispatcher.settings = self._books.settings = settings
        self.wake()

    def lift_pauses(self) -> None:
        """End all pauses of next hops. Called for an operator who knows that they can be reached again."""
        self._destinations.lift_pauses()
        self.wake()

    def status(self) -> Sequence[DestinationStatus]:
        """Return the next hops that have leased rows or are paused: those with an alarm first, then the busiest."""
        return self._destinations.status(self._timing)

    def failure(self, next_hop: NextHop) -> str:
        """Return why the last attempt reached no host of a next hop, "" if it did."""
        return self._destinations.failure(next_hop)

    # Leasing

    async def _run(self) -> None:
        while self.running:
            self._woken, self._is_filling = False, not self._is_paused
            seconds = await self._fill() if self._is_filling else self._settings.poll
            self._is_filling = False
            if seconds > 0 and self.running and not self._woken:
                self._asleep = self._waits.begin(seconds)
                await self._asleep
                self._asleep = None

    async def _fill(self) -> float:
        """Lease due rows while there is room. Returns the seconds until the next look into the queue."""
        try:
            return await self._lease_due() if await self._check_tenure() else _TICK
        except StoreError as error:
            self._telemetry.event("queue-delayed", reason=str(error))
        except Exception:
            self._telemetry.exception("queue-runner-exception", Failure())
        return _PATIENCE

    async def _lease_due(self) -> float:
        most, in_hand = self._settings.max_leased, self._dispatcher.in_hand
        # Above three quarters, rows are leased only at ticks, to find mail for other hosts than the slow ones. Next
        # hops without progress fill at most one half, so one quarter always remains for the others.
        crowded = in_hand * 4 >= most * 3
        if in_hand >= most or (crowded and not self._look_ahead):
            self._starved = True
            self._share()
            return self._settings.poll
        self._look_ahead = self._starved = False
        batch = max(1, most // 4)
        await self._check_clock()
        later = await self._destinations.later(self._router, self._recorder.delay_rule, self._timing)
        rows = await self._queue.lease(min(batch, most - self._dispatcher.in_hand), self._settings.lease, later)
        if rows:
            await self._take(rows, crowded)
            return 0.0
        due_at = await self._queue.next_due()
        if due_at is None:
            return self._settings.poll
        return min(max((due_at - self._now()).total_seconds(), _LEAST_SLEEP), self._settings.poll)

    def _share(self) -> None:
        """Let other nodes deliver what waits. Tells them once a second at most."""
        if self._clock.seconds() >= self._shared_at + _SHARE_EVERY:
            self._shared_at = self._clock.seconds()
            self._queue.share()

    async def _check_tenure(self) -> bool:
        """Find out which leases were lost, if others can have taken some. Returns whether the rest is certain.

        @raise StoreError: that cannot be found out now.
        """
        tenure = self._queue.tenure()
        if tenure is None:
            return False
        if tenure != self._dispatcher.tenure:
            if self._dispatcher.in_hand:
                await self._renew()
            self._dispatcher.tenure = tenure
        self._dispatcher.dispatch()
        return True

    async def _check_clock(self) -> None:
        """Correct dates after a jump of the wall clock. They are also checked at the start, and at intervals."""
        jump, now = self._clock_watch.jump(), self._clock.seconds()
        if jump:
            self._telemetry.alarm("clock-jumped", seconds=round(jump))
            self._check_dates_at = now
        if now >= self._check_dates_at:
            rows = await self._queue.correct_dates(latest_date(self._settings))
            self._check_dates_at = now + _DATES_EVERY
            if rows:
                self._telemetry.alarm("queue-dates-corrected", rows=rows)

    async def _take(self, rows: Sequence[QueueRow], crowded: bool) -> None:
        """Group the rows by message and next hop, and hand them to the dispatcher."""
        groups: dict[tuple[str, NextHop, Address | None], list[QueueRow]] = {}
        unrouted: list[QueueRow] = []
        leased = (self._now(), self._clock.seconds())
        for row in rows:
            try:
                next_hop = await self._router.next_hop(row)
                sender = await self._router.sender(row)
            except Exception:
                self._telemetry.exception("next-hop-exception", Failure(), queue_id=row.queue_id, to=row.forward_path)
                unrouted.append(row)
                continue
            groups.setdefault((row.queue_id, next_hop, sender), []).append(row)
        for row in unrouted:
            self._dispatcher.record_only(Parcel((row,), NextHop(""), *leased), LOCAL_FAULT)
        postponed: list[Settlement] = []
        most = self._settings.recipients_per_delivery
        for (_, next_hop, sender), group in groups.items():
            for start in range(0, len(group), most):
                parcel = Parcel(tuple(group[start : start + most]), next_hop, *leased, sender)
                postponed += self._dispatcher.offer(parcel, crowded)
        self._start_ticking()
        if postponed:
            await self._postpone(postponed)
        self._dispatcher.dispatch()

    async def _postpone(self, settlements: Sequence[Settlement]) -> None:
        try:
            await self._queue.settle(settlements)
        except Exception:
            # The leases expire by themselves. Then this process leases the rows again; no other process takes them.
            self._telemetry.exception("postponement-exception", Failure(), rows=len(settlements))

    def _room_made(self) -> None:
        """Lease more rows, if the loop waits for room: the dispatcher has finished some."""
        if self._starved and self._dispatcher.in_hand * 4 < self._settings.max_leased * 3:
            self.wake()

    # Ticking

    def _start_ticking(self) -> None:
        if self._tick_call is None and self._dispatcher.in_hand:
            self._ticked_at = self._clock.seconds()
            self._renew_at = self._ticked_at + self._settings.lease / 3
            self._tick_call = self._clock.callLater(_TICK, self._tick)

    def _tick(self) -> None:
        """Measure the next hops, reschedule rows of slow ones if memory is short, and renew leases in time."""
        self._tick_call = self._clock.callLater(_TICK, self._tick) if self._dispatcher.in_hand else None
        now = self._clock.seconds()
        for destination in self._destinations:
            destination.measure(now - self._ticked_at)
        self._ticked_at = now
        if self._queue.tenure() != self._dispatcher.tenure:
            self.wake()
        else:
            # It may have been uncertain since the last tick.
            self._dispatcher.dispatch()
        if self._dispatcher.in_hand * 2 >= self._settings.max_leased:
            postponed = self._dispatcher.postpone_stalled()
            if postponed:
                self._background = self._begin(self._postpone(postponed), "postponement-exception")
            self._look_ahead = True
            self.wake()
        if self._dispatcher.in_hand and now >= self._renew_at:
            self._background = self._begin(self._renew(), "lease-renewal-exception")

    async def _renew(self) -> None:
        """Renew the leases of all rows in memory.

        A row whose lease was lost is not sent, because another runner may have it.
        """
        started = self._clock.seconds()
        # If the renewal fails, the next attempt comes early enough.
        self._renew_at = started + self._settings.lease / 12
        lost = await self._queue.renew(self._dispatcher.rows(), self._settings.lease)
        self._renew_at = started + self._settings.lease / 3
        self._dispatcher.lose(lost)

    # Stopping

    async def _stop(self) -> None:
        self._dispatcher.halt()
        self._recorder.stop_retrying()
        self._waits.end_all()
        if self._loop is not None:
            await self._loop
        await self._dispatcher.drain()
        # What was released here need not wait until another node looks by itself.
        self._queue.share()
        if self._tick_call is not None:
            self._tick_call.cancel()
            self._tick_call = None

    def _begin(self, coroutine: Coroutine[Any, Any, None], event: str) -> Deferred[None]:
        begun = Deferred.fromCoroutine(coroutine)
        return begun.addErrback(lambda failure: self._telemetry.exception(event, failure))

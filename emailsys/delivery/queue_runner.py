"""Run the queue: lease what is due, send it next hop by next hop, settle each attempt in one commit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure
from typing_extensions import override

from emailsys.config.settings import QueueSettings
from emailsys.delivery.attempt_records import Recorder, Waits
from emailsys.delivery.destinations import Destination, Destinations, DestinationStatus
from emailsys.delivery.outcomes import Bookkeeper
from emailsys.delivery.transmissions import Parcel, is_unreachable, transmission, words
from emailsys.interfaces import IQueue, IRelay, IRouter, QueueRow, Settlement, StoreError
from emailsys.mail.address import Address
from emailsys.mail.next_hop import NextHop
from emailsys.mail.reply import LOCAL_ERROR
from emailsys.mail.transmission import Outcome, OutcomeKind
from emailsys.telemetry import Telemetry

# Seconds between two looks at how things go, while mail is in hand.
_TICK: Final = 1.0
# Seconds before the store is asked again after it failed.
_PATIENCE: Final = 10.0
# Seconds at least from one look into the queue to the next, where it says that something is due but gives nothing.
_LEAST_SLEEP: Final = 0.05
_LOCAL_FAULT: Final = Outcome(OutcomeKind.DELAYED, LOCAL_ERROR)


class QueueRunner(Service):
    """Brings what waits in the queue to other hosts.

    In memory are `max_leased` recipients at most. A next hop begins with one delivery at a time and earns more by
    answering; one that cannot be reached is left alone for a while, and what is due for it meanwhile is settled as
    delayed without a connection. Where memory gets short, rows for slow next hops are re-dated, so that they hold up
    nobody else.

    @param now: the wall clock, with time zone.
    @param draw: evenly from 0 to 1, at each call anew.
    @param hostname: the name of this system in notices.
    """

    def __init__(
        self,
        queue: IQueue,
        relay: IRelay,
        router: IRouter,
        settings: QueueSettings,
        hostname: str,
        clock: IReactorTime,
        now: Callable[[], datetime],
        draw: Callable[[], float],
        telemetry: Telemetry,
    ) -> None:
        self._queue = queue
        self._relay = relay
        self._router = router
        self._settings = settings
        self._clock = clock
        self._now = now
        self._telemetry = telemetry
        self._waits = Waits(clock)
        self._recorder = Recorder(
            queue, Bookkeeper(queue, router, settings, hostname), self._waits, now, draw, telemetry, self.wake
        )
        self._destinations = Destinations()
        self._parcels: set[Parcel] = set()
        self._in_hand = 0
        self._under_way = 0
        self._ready: deque[Destination] = deque()
        self._dispatching = False
        self._look_ahead = False
        self._woken = False
        self._starved = False
        self._asleep: Deferred[None] | None = None
        self._loop: Deferred[None] | None = None
        self._tick_call: IDelayedCall | None = None
        self._renew_at = 0.0
        self._ticked_at = 0.0
        self._background: Deferred[None] | None = None
        self._drained: list[Deferred[None]] = []

    @override
    def startService(self) -> None:
        super().startService()
        self._loop = self._begin(self._run(), "queue runner")

    @override
    def stopService(self) -> Deferred[None]:
        """Lease nothing more, let messages that were sent to their end be answered within `stop_grace`, give back the
        rest."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    def wake(self) -> None:
        """Something new may be due: look now."""
        self._woken = True
        if self._asleep is not None:
            self._waits.end(self._asleep)

    def lift_pauses(self) -> None:
        """Try next hops again that could not be reached lately; for an operator who knows that they are back."""
        self._destinations.lift_pauses()
        self.wake()

    def status(self) -> Sequence[DestinationStatus]:
        """The next hops with mail in hand and those that are left alone, the busiest first."""
        return self._destinations.status(self._now())

    # Leasing

    async def _run(self) -> None:
        while self.running:
            self._woken = False
            seconds = await self._fill()
            if seconds > 0 and self.running and not self._woken:
                self._asleep = self._waits.begin(seconds)
                await self._asleep
                self._asleep = None

    async def _fill(self) -> float:
        """Lease what is due, as far as there is room. Returns for how many seconds there is nothing more to do."""
        most = self._settings.max_leased
        # Above three quarters, more is leased only at ticks: to see whether there is mail for others than who is slow.
        # Who gets nothing done fills one half at most, so that the others always have a quarter.
        crowded = self._in_hand * 4 >= most * 3
        if self._in_hand >= most or (crowded and not self._look_ahead):
            self._starved = True
            return self._settings.poll
        self._look_ahead = self._starved = False
        batch = max(1, most // 4)
        try:
            later = await self._destinations.later(self._router, self._recorder.put_off, self._now())
            rows = await self._queue.lease(min(batch, most - self._in_hand), self._settings.lease, later)
            if rows:
                await self._take(rows, crowded)
                return 0.0
            due_at = await self._queue.next_due()
        except StoreError as error:
            self._telemetry.event("queue-delayed", reason=str(error))
            return _PATIENCE
        except Exception:
            self._telemetry.exception("queue runner", Failure())
            return _PATIENCE
        if due_at is None:
            return self._settings.poll
        return min(max((due_at - self._now()).total_seconds(), _LEAST_SLEEP), self._settings.poll)

    async def _take(self, rows: Sequence[QueueRow], crowded: bool) -> None:
        """Group rows by message and next hop, and put them where they wait for their turn."""
        groups: dict[tuple[str, NextHop, Address | None], list[QueueRow]] = {}
        unrouted: list[QueueRow] = []
        for row in rows:
            try:
                next_hop = await self._router.next_hop(row)
                sender = await self._router.sender(row)
            except Exception:
                self._telemetry.exception("next hop", Failure(), queue_id=row.queue_id, to=row.forward_path)
                unrouted.append(row)
                continue
            groups.setdefault((row.queue_id, next_hop, sender), []).append(row)
        for row in unrouted:
            self._begin_recording(Parcel((row,), NextHop("")), (_LOCAL_FAULT,))
        postponed: list[Settlement] = []
        most = self._settings.recipients_per_delivery
        for (_, next_hop, sender), group in groups.items():
            for start in range(0, len(group), most):
                postponed += self._offer(Parcel(tuple(group[start : start + most]), next_hop, sender), crowded)
        if postponed:
            await self._postpone(postponed)
        self._dispatch()

    def _offer(self, parcel: Parcel, crowded: bool) -> list[Settlement]:
        """Let a parcel wait; or where there is no room for it, return the settlements that re-date it."""
        destination = self._destinations.of(parcel.next_hop)
        now = self._now()
        self._destinations.met(destination, parcel.rows[0], now)
        if destination.is_paused(now) and destination.last is not None:
            self._begin_recording(parcel, (destination.last,) * len(parcel.rows))
            return []
        share = self._settings.max_leased // (2 * max(1, self._destinations.busy))
        if not destination.has_room(len(parcel.rows), self._settings, share, crowded):
            return self._redated(destination, parcel, now)
        self._hold(parcel)
        destination.waiting.append(parcel)
        self._make_ready(destination)
        return []

    def _redated(self, destination: Destination, parcel: Parcel, now: datetime) -> list[Settlement]:
        due_at = destination.next_turn(now)
        return [Settlement(row, due_at, tried=False) for row in parcel.rows]

    async def _postpone(self, settlements: Sequence[Settlement]) -> None:
        try:
            await self._queue.settle(settlements)
        except Exception:
            # The leases end by themselves; until then nobody else has these rows.
            self._telemetry.exception("postponing", Failure(), rows=len(settlements))

    # What is in hand

    def _hold(self, parcel: Parcel) -> None:
        self._parcels.add(parcel)
        self._in_hand += len(parcel.rows)
        self._destinations.hold(self._destinations.of(parcel.next_hop), len(parcel.rows))
        if self._tick_call is None:
            self._ticked_at = self._clock.seconds()
            self._renew_at = self._ticked_at + self._settings.lease / 3
            self._tick_call = self._clock.callLater(_TICK, self._tick)

    def _let_go(self, parcel: Parcel) -> None:
        self._parcels.discard(parcel)
        self._in_hand -= len(parcel.rows)
        if self._destinations.let_go(self._destinations.of(parcel.next_hop), len(parcel.rows)):
            self._relay.idle(parcel.next_hop)
        if self._starved and self._in_hand * 4 < self._settings.max_leased * 3:
            self.wake()
        if not self._parcels:
            drained, self._drained = self._drained, []
            for waiting in drained:
                waiting.callback(None)

    def _tick(self) -> None:
        self._tick_call = self._clock.callLater(_TICK, self._tick) if self._parcels else None
        now = self._clock.seconds()
        for destination in self._destinations:
            destination.measure(now - self._ticked_at)
        self._ticked_at = now
        if self._in_hand * 2 >= self._settings.max_leased:
            self._relieve()
            self._look_ahead = True
            self.wake()
        if self._parcels and now >= self._renew_at:
            self._background = self._begin(self._renew(), "renewing leases")

    def _relieve(self) -> None:
        """Memory is short: next hops that got nothing done since the last tick give back what only waits for them."""
        postponed: list[Settlement] = []
        now = self._now()
        for destination in self._destinations:
            most = destination.allowance(self._settings, 0)
            while not destination.lately and destination.waiting and destination.held > most:
                parcel = destination.waiting.pop()
                postponed += self._redated(destination, parcel, now)
                self._let_go(parcel)
        if postponed:
            self._background = self._begin(self._postpone(postponed), "postponing")

    async def _renew(self) -> None:
        """Hold what is in hand for longer. What was lost is not sent, as others may have it by now."""
        started = self._clock.seconds()
        # Where it fails, the next try comes early enough.
        self._renew_at = started + self._settings.lease / 12
        lost = await self._queue.renew([row for p in self._parcels for row in p.rows], self._settings.lease)
        self._renew_at = started + self._settings.lease / 3
        gone = {(row.row_id, row.lease) for row in lost}
        lost_parcels = [p for p in self._parcels if gone and all((r.row_id, r.lease) in gone for r in p.rows)]
        # What only waits first: else a delivery that is broken off would make room for it.
        for parcel in sorted(lost_parcels, key=lambda parcel: parcel.sending):
            self._lose(parcel)

    def _lose(self, parcel: Parcel) -> None:
        self._telemetry.event("lease-lost", queue_id=parcel.rows[0].queue_id, next_hop=parcel.next_hop)
        parcel.lost = True
        destination = self._destinations.of(parcel.next_hop)
        if parcel.sending and parcel.ended is not None:
            parcel.ended.cancel()
        elif parcel in destination.waiting:
            destination.waiting.remove(parcel)
            self._let_go(parcel)

    # Sending

    def _make_ready(self, destination: Destination) -> None:
        if not destination.ready and destination.waiting and destination.under_way < destination.window:
            destination.ready = True
            self._ready.append(destination)

    def _dispatch(self) -> None:
        """Begin deliveries, next hop after next hop, as many as the limits allow."""
        if self._dispatching:
            return
        self._dispatching = True
        while self.running and self._ready and self._under_way < self._settings.max_deliveries:
            destination = self._ready.popleft()
            destination.ready = False
            if destination.waiting and destination.under_way < destination.window:
                parcel = destination.waiting.popleft()
                destination.under_way += 1
                self._under_way += 1
                parcel.sending = True
                parcel.ended = self._begin(self._deliver(destination, parcel), "delivery")
                self._make_ready(destination)
        self._dispatching = False

    async def _deliver(self, destination: Destination, parcel: Parcel) -> None:
        outcomes: tuple[Outcome, ...] | None
        try:
            outcomes = tuple(await self._relay.relay(parcel.next_hop, transmission(parcel, self._queue)))
            if len(outcomes) != len(parcel.rows):
                raise RuntimeError("the relay has not said for each recipient how it went")
        except CancelledError:
            outcomes = None
        except Exception:
            self._telemetry.exception("relay", Failure(), queue_id=parcel.rows[0].queue_id, next_hop=parcel.next_hop)
            outcomes = (_LOCAL_FAULT,) * len(parcel.rows)
        parcel.sending = False
        destination.under_way -= 1
        self._under_way -= 1
        again = outcomes is not None and self.running and self._learn(destination, parcel, outcomes)
        self._make_ready(destination)
        self._dispatch()
        if again:
            return
        if outcomes is not None:
            await self._recorder.record(parcel, outcomes)
        elif not parcel.lost:
            await self._give_back([parcel])
        self._let_go(parcel)

    def _learn(self, destination: Destination, parcel: Parcel, outcomes: tuple[Outcome, ...]) -> bool:
        """Draw from an attempt what it says of the next hop. Returns whether the parcel waits on, as if not tried."""
        if not is_unreachable(outcomes):
            destination.reached(self._settings)
            destination.finished += len(outcomes)
            return False
        if destination.under_way and not parcel.returned:
            # Others are being sent there right now: it is not down but bears no more connections.
            destination.window = destination.under_way
            parcel.returned = True
            destination.waiting.appendleft(parcel)
            return True
        destination.unreachable(outcomes[0], self._now(), self._settings)
        self._destinations.met(destination, parcel.rows[0], self._now())
        self._telemetry.event("next-hop-paused", next_hop=destination.next_hop, reason=words(outcomes[0]))
        waiting = tuple(destination.waiting)
        destination.waiting.clear()
        for other in waiting:
            self._begin_recording(other, (destination.last or _LOCAL_FAULT,) * len(other.rows))
        return False

    # Recording

    def _begin_recording(self, parcel: Parcel, outcomes: tuple[Outcome, ...]) -> None:
        """Settle a parcel that needs no delivery for it."""
        if parcel not in self._parcels:
            self._hold(parcel)
        parcel.ended = self._begin(self._record_only(parcel, outcomes), "settling")

    async def _record_only(self, parcel: Parcel, outcomes: tuple[Outcome, ...]) -> None:
        await self._recorder.record(parcel, outcomes)
        self._let_go(parcel)

    # Stopping

    async def _stop(self) -> None:
        self._recorder.hurry()
        self._waits.end_all()
        if self._loop is not None:
            await self._loop
        waiting = [parcel for destination in self._destinations for parcel in destination.waiting]
        for destination in self._destinations:
            destination.waiting.clear()
        self._ready.clear()
        await self._give_back(waiting)
        for parcel in waiting:
            self._let_go(parcel)
        self._relay.wind_up(self._settings.stop_grace)
        timer = self._clock.callLater(self._settings.stop_grace, self._cancel_deliveries)
        await self._until_drained()
        if timer.active():
            timer.cancel()
        if self._tick_call is not None:
            self._tick_call.cancel()
            self._tick_call = None

    async def _until_drained(self) -> None:
        if self._parcels:
            drained: Deferred[None] = Deferred()
            self._drained.append(drained)
            await drained

    def _cancel_deliveries(self) -> None:
        for parcel in tuple(self._parcels):
            # A commit is never cancelled, and what is being settled ends by itself.
            if parcel.sending and parcel.ended is not None:
                parcel.ended.cancel()

    async def _give_back(self, parcels: Sequence[Parcel]) -> None:
        rows = [row for parcel in parcels for row in parcel.rows]
        if rows:
            try:
                await self._queue.release(rows)
            except Exception:
                self._telemetry.exception("releasing", Failure(), rows=len(rows))

    def _begin(self, coroutine: Coroutine[Any, Any, None], where: str) -> Deferred[None]:
        begun = Deferred.fromCoroutine(coroutine)
        return begun.addErrback(lambda failure: self._telemetry.exception(where, failure))

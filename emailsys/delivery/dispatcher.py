"""Dispatcher: sends leased rows next hop by next hop within the limits, and has each attempt recorded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from emailsys.config.settings import QueueSettings
from emailsys.delivery.attempt_records import Recorder
from emailsys.delivery.clock import Timing
from emailsys.delivery.destinations import Destination, Destinations
from emailsys.delivery.parcels import LOCAL_FAULT, Parcel, is_unreachable, needs_operator, operator_words, transmission
from emailsys.interfaces import IQueue, IRelay, QueueRow, Settlement
from emailsys.mail.transmission import Outcome
from emailsys.telemetry import Telemetry


class Dispatcher:
    """The parcels in memory, from the lease to the settlement.

    `destinations` are the next hops of these parcels, and those that were unreachable lately. `in_hand` counts the
    recipients in memory.

    @param room_made: called each time a parcel leaves memory.
    """

    def __init__(
        self,
        queue: IQueue,
        relay: IRelay,
        recorder: Recorder,
        settings: QueueSettings,
        timing: Timing,
        telemetry: Telemetry,
        room_made: Callable[[], None],
    ) -> None:
        self._queue = queue
        self._relay = relay
        self._recorder = recorder
        #: May be replaced at any time.
        self.settings = settings
        self._clock = timing.clock
        self._now = timing.now
        self._telemetry = telemetry
        self._room_made = room_made
        self.destinations = Destinations()
        self.in_hand = 0
        #: The tenure in which the leases of all parcels are known to be valid.
        self.tenure: int | None = None
        self._parcels: set[Parcel] = set()
        self._under_way = 0
        self._ready: deque[Destination] = deque()
        self._running = False
        self._dispatching = False
        self._drained: list[Deferred[None]] = []

    def start(self) -> None:
        """Allow deliveries to begin."""
        self._running = True

    def halt(self) -> None:
        """Begin no more deliveries. Those under way go on."""
        self._running = False

    # Parcels in memory

    def rows(self) -> list[QueueRow]:
        """Return the rows of all parcels in memory."""
        return [row for parcel in self._parcels for row in parcel.rows]

    def offer(self, parcel: Parcel, crowded: bool) -> list[Settlement]:
        """Queue a parcel for delivery. If there is no room for it, return the settlements that reschedule it.

        @param crowded: whether memory is short.
        """
        destination = self.destinations.of(parcel.next_hop)
        now = self._clock.seconds()
        self.destinations.note_domains(destination, parcel.rows[0], now)
        if destination.is_paused(now) and destination.last is not None:
            self.record_only(parcel, destination.last)
            return []
        share = self.settings.max_leased // (2 * max(1, self.destinations.busy))
        if not destination.has_room(len(parcel.rows), self.settings, share, crowded):
            return _rescheduled(destination, parcel, self._now())
        self._add(parcel)
        destination.waiting.append(parcel)
        self._make_ready(destination)
        return []

    def record_only(self, parcel: Parcel, outcome: Outcome) -> None:
        """Settle a parcel without an attempt. All its rows get the same outcome."""
        if parcel not in self._parcels:
            self._add(parcel)
        parcel.ended = self._begin(self._record(parcel, (outcome,) * len(parcel.rows)), "settling-exception")

    def postpone_stalled(self) -> list[Settlement]:
        """Drop waiting parcels of next hops that made no progress since the last tick, because memory is short.

        Returns the settlements that reschedule their rows.
        """
        postponed: list[Settlement] = []
        now, seconds = self._now(), self._clock.seconds()
        for destination in self.destinations:
            most = destination.allowance(self.settings, 0)
            while not destination.lately and destination.waiting and destination.held > most:
                parcel = destination.waiting.pop()
                postponed += _rescheduled(destination, parcel, parcel.schedule_time(now, seconds))
                self._remove(parcel)
        return postponed

    def lose(self, rows: Sequence[QueueRow]) -> None:
        """Cancel parcels whose rows are all among these, because their leases were lost."""
        gone = {(row.row_id, row.lease) for row in rows}
        lost = [p for p in self._parcels if gone and all((r.row_id, r.lease) in gone for r in p.rows)]
        # Waiting parcels come first. Otherwise one of them would take the place of a cancelled delivery.
        for parcel in sorted(lost, key=lambda parcel: parcel.sending):
            self._lose(parcel)

    def _lose(self, parcel: Parcel) -> None:
        self._telemetry.event("lease-lost", queue_id=parcel.rows[0].queue_id, next_hop=parcel.next_hop)
        parcel.lost = True
        destination = self.destinations.of(parcel.next_hop)
        if parcel.sending and parcel.ended is not None:
            parcel.ended.cancel()
        elif parcel in destination.waiting:
            destination.waiting.remove(parcel)
            self._remove(parcel)

    def _add(self, parcel: Parcel) -> None:
        self._parcels.add(parcel)
        self.in_hand += len(parcel.rows)
        self.destinations.add_rows(self.destinations.of(parcel.next_hop), len(parcel.rows))

    def _remove(self, parcel: Parcel) -> None:
        self._parcels.discard(parcel)
        self.in_hand -= len(parcel.rows)
        if self.destinations.remove_rows(self.destinations.of(parcel.next_hop), len(parcel.rows)):
            self._relay.idle(parcel.next_hop)
        self._room_made()
        if not self._parcels:
            drained, self._drained = self._drained, []
            for waiting in drained:
                waiting.callback(None)

    # Deliveries

    def dispatch(self) -> None:
        """Begin deliveries, one next hop after the other, as many as the limits allow.

        While the leases are uncertain, none begins.
        """
        if self._dispatching or self._queue.tenure() != self.tenure or self.tenure is None:
            return
        self._dispatching = True
        while self._running and self._ready and self._under_way < self.settings.max_deliveries:
            destination = self._ready.popleft()
            destination.ready = False
            if destination.waiting and destination.under_way < destination.window:
                parcel = destination.waiting.popleft()
                destination.under_way += 1
                self._under_way += 1
                parcel.sending = True
                parcel.ended = self._begin(self._deliver(destination, parcel), "delivery-exception")
                self._make_ready(destination)
        self._dispatching = False

    def _make_ready(self, destination: Destination) -> None:
        if not destination.ready and destination.waiting and destination.under_way < destination.window:
            destination.ready = True
            self._ready.append(destination)

    async def _deliver(self, destination: Destination, parcel: Parcel) -> None:
        outcomes: tuple[Outcome, ...] | None
        try:
            outcomes = tuple(await self._relay.relay(parcel.next_hop, transmission(parcel, self._queue)))
            if len(outcomes) != len(parcel.rows):
                raise RuntimeError("The relay did not return one outcome for each recipient.")
        except CancelledError:
            outcomes = None
        except Exception:
            self._telemetry.exception(
                "relay-exception", Failure(), queue_id=parcel.rows[0].queue_id, next_hop=parcel.next_hop
            )
            outcomes = (LOCAL_FAULT,) * len(parcel.rows)
        parcel.sending = False
        destination.under_way -= 1
        self._under_way -= 1
        # The host is not at fault if this system ended the attempt.
        is_about_host = outcomes is not None and not any(outcome.cut_short for outcome in outcomes)
        again = outcomes is not None and is_about_host and self._running and self._learn(destination, parcel, outcomes)
        self._make_ready(destination)
        self.dispatch()
        if again:
            return
        if outcomes is not None:
            await self._recorder.record(parcel, outcomes)
        elif not parcel.lost:
            await self._release([parcel])
        self._remove(parcel)

    def _learn(self, destination: Destination, parcel: Parcel, outcomes: tuple[Outcome, ...]) -> bool:
        """Adjust window and pause of a next hop after an attempt. Returns whether the parcel waits again."""
        if not is_unreachable(outcomes):
            destination.reached(self.settings)
            destination.finished += len(outcomes)
            return False
        if destination.under_way and not parcel.returned:
            # Other deliveries to this next hop are under way: it is not down but accepts no more connections.
            destination.window = destination.under_way
            parcel.returned = True
            destination.waiting.appendleft(parcel)
            return True
        now = self._clock.seconds()
        destination.unreachable(outcomes[0], now, self.settings)
        self.destinations.note_domains(destination, parcel.rows[0], now)
        reason = operator_words(outcomes[0])
        self._telemetry.event("next-hop-paused", next_hop=destination.next_hop, reason=reason)
        if needs_operator(outcomes[0]):
            self._telemetry.alarm("route-failed", next_hop=destination.next_hop, reason=reason)
        waiting = tuple(destination.waiting)
        destination.waiting.clear()
        for other in waiting:
            self.record_only(other, destination.last or LOCAL_FAULT)
        return False

    async def _record(self, parcel: Parcel, outcomes: tuple[Outcome, ...]) -> None:
        await self._recorder.record(parcel, outcomes)
        self._remove(parcel)

    # Stopping

    async def drain(self, is_final: bool = True) -> None:
        """Release the rows that wait, shut the relay down, and return when no parcel is left. Call `halt` first.

        Deliveries that have not ended after `stop_grace` are cancelled.

        @param is_final: whether the relay is shut down. Otherwise `start` allows deliveries again.
        """
        waiting = [parcel for destination in self.destinations for parcel in destination.waiting]
        for destination in self.destinations:
            destination.waiting.clear()
            destination.ready = False
        self._ready.clear()
        await self._release(waiting)
        for parcel in waiting:
            self._remove(parcel)
        if is_final:
            self._relay.shut_down(self.settings.stop_grace)
        timer = self._clock.callLater(self.settings.stop_grace, self._cancel_deliveries)
        if self._parcels:
            drained: Deferred[None] = Deferred()
            self._drained.append(drained)
            await drained
        if timer.active():
            timer.cancel()

    def _cancel_deliveries(self) -> None:
        for parcel in tuple(self._parcels):
            # A commit is never cancelled: a parcel that is being settled ends by itself.
            if parcel.sending and parcel.ended is not None:
                parcel.ended.cancel()

    async def _release(self, parcels: Sequence[Parcel]) -> None:
        rows = [row for parcel in parcels for row in parcel.rows]
        if rows:
            try:
                now, seconds = self._now(), self._clock.seconds()
                await self._queue.release(rows, min(parcel.schedule_time(now, seconds) for parcel in parcels))
            except Exception:
                self._telemetry.exception("release-exception", Failure(), rows=len(rows))

    def _begin(self, coroutine: Coroutine[Any, Any, None], event: str) -> Deferred[None]:
        begun = Deferred.fromCoroutine(coroutine)
        return begun.addErrback(lambda failure: self._telemetry.exception(event, failure))


def _rescheduled(destination: Destination, parcel: Parcel, now: datetime) -> list[Settlement]:
    """Return the settlements that give the rows of a parcel the destination's next free turn."""
    due_at = destination.next_turn(now)
    return [Settlement(row, due_at, tried=False) for row in parcel.rows]

"""State of the next hops: waiting parcels, window of concurrent deliveries, pause, and share of memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from emailsys.config.settings import QueueSettings
from emailsys.delivery.clock import Timing
from emailsys.delivery.parcels import Parcel, needs_operator, operator_words
from emailsys.interfaces import DelayRule, DomainPair, IRouter, QueueRow
from emailsys.mail.next_hop import NextHop
from emailsys.mail.transmission import Outcome

# Seconds per recipient before the first measurement, and the weight of a new measurement in the average if it is
# longer.
_FIRST_PACE: Final = 0.02
_NEW_PART: Final = 0.3
# Shortest and longest time in seconds until a postponed row is due again.
_LEAST_POSTPONEMENT: Final = 1.0
_MOST_POSTPONEMENT: Final = 300.0
# Maximum number of domain pairs kept for one paused or silent next hop.
_MAX_PAIRS: Final = 100
# Maximum number of next hops kept, including those that are only paused.
_MAX_DESTINATIONS: Final = 10_000


@dataclass(frozen=True, slots=True)
class DestinationStatus:
    """Status of one next hop: recipients in memory, deliveries under way, end of the pause and its reason.

    @ivar alarm: whether mail waits until an operator corrects a route or its host.
    """

    name: str
    held: int
    under_way: int
    paused_until: datetime | None
    reason: str
    alarm: bool = False


@dataclass(eq=False, slots=True)
class Destination:
    """A next hop and its state."""

    next_hop: NextHop
    waiting: deque[Parcel] = field(default_factory=deque)
    under_way: int = 0
    # Maximum number of concurrent deliveries: one until the next hop has answered.
    window: int = 1
    failures: int = 0
    # In seconds of the monotonic clock, so that a jump of the wall clock neither ends nor prolongs a pause.
    paused_until: float | None = None
    last: Outcome | None = None
    ready: bool = False
    # Recipients in memory; recipients finished since the last tick, and between the two ticks before it; the average
    # seconds per recipient.
    held: int = 0
    finished: int = 0
    lately: int = 0
    pace: float = _FIRST_PACE
    turn: datetime | None = None
    # Seconds under way without a finished recipient.
    silence: float = 0.0
    # While it is silent or paused: the domains of its mail, with one row of each.
    domain_pairs: dict[DomainPair, QueueRow] = field(default_factory=dict)

    def is_paused(self, now: float) -> bool:
        """Return whether the next hop is paused because it could not be reached.

        @param now: seconds of the monotonic clock.
        """
        return self.paused_until is not None and now < self.paused_until

    def reached(self, settings: QueueSettings) -> None:
        """End the pause and double the window, because a host of the next hop answered."""
        self.failures, self.paused_until, self.last = 0, None, None
        self.silence = 0.0
        self.domain_pairs.clear()
        self.window = min(self.window * 2, settings.max_per_next_hop)

    def unreachable(self, outcome: Outcome, now: float, settings: QueueSettings) -> None:
        """Pause the next hop, because none of its hosts could be reached. Each pause in a row is twice as long.

        @param now: seconds of the monotonic clock.
        """
        seconds = min(settings.first_pause * 2.0 ** min(self.failures, 32), settings.max_pause)
        self.failures += 1
        self.paused_until = now + seconds
        # Only the message of this attempt is in doubt, not the others.
        self.last = replace(outcome, in_doubt=False)
        self.window = 1

    def has_room(self, rows: int, settings: QueueSettings, share: int, crowded: bool) -> bool:
        """Return whether the next hop may hold `rows` more recipients in memory.

        A next hop without progress holds no more than its share, even if memory is not short yet.
        """
        if not self.held or (not crowded and (self.lately or self.finished)):
            return True
        most = self.allowance(settings, share) if crowded else max(share, 2 * settings.max_per_next_hop)
        return self.held + rows <= most

    def allowance(self, settings: QueueSettings, share: int) -> int:
        """Return how many recipients the next hop may hold while memory is short.

        A next hop without progress gets a minimum. Any other gets at least the work of two seconds, so that it is not
        idle before rescheduled rows are due again.
        """
        little = 2 * settings.max_per_next_hop
        return max(share, little, 2 * self.lately) if self.lately else little

    def measure(self, seconds: float) -> None:
        """Measure the pace. Called at each tick.

        @param seconds: the time since the last measurement.
        """
        if self.finished:
            measured = seconds / self.finished
            # A row that is due too early is rescheduled again. A row that is due too late leaves its host idle.
            self.pace = min(measured, self.pace + _NEW_PART * (measured - self.pace))
        elif self.under_way:
            self.silence += seconds
        self.lately, self.finished = self.finished, 0

    def is_silent(self) -> bool:
        """Return whether deliveries are under way but no recipient was finished since the tick before last."""
        return self.under_way > 0 and not (self.lately or self.finished)

    def silent(self, now: datetime) -> DelayRule:
        """Return how the store reschedules due rows while the next hop is silent, without leasing them."""
        due_at = self._after_silence(now)
        return DelayRule(lambda attempts, arrived_at, warned: due_at)

    def _after_silence(self, now: datetime) -> datetime:
        """Return a time as far ahead as the silence has lasted, so that rows wait at most twice the necessary time."""
        return now + timedelta(seconds=min(max(self.silence, _LEAST_POSTPONEMENT), _MOST_POSTPONEMENT))

    def next_turn(self, now: datetime) -> datetime:
        """Return when a row without room is due again.

        Rows become due one after the other, at the measured pace. While the next hop is silent, its pace is unknown, so
        all rows get the same time.
        """
        if self.is_silent():
            return self._after_silence(now)
        earliest = now + timedelta(seconds=_LEAST_POSTPONEMENT)
        latest = now + timedelta(seconds=_MOST_POSTPONEMENT)
        after = earliest if self.turn is None else self.turn + timedelta(seconds=self.pace)
        self.turn = min(max(after, earliest), latest)
        return self.turn


class Destinations:
    """The next hops with recipients in memory and those that were unreachable lately, up to a fixed number."""

    def __init__(self) -> None:
        self._by_hop: dict[NextHop, Destination] = {}
        self._closed: dict[NextHop, Destination] = {}
        self._busy = 0

    def __iter__(self) -> Iterator[Destination]:
        return iter(tuple(self._by_hop.values()))

    @property
    def busy(self) -> int:
        """The number of next hops with recipients in memory."""
        return self._busy

    def of(self, next_hop: NextHop) -> Destination:
        """Return the destination of a next hop. Creates it if there is none."""
        found = self._by_hop.get(next_hop)
        if found is None:
            if len(self._by_hop) >= _MAX_DESTINATIONS:
                self._drop_idle()
            found = self._by_hop[next_hop] = Destination(next_hop)
        return found

    def add_rows(self, destination: Destination, rows: int) -> None:
        """Count `rows` more recipients in memory."""
        self._busy += destination.held == 0
        destination.held += rows

    def remove_rows(self, destination: Destination, rows: int) -> bool:
        """Count `rows` fewer recipients in memory. Returns whether none is left."""
        destination.held -= rows
        if destination.held:
            return False
        self._busy -= 1
        if not destination.failures:
            self._by_hop.pop(destination.next_hop, None)
        return True

    def note_domains(self, destination: Destination, row: QueueRow, now: float) -> None:
        """Note the domains of a row. Rows with them need no lease while the next hop is paused or silent."""
        if len(destination.domain_pairs) < _MAX_PAIRS and (destination.is_silent() or destination.is_paused(now)):
            destination.domain_pairs[row.domains] = row
            self._closed[destination.next_hop] = destination

    async def later(
        self, router: IRouter, paused: Callable[[NextHop, Outcome], DelayRule], timing: Timing
    ) -> Mapping[DomainPair, DelayRule]:
        """Return the domains whose rows need no lease now, because their next hops are paused or silent.

        @param paused: returns how rows for a paused next hop are settled, from the outcome of its last attempt.
        """
        later: dict[DomainPair, DelayRule] = {}
        now = timing.clock.seconds()
        for next_hop, destination in tuple(self._closed.items()):
            if destination.is_paused(now) and destination.last is not None:
                rule = paused(next_hop, destination.last)
            elif destination.is_silent():
                rule = destination.silent(timing.now())
            else:
                destination.domain_pairs.clear()
                del self._closed[next_hop]
                continue
            for domains, row in tuple(destination.domain_pairs.items()):
                # A corrected route applies to mail that is already in the queue.
                if await router.next_hop(row) == next_hop:
                    later[domains] = rule
                else:
                    del destination.domain_pairs[domains]
        return later

    def status(self, timing: Timing) -> Sequence[DestinationStatus]:
        """Return the status of all destinations: those with an alarm first, then the busiest."""
        shown = [_status(destination, timing) for destination in self]
        return sorted(shown, key=lambda status: (not status.alarm, -status.held, status.name))

    def failure(self, next_hop: NextHop) -> str:
        """Return why the last attempt reached no host of a next hop, "" if it did."""
        destination = self._by_hop.get(next_hop)
        return "" if destination is None or destination.last is None else operator_words(destination.last)

    def lift_pauses(self) -> None:
        """End all pauses."""
        self._closed.clear()
        for destination in self:
            destination.failures, destination.paused_until, destination.silence = 0, None, 0.0
            destination.domain_pairs.clear()
            if not destination.held:
                self._by_hop.pop(destination.next_hop, None)

    def _drop_idle(self) -> None:
        for destination in self:
            if not destination.held:
                del self._by_hop[destination.next_hop]


def _status(destination: Destination, timing: Timing) -> DestinationStatus:
    last, paused_until, now = destination.last, destination.paused_until, timing.clock.seconds()
    is_paused = paused_until is not None and destination.is_paused(now)
    return DestinationStatus(
        str(destination.next_hop),
        destination.held,
        destination.under_way,
        timing.now() + timedelta(seconds=(paused_until or now) - now) if is_paused else None,
        operator_words(last) if last is not None else "",
        last is not None and needs_operator(last),
    )

"""What the queue runner knows of each next hop: what waits for it, how much it bears, whether it is down."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from emailsys.config.settings import QueueSettings
from emailsys.delivery.transmissions import Parcel, words
from emailsys.interfaces import IRouter, PutOff, QueueRow, Way
from emailsys.mail.next_hop import NextHop
from emailsys.mail.transmission import Outcome

# Seconds a recipient takes, as long as nothing was measured, and the part that a new measure has in the average where
# it is longer.
_FIRST_PACE: Final = 0.02
_NEW_PART: Final = 0.3
# Seconds until a postponed row comes again, at least and at most.
_LEAST_POSTPONEMENT: Final = 1.0
_MOST_POSTPONEMENT: Final = 300.0
# Ways to one shut next hop that are remembered.
_MOST_WAYS: Final = 100
# Next hops that are remembered, be it only for having been down.
_MOST_REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class DestinationStatus:
    """How one next hop stands: recipients in hand, deliveries under way, until when it is left alone, and why."""

    name: str
    held: int
    under_way: int
    paused_until: datetime | None
    reason: str


@dataclass(eq=False, slots=True)
class Destination:
    """One next hop."""

    next_hop: NextHop
    waiting: deque[Parcel] = field(default_factory=deque)
    under_way: int = 0
    # How many deliveries it bears at once: one until it has shown that it is there.
    window: int = 1
    failures: int = 0
    paused_until: datetime | None = None
    last: Outcome | None = None
    ready: bool = False
    # Recipients in hand; those that were done since the last tick, and between the two before; what that makes in
    # seconds a recipient.
    held: int = 0
    finished: int = 0
    lately: int = 0
    pace: float = _FIRST_PACE
    turn: datetime | None = None
    # Seconds of trying in which it got nothing done, and by which ways mail for it came while it was silent or paused,
    # with a row of each.
    silence: float = 0.0
    ways: dict[Way, QueueRow] = field(default_factory=dict)

    def is_paused(self, now: datetime) -> bool:
        """Whether it is left alone, as it could not be reached lately."""
        return self.paused_until is not None and now < self.paused_until

    def reached(self, settings: QueueSettings) -> None:
        """It spoke with us: it bears more."""
        self.failures, self.paused_until, self.last = 0, None, None
        self.silence = 0.0
        self.ways.clear()
        self.window = min(self.window * 2, settings.max_per_next_hop)

    def unreachable(self, outcome: Outcome, now: datetime, settings: QueueSettings) -> None:
        """None of its hosts could be talked to: pause, longer from time to time."""
        seconds = min(settings.first_pause * 2.0 ** min(self.failures, 32), settings.max_pause)
        self.failures += 1
        self.paused_until = now + timedelta(seconds=seconds)
        # What is in doubt of one message is not so of the others.
        self.last = replace(outcome, in_doubt=False)
        self.window = 1

    def has_room(self, rows: int, settings: QueueSettings, share: int, crowded: bool) -> bool:
        """Whether it may hold so many more recipients.

        Who gets nothing done holds no more than a share even while there is memory: it must not run short at all.
        """
        if not self.held or (not crowded and (self.lately or self.finished)):
            return True
        most = self.allowance(settings, share) if crowded else max(share, 2 * settings.max_per_next_hop)
        return self.held + rows <= most

    def allowance(self, settings: QueueSettings, share: int) -> int:
        """How many recipients it may hold where memory is short: little, unless it gets them done; then no fewer than
        two seconds take, for who turns those away finds the host at rest when they come again."""
        little = 2 * settings.max_per_next_hop
        return max(share, little, 2 * self.lately) if self.lately else little

    def measure(self, seconds: float) -> None:
        """Take the measure of its pace, once in so many seconds."""
        if self.finished:
            measured = seconds / self.finished
            # A row that comes again too early is re-dated once more; one that comes too late finds its host at rest.
            self.pace = min(measured, self.pace + _NEW_PART * (measured - self.pace))
        elif self.under_way:
            self.silence += seconds
        self.lately, self.finished = self.finished, 0

    def is_silent(self) -> bool:
        """Whether it has got nothing done lately of what it was given."""
        return self.under_way > 0 and not (self.lately or self.finished)

    def silent(self, now: datetime) -> PutOff:
        """What becomes of rows that are not even leased while it is silent."""
        due_at = self._after_silence(now)
        return PutOff(lambda attempts, arrived_at, warned: due_at)

    def _after_silence(self, now: datetime) -> datetime:
        """As long from now as it has been silent: so rows wait twice as long at most as they must."""
        return now + timedelta(seconds=min(max(self.silence, _LEAST_POSTPONEMENT), _MOST_POSTPONEMENT))

    def next_turn(self, now: datetime) -> datetime:
        """When a row that finds no room now should come again: one after the other, as fast as they are sent here;
        while it is silent all together, as nothing is known of its pace."""
        if self.is_silent():
            return self._after_silence(now)
        earliest = now + timedelta(seconds=_LEAST_POSTPONEMENT)
        latest = now + timedelta(seconds=_MOST_POSTPONEMENT)
        after = earliest if self.turn is None else self.turn + timedelta(seconds=self.pace)
        self.turn = min(max(after, earliest), latest)
        return self.turn


class Destinations:
    """The next hops with mail in hand, and those that were down lately; a bounded number."""

    def __init__(self) -> None:
        self._by_hop: dict[NextHop, Destination] = {}
        self._shut: dict[NextHop, Destination] = {}
        self._busy = 0

    def __iter__(self) -> Iterator[Destination]:
        return iter(tuple(self._by_hop.values()))

    @property
    def busy(self) -> int:
        """How many have mail in hand."""
        return self._busy

    def of(self, next_hop: NextHop) -> Destination:
        """The destination of that name, as it is remembered or new."""
        found = self._by_hop.get(next_hop)
        if found is None:
            if len(self._by_hop) >= _MOST_REMEMBERED:
                self._forget_idle()
            found = self._by_hop[next_hop] = Destination(next_hop)
        return found

    def hold(self, destination: Destination, rows: int) -> None:
        """So many more recipients are in hand."""
        self._busy += destination.held == 0
        destination.held += rows

    def let_go(self, destination: Destination, rows: int) -> bool:
        """So many fewer are in hand. Returns whether none is left."""
        destination.held -= rows
        if destination.held:
            return False
        self._busy -= 1
        if not destination.failures:
            self._by_hop.pop(destination.next_hop, None)
        return True

    def met(self, destination: Destination, row: QueueRow, now: datetime) -> None:
        """A row came for it; where it is shut, others by the same way need not be leased."""
        if len(destination.ways) < _MOST_WAYS and (destination.is_silent() or destination.is_paused(now)):
            destination.ways[row.way] = row
            self._shut[destination.next_hop] = destination

    async def later(
        self, router: IRouter, paused: Callable[[NextHop, Outcome], PutOff], now: datetime
    ) -> Mapping[Way, PutOff]:
        """By which ways mail need not be leased now, as all that comes by them is for hosts that are shut.

        @param paused: what becomes of mail for a next hop that could not be reached lately, and ended so.
        """
        later: dict[Way, PutOff] = {}
        for next_hop, destination in tuple(self._shut.items()):
            if destination.is_paused(now) and destination.last is not None:
                put_off = paused(next_hop, destination.last)
            elif destination.is_silent():
                put_off = destination.silent(now)
            else:
                destination.ways.clear()
                del self._shut[next_hop]
                continue
            for way, row in tuple(destination.ways.items()):
                # A corrected route applies to mail that is in the queue already.
                if await router.next_hop(row) == next_hop:
                    later[way] = put_off
                else:
                    del destination.ways[way]
        return later

    def status(self, now: datetime) -> Sequence[DestinationStatus]:
        """The destinations, the busiest first."""
        shown = [
            DestinationStatus(
                str(destination.next_hop),
                destination.held,
                destination.under_way,
                destination.paused_until if destination.is_paused(now) else None,
                words(destination.last) if destination.last is not None else "",
            )
            for destination in self
        ]
        return sorted(shown, key=lambda status: (-status.held, status.name))

    def lift_pauses(self) -> None:
        """Forget who was down."""
        self._shut.clear()
        for destination in self:
            destination.failures, destination.paused_until, destination.silence = 0, None, 0.0
            destination.ways.clear()
            if not destination.held:
                self._by_hop.pop(destination.next_hop, None)

    def _forget_idle(self) -> None:
        for destination in self:
            if not destination.held:
                del self._by_hop[destination.next_hop]

"""Counters that decay with time, one for each key, in a table of bounded size."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from twisted.internet.interfaces import IReactorTime

# Keys in one table: a table of networks of an attack by a large botnet takes about 15 MB.
MAX_KEYS: Final = 50_000
# Failures that are answered without a delay: people mistype.
_FREE: Final = 3
# Seconds by which the next failure is answered late, and the most. The delay doubles with each failure.
_FIRST_DELAY: Final = 0.5
_MAX_DELAY: Final = 4.0
# Doublings after which the delay is surely at its maximum. A power of a large count would overflow.
_MAX_DOUBLINGS: Final = 10
# Counts below this have no effect on a decision, and are dropped.
_NEGLIGIBLE: Final = 0.05

KeyT = TypeVar("KeyT", bound=Hashable)


class DecayingCounters(Generic[KeyT]):
    """Counts by key. A count loses half of itself in each half-life.

    The table keeps `most` keys. The key that was counted the longest time ago is dropped first.
    """

    def __init__(self, clock: IReactorTime, limit: float, half_life: float, most: int = MAX_KEYS) -> None:
        """
        @param limit: the count that a key may reach; infinity for none.
        @param half_life: in seconds.
        """
        self._clock = clock
        self.set_limit(limit, half_life)
        self._most = most
        # For each key its count, and when it had that count. The longest unchanged is first.
        self._counts: OrderedDict[KeyT, tuple[float, float]] = OrderedDict()

    def set_limit(self, limit: float, half_life: float) -> None:
        """Set the limit and the half-life, as the constructor does. The counts stay."""
        self._limit = limit
        self._half_life = half_life

    def __len__(self) -> int:
        return len(self._counts)

    def count(self, key: KeyT) -> float:
        """Return the count at this time; 0 for an unknown key."""
        entry = self._counts.get(key)
        return 0.0 if entry is None else self._decayed(*entry)

    def is_full(self, key: KeyT) -> bool:
        """Return whether one more would exceed the limit."""
        return self.count(key) + 1 > self._limit

    def add(self, key: KeyT, times: int = 1) -> None:
        """Count one more, or as many as given."""
        self._counts[key] = (self.count(key) + times, self._clock.seconds())
        self._counts.move_to_end(key)
        if len(self._counts) > self._most:
            self._counts.popitem(last=False)
        self._drop_negligible()

    def take_back(self, key: KeyT) -> None:
        """Undo one `add`."""
        left = self.count(key) - 1
        if left > _NEGLIGIBLE:
            self._counts[key] = (left, self._clock.seconds())
        else:
            self._counts.pop(key, None)

    def _decayed(self, count: float, since: float) -> float:
        decayed: float = count * 0.5 ** ((self._clock.seconds() - since) / self._half_life)
        return decayed

    def _drop_negligible(self) -> None:
        """Drop the stalest keys whose counts have decayed: at most two, so that one `add` stays cheap."""
        for _ in range(2):
            key, entry = next(iter(self._counts.items()))
            if self._decayed(*entry) > _NEGLIGIBLE:
                return
            del self._counts[key]


def growing_delay(count: float) -> float:
    """Return by how many seconds a failure is answered late.

    @param count: the count of failures, this one included.
    """
    return 0.0 if count <= _FREE else min(_MAX_DELAY, _FIRST_DELAY * 2 ** min(count - _FREE - 1, _MAX_DOUBLINGS))

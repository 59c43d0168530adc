"""Clock and random numbers of the queue runner, its interruptible waits, and the detection of clock jumps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

# Seconds by which the wall clock must change to count as a jump. Smaller corrections do no harm.
_LEAST_JUMP: Final = 60.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Clocks and random numbers of the queue.

    `clock` schedules calls and counts monotonic seconds. `now` returns the wall clock with its time zone. `draw`
    returns a new random number between 0 and 1 at each call.
    """

    clock: IReactorTime
    now: Callable[[], datetime]
    draw: Callable[[], float]


class ClockWatch:
    """Notices jumps of the wall clock: changes that the monotonic clock did not see."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._difference = self._measure()

    def _measure(self) -> float:
        return self._timing.now().timestamp() - self._timing.clock.seconds()

    def jump(self) -> float:
        """Return the seconds by which the wall clock jumped since the last call, 0.0 if it did not jump."""
        before, self._difference = self._difference, self._measure()
        jump = self._difference - before
        return jump if abs(jump) >= _LEAST_JUMP else 0.0


class Waits:
    """Waits that can be ended early."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._calls: dict[Deferred[None], IDelayedCall] = {}

    def begin(self, seconds: float) -> Deferred[None]:
        """Return a Deferred that fires after `seconds`, or earlier at `end`."""
        wait: Deferred[None] = Deferred()
        self._calls[wait] = self._clock.callLater(seconds, self.end, wait)
        return wait

    def end(self, wait: Deferred[None]) -> None:
        """Fire the Deferred now. Does nothing if it has already fired."""
        call = self._calls.pop(wait, None)
        if call is not None:
            if call.active():
                call.cancel()
            wait.callback(None)

    def end_all(self) -> None:
        """Fire the Deferreds of all waits."""
        for wait in tuple(self._calls):
            self.end(wait)

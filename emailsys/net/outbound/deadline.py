"""Deadline: one timer that is moved often, and rescheduled only when needed."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Deadline:
    """Calls `missed` at the time that was last `set`, never after `clear`."""

    __slots__ = ("_at", "_call", "_clock", "_missed")

    def __init__(self, clock: IReactorTime, missed: Callable[[], None]) -> None:
        self._clock = clock
        self._missed = missed
        self._at: float | None = None
        self._call: IDelayedCall | None = None

    def set(self, seconds: float) -> None:
        """Set the deadline to a number of seconds from now."""
        self._at = at = self._clock.seconds() + seconds
        call = self._call
        if call is None:
            self._call = self._clock.callLater(seconds, self._expire)
        elif call.getTime() > at:
            call.reset(seconds)

    def pause(self) -> None:
        """Suspend the deadline. The timer stays, because it is usually set again soon."""
        self._at = None

    def clear(self) -> None:
        """Cancel the deadline for good."""
        self._at = None
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def _expire(self) -> None:
        self._call = None
        if self._at is None:
            return
        left = self._at - self._clock.seconds()
        if left > 0:
            self._call = self._clock.callLater(left, self._expire)
        else:
            self._at = None
            self._missed()

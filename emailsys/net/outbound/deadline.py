"""One timer for a deadline that moves often: touched only when it would ring too late."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Deadline:
    """Calls `missed` when the moment that was last `set` comes; never after `clear`."""

    __slots__ = ("_at", "_call", "_clock", "_missed")

    def __init__(self, clock: IReactorTime, missed: Callable[[], None]) -> None:
        self._clock = clock
        self._missed = missed
        self._at: float | None = None
        self._call: IDelayedCall | None = None

    def set(self, seconds: float) -> None:
        """So many seconds from now, instead of what was set before."""
        self._at = at = self._clock.seconds() + seconds
        call = self._call
        if call is None:
            self._call = self._clock.callLater(seconds, self._ring)
        elif call.getTime() > at:
            call.reset(seconds)

    def pause(self) -> None:
        """Nothing is awaited for now; the timer stays, for it will soon be set again."""
        self._at = None

    def clear(self) -> None:
        """For good."""
        self._at = None
        call, self._call = self._call, None
        if call is not None and call.active():
            call.cancel()

    def _ring(self) -> None:
        self._call = None
        if self._at is None:
            return
        left = self._at - self._clock.seconds()
        if left > 0:
            self._call = self._clock.callLater(left, self._ring)
        else:
            self._at = None
            self._missed()

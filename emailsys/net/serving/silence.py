"""Time limit for the silence of a peer. Commands only note the time; the timer is moved when it comes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.protocols.policies import TimeoutMixin
from typing_extensions import override

# Seconds: a shorter rest is a rounding error.
_LEAST: Final = 0.001


class SilenceLimit(TimeoutMixin):
    """TimeoutMixin of a connection, with a call that is not moved by each command: that costs as much as parsing it.

    The call may therefore come too early. It is then scheduled for the rest of the time.
    """

    clock: IReactorTime

    # When the peer was heard last.
    _heard_at = 0.0
    # The seconds for which the call was scheduled; 0 if there is no call.
    _scheduled = 0.0

    def silence_ended(self) -> None:
        """End the connection, because the peer was silent for `timeOut` seconds."""

    @property
    def silent_for(self) -> float:
        """How many seconds the peer has been silent; 0 while its silence is not timed."""
        return 0.0 if self.timeOut is None else self.clock.seconds() - self._heard_at

    def allow_silence(self, seconds: float) -> None:
        """Set how many seconds the peer may be silent after the command in progress."""
        if seconds < self._scheduled:
            self._schedule(seconds)
        self.timeOut = seconds  # type: ignore[assignment]  # it takes any number

    def _schedule(self, seconds: float) -> None:
        self._scheduled = seconds
        super().setTimeout(seconds)

    @override
    def setTimeout(self, period: float | None) -> None:
        self._heard_at = self.clock.seconds()
        self._scheduled = period or 0.0
        super().setTimeout(period)

    @override
    def resetTimeout(self) -> None:
        self._heard_at = self.clock.seconds()

    @override
    def timeoutConnection(self) -> None:
        allowed, self._scheduled = self.timeOut, 0.0
        left = 0.0 if allowed is None else allowed - self.silent_for
        if left > _LEAST:
            self._schedule(left)
            self.timeOut = allowed
        else:
            self.silence_ended()

    @override
    def callLater(self, period: float, func: Callable[[], None]) -> IDelayedCall:
        return self.clock.callLater(period, func)

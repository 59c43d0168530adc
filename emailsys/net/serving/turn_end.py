"""End of the reactor's turn, when the connections served in that turn write their replies together."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import Interface

from emailsys.telemetry import Telemetry


class ITurns(Interface):
    """A reactor that tells when its turn ends."""

    def at_turn_end(call: Callable[[], None]) -> None:
        """Call a function once, after the events of this turn or before the next poll."""


class TurnEnd:
    """Calls functions at the end of the reactor's turn: after all events of one poll, before the next poll.

    If fifty clients are answered one by one between pieces of work, each reply wakes a process, which costs more than
    the reply itself. If all are answered in a row, the process is already awake. Measured with clients on the same
    machine, this saves a twelfth of the CPU time per message.
    """

    __slots__ = ("_at_turn_end", "_calls", "_telemetry")

    def __init__(self, clock: IReactorTime, telemetry: Telemetry) -> None:
        """@param telemetry: logs what the calls raise."""
        self._at_turn_end = clock.at_turn_end if ITurns.providedBy(clock) else partial(clock.callLater, 0)
        self._telemetry = telemetry
        self._calls: list[Callable[[], None]] = []

    def at_end(self, call: Callable[[], None]) -> None:
        """Call a function at the end of this turn, after those registered before it."""
        if not self._calls:
            self._at_turn_end(self._ended)
        self._calls.append(call)

    def _ended(self) -> None:
        calls, self._calls = self._calls, []
        for call in calls:
            try:
                call()
            except Exception:
                # A defect of one call must not stop the others.
                self._telemetry.exception("turn-end-exception", Failure())

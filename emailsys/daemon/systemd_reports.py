"""Reports of the daemon to systemd: ready, reloading, stopping, its condition, and that its reactor runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.task import LoopingCall

from emailsys.platforms.systemd import Systemd

# Seconds between two reports of the condition if there is no watchdog.
_REPORT_EVERY: Final = 10.0
# Reports in the time that the watchdog allows. sd_watchdog_enabled(3) recommends two.
_REPORTS_IN_TIME: Final = 3
_WELL: Final = "accepting mail"


class SystemdReports:
    """Sends reports while the reactor runs. A reactor that is stuck sends none, and systemd restarts the daemon.

    @param reactor: with time.
    @param problem: returns why no mail is accepted, None if it is.
    """

    def __init__(self, reactor: Any, manager: Systemd, problem: Callable[[], str | None]) -> None:
        self._manager = manager
        self._problem = problem
        self._told = ""
        self._calls = LoopingCall(self._report)
        self._calls.clock = reactor

    def start(self) -> None:
        """Report that the daemon serves, and go on with the reports."""
        if not self._manager.is_known:
            return
        self.ready()
        every = self._manager.watchdog / _REPORTS_IN_TIME if self._manager.watchdog else _REPORT_EVERY
        _ = self._calls.start(every)

    def reloading(self) -> None:
        """Report that a reload begins. `ready` ends it."""
        self._manager.reloading()

    def ready(self) -> None:
        """Report that the start or the reload is complete."""
        self._told = self._problem() or _WELL
        self._manager.ready(self._told)

    def stop(self, successor: int | None = None) -> None:
        """Report that the daemon stops, or that another process serves from now on."""
        if self._calls.running:
            self._calls.stop()
        if successor is None:
            self._manager.stopping()
        else:
            self._manager.hand_over(successor)

    def _report(self) -> None:
        if self._manager.watchdog:
            self._manager.alive()
        condition = self._problem() or _WELL
        if condition != self._told:
            self._told = condition
            self._manager.status(condition)

"""Regular check whether the daemon can accept mail, with a log event for each change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall

from emailsys.interfaces import StoreError
from emailsys.store.open import Store
from emailsys.telemetry import Telemetry

# Seconds between two checks whether mail can be accepted, and between two log lines about the same problem.
WATCH_EVERY: Final = 2.0
LOG_EVERY: Final = 600.0

# Instructions for an operator if files of the store were removed or replaced while the daemon uses them.
_UNTRUSTED: Final = (
    "The daemon reads and writes nothing there, and accepts no mail. Put the original file back, or stop the daemon, "
    "restore a backup and start it again"
)


class IntakeWatch:
    """Checks the store every WATCH_EVERY seconds.

    @param reactor: with time.
    @param look: looks for the store, and returns it, or why there is none.
    """

    def __init__(self, reactor: Any, telemetry: Telemetry, look: Callable[[], Store | str]) -> None:
        self._reactor = reactor
        self._telemetry = telemetry
        self._look = look
        #: Why no mail is accepted; None if all is well.
        self.problem: str | None = None
        #: Whether the files of the store cannot be trusted.
        self.is_untrusted = False
        # When the problem was last logged, on the reactor's clock.
        self._logged_at = 0.0
        self._calls = LoopingCall(self._check_logged)
        self._calls.clock = reactor

    def start(self) -> None:
        """Check now, and then regularly."""
        _ = self._calls.start(WATCH_EVERY)

    def stop(self) -> None:
        """Stop the checks. A second call does nothing."""
        if self._calls.running:
            self._calls.stop()

    def _check_logged(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.check()).addErrback(
            lambda failure: self._telemetry.exception("store-exception", failure)
        )

    async def check(self) -> None:
        """Check whether mail can be accepted. Log a problem at once, then every LOG_EVERY seconds."""
        problem: str | None = None
        store = self._look()
        untrusted = None if isinstance(store, str) else store.database.why_untrusted()
        self.is_untrusted = untrusted is not None
        if isinstance(store, str):
            problem = store
        elif untrusted is not None:
            problem = f"{untrusted}. {_UNTRUSTED}"
        else:
            try:
                await store.directory.default_domain()
            except StoreError as error:
                problem = str(error)
        before, self.problem = self.problem, problem
        if problem is None:
            if before is not None:
                self._telemetry.event("intake-resumed")
        elif before is None or self._reactor.seconds() - self._logged_at >= LOG_EVERY:
            self._logged_at = self._reactor.seconds()
            self._telemetry.alarm("intake-suspended", why=problem)

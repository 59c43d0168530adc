"""Base class of periodic maintenance tasks: short steps with pauses, and a rest when nothing is left to do."""

from __future__ import annotations

from abc import ABC, abstractmethod

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from emailsys.interfaces import StoreError
from emailsys.store.commit.database import DelayedCall, Reactor
from emailsys.telemetry import Telemetry


class MaintenanceTask(ABC):
    """A periodic maintenance task. Runs one step at a time, after `start()` is called."""

    def __init__(self, name: str, reactor: Reactor, telemetry: Telemetry, pause: float, rest: float) -> None:
        """
        @param name: prefix of the log events about failed steps.
        @param pause: seconds between two steps while there is more to do.
        @param rest: seconds until the next step when there is nothing to do.
        """
        self._name = name
        self._reactor = reactor
        self._telemetry = telemetry
        self._pause = pause
        self._rest = rest
        self._next: DelayedCall | None = None
        self._resting = False
        self._stepping: Deferred[None] | None = None
        self._stopped = True

    @abstractmethod
    async def step(self) -> bool:
        """Do one step. Returns whether there is more to do.

        @raise StoreError: the step failed. It is tried again after a rest.
        """

    def start(self) -> None:
        """Schedule the first step."""
        self._stopped = False
        self._later(self._pause)

    def stop(self) -> None:
        """Begin no further steps."""
        self._stopped = True
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def wake(self) -> None:
        """End the rest, because there may be something to do."""
        # A pause is not restarted. Otherwise frequent calls would postpone the next step forever.
        if self._resting and self._next is not None:
            self._next.cancel()
            self._later(self._pause)

    def _later(self, seconds: float) -> None:
        self._resting = seconds > self._pause
        self._next = self._reactor.callLater(seconds, self._begin)

    def _begin(self) -> None:
        self._next = None
        self._resting = False
        self._stepping = Deferred.fromCoroutine(self.step()).addErrback(self._failed).addCallback(self._stepped)

    def _failed(self, failure: Failure) -> bool:
        if failure.check(StoreError):
            self._telemetry.event(f"{self._name}-postponed", error=failure.getErrorMessage())
        else:
            self._telemetry.exception(f"{self._name}-exception", failure)
        return False

    def _stepped(self, more: bool) -> None:
        if not self._stopped:
            self._later(self._pause if more else self._rest)

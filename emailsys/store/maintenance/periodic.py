"""Work in short steps beside the mail: a step, a pause that belongs to the mail, a rest when nothing is left to do."""

from __future__ import annotations

from abc import ABC, abstractmethod

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from emailsys.interfaces import StoreError
from emailsys.store.commit.database import DelayedCall, Reactor
from emailsys.telemetry import Telemetry


class MaintenanceTask(ABC):
    """Something that has to be done now and then. One step is under way at a time, none before `start`."""

    def __init__(self, name: str, reactor: Reactor, telemetry: Telemetry, pause: float, rest: float) -> None:
        """
        @param name: in the log, where a step fails.
        @param pause: seconds between two steps while there is more to do.
        @param rest: seconds until the next look when there is not.
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
        """Do some of it; whether there is more.

        @raise StoreError: not now; it is tried again after a rest.
        """

    def start(self) -> None:
        """Work from now on."""
        self._stopped = False
        self._later(self._pause)

    def stop(self) -> None:
        """No further step is begun."""
        self._stopped = True
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def wake(self) -> None:
        """There may be something to do: rest no longer."""
        # A pause that has begun is not begun anew: who is woken a thousand times a second would never work.
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
            self._telemetry.event(f"{self._name}-put-off", error=failure.getErrorMessage())
        else:
            self._telemetry.exception(self._name, failure)
        return False

    def _stepped(self, more: bool) -> None:
        if not self._stopped:
            self._later(self._pause if more else self._rest)

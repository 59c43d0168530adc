"""Graceful end of sessions: idle ones at once, the others when their command is done or their time is up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from twisted.internet.task import deferLater

_DRAIN_POLL: Final = 0.05
# Seconds in which clients whose message is interrupted can read the 421.
_LAST_REPLY_SECONDS: Final = 2.0
# Seconds that clients may go on after another process has taken over, and the silence after which one does not.
_FINISH_SECONDS: Final = 20.0
_SILENCE: Final = 2.0


class Drainable(Protocol):
    """A factory whose sessions can be ended."""

    sessions: Any

    def drain(self) -> int:
        """Close idle sessions; return how many sessions are left."""

    def interrupt(self) -> int:
        """Close sessions that receive a message, too; return how many sessions are left."""


class SessionEndings:
    """Counts the sessions of servers, and ends them.

    @param reactor: with time.
    @param factories: the servers, by service. More may be added.
    """

    def __init__(self, reactor: Any, factories: dict[str, Drainable]) -> None:
        self._reactor = reactor
        self.factories = factories

    def count(self) -> dict[str, int]:
        """Return the number of sessions of each service."""
        return {name: len(factory.sessions) for name, factory in self.factories.items()}

    async def _finish(self, patience: float) -> float:
        """Let clients go on, and end idle sessions whenever all clients have been silent for a moment.

        No client waits for these sessions, because another process serves. Returns when no session is left, when all
        have been silent for `patience` seconds, or after _FINISH_SECONDS.

        @return: what is left of these seconds.
        """
        began = self._reactor.seconds()
        silence = 0.0
        while self._reactor.seconds() < began + _FINISH_SECONDS:
            if self._silence(began) >= _SILENCE:
                # What clients have said while this process got no CPU is read in one turn of the reactor.
                await deferLater(self._reactor, 0)
            silence = self._silence(began)
            if silence >= _SILENCE:
                _ = self._drain()
            if silence >= patience or not any(factory.sessions for factory in self.factories.values()):
                break
            await deferLater(self._reactor, _DRAIN_POLL)
        return max(0.0, patience - silence)

    def _silence(self, began: float) -> float:
        """Return how many seconds the client that was heard last has been silent. Sessions that end do not count.

        The other process may have taken long to start: the silence before `began` does not count, either.
        """
        connections = (session.connection for factory in self.factories.values() for session in factory.sessions)
        silences = (getattr(one, "silent_for", math.inf) for one in connections if not getattr(one, "closing", False))
        since: float = self._reactor.seconds() - began
        return min([since, *silences])

    def _drain(self) -> list[int]:
        return [factory.drain() for factory in dict.fromkeys(self.factories.values())]

    async def end(self, patience: float, is_succeeded: bool = False) -> int:
        """Close idle sessions with 421 or -ERR, and the others after `patience` seconds; return how many.

        A message under way gets 421, too. What is still left two seconds later is aborted.

        @param is_succeeded: whether another process serves already, so that clients may finish first.
        """
        if is_succeeded:
            patience = await self._finish(patience)
        left = await self._until_ended(self._drain, patience)
        factories = tuple(dict.fromkeys(self.factories.values()))
        if left:
            _ = await self._until_ended(lambda: [factory.interrupt() for factory in factories], _LAST_REPLY_SECONDS)
        for factory in factories:
            for session in tuple(factory.sessions):
                session.connection.abort()
        return left

    async def _until_ended(self, step: Callable[[], Sequence[int]], patience: float) -> int:
        """Repeat a step until no session is left, for `patience` seconds; return how many are left."""
        deadline = self._reactor.seconds() + patience
        while (left := sum(step())) and self._reactor.seconds() < deadline:
            await deferLater(self._reactor, _DRAIN_POLL)
        return left

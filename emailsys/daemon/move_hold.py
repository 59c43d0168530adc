"""What the daemon does for the last step of a move: a successor waits, and no mail is delivered."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from emailsys.daemon.outbound import Outbound
from emailsys.daemon.succession import Succession
from emailsys.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Held:
    """The answer to a request to prepare.

    @ivar config: the configuration that the daemon reads; None if it has none.
    @ivar problem: why nothing was prepared.
    """

    config: Path | None
    problem: str | None

    @property
    def is_done(self) -> bool:
        """Whether everything is prepared."""
        return self.problem is None

    def as_json(self) -> Mapping[str, Any]:
        """Return the answer of the command."""
        config = None if self.config is None else str(self.config)
        return {"pid": os.getpid(), "config": config, "problem": self.problem}


class MoveHold:
    """Prepares for the last step of a move, and ends that by itself if the move does not go on.

    @param reactor: with time.
    @param outbound: returns outbound delivery, or None while there is no store.
    """

    def __init__(
        self,
        reactor: Any,
        telemetry: Telemetry,
        succession: Succession,
        config: Path | None,
        outbound: Callable[[], Outbound | None],
    ) -> None:
        self._reactor = reactor
        self._telemetry = telemetry
        self._succession = succession
        self._config = config
        self._outbound = outbound
        self._end_call: IDelayedCall | None = None

    async def begin(self, seconds: float) -> Held:
        """Prepare for a number of seconds. With 0, return to normal."""
        if self._end_call is not None and self._end_call.active():
            self._end_call.cancel()
        outbound = self._outbound()
        if not seconds or outbound is None:
            await self._end()
            return Held(self._config, None if outbound is not None else "the daemon has no store")
        problem = await self._succession.hold()
        if problem is None:
            await outbound.runner.pause()
            self._end_call = self._reactor.callLater(seconds, self._give_up)
        return Held(self._config, problem)

    def _give_up(self) -> None:
        ended = Deferred.fromCoroutine(self._end())
        _ = ended.addErrback(lambda failure: self._telemetry.exception("move-hold-exception", failure))

    async def _end(self) -> None:
        if (outbound := self._outbound()) is not None:
            outbound.runner.resume()
        await self._succession.release()

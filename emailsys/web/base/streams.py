"""Answers in pieces, sent as fast as the browser reads them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from zope.interface import implementer

# Seconds after which a browser that reads nothing of its answer is cut off.
_STALLED: Final = 60.0
# Octets of one piece of an answer that is in memory.
_PIECE: Final = 64 * 1024


@implementer(IPushProducer)
class _Pace:
    """Tells when the connection takes more octets, and when it is gone."""

    def __init__(self, clock: IReactorTime, abort: Callable[[], object]) -> None:
        self.is_gone = False
        self._clock, self._abort = clock, abort
        self._waiting: Deferred[None] | None = None
        self._is_paused = False

    async def ready(self) -> None:
        """Return when more may be written, or the connection is gone."""
        if self._is_paused and not self.is_gone:
            self._waiting = Deferred()
            call = self._clock.callLater(_STALLED, self._abort)
            await self._waiting
            if call.active():
                call.cancel()

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def pauseProducing(self) -> None:
        self._is_paused = True

    def resumeProducing(self) -> None:
        self._is_paused = False
        self._wake()

    def stopProducing(self) -> None:
        self.is_gone = True
        self._wake()


async def cut(octets: bytes) -> AsyncIterator[bytes]:
    """Yield octets in pieces."""
    for start in range(0, len(octets), _PIECE):
        yield octets[start : start + _PIECE]


async def send_pieces(request: Any, pieces: AsyncIterator[bytes], clock: IReactorTime) -> None:
    """Write the pieces. Returns at their end, or when the browser has gone. What the iterator raises is passed on.

    A browser that reads nothing for a minute is cut off.
    """
    channel = request.channel
    pace = _Pace(clock, lambda: channel.transport.abortConnection())
    request.registerProducer(pace, True)
    try:
        async for piece in pieces:
            await pace.ready()
            if pace.is_gone or request.channel is None:
                return
            request.write(piece)
    finally:
        # A request whose connection is lost has no channel any more.
        if request.channel is not None:
            request.unregisterProducer()

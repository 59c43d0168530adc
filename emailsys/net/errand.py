"""One transmission that waits for its outcomes, with the beginning of its body read ahead."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from emailsys.mail.transmission import Outcome, Transmission
from emailsys.net.eager import begin


class Holder(Protocol):
    """Who has an errand: a queue of them, or a connection."""

    def drop(self, errand: Errand) -> None:
        """Nobody wants it done any more: forget it, and send nothing more of it."""


async def _close(pieces: AsyncIterator[bytes]) -> None:
    close = getattr(pieces, "aclose", None)
    if close is not None:
        await close()


class Errand:
    """A transmission on its way. `done` fires once, with an outcome for each recipient."""

    __slots__ = ("_pieces", "done", "failure", "first", "holder", "loaded", "returned", "second", "transmission")

    def __init__(self, transmission: Transmission, holder: Holder) -> None:
        self.transmission = transmission
        self.holder = holder
        self.done: Deferred[Sequence[Outcome]] = Deferred(self._cancelled)
        #: A connection gave it back unused; it gets one more.
        self.returned = False
        self._forget()

    def _forget(self) -> None:
        self._pieces: AsyncIterator[bytes] | None = None
        self.loaded = False
        self.first = b""
        #: None where the first piece is the whole body.
        self.second: bytes | None = None
        self.failure: Failure | None = None

    def _cancelled(self, done: Deferred[Sequence[Outcome]]) -> None:
        done.errback(CancelledError())
        self.holder.drop(self)

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Tell who waits."""
        self.close()
        if not self.done.called:
            self.done.callback(outcomes)

    def load(self, then: Callable[[Errand], None]) -> None:
        """Read the first two pieces, which tells whether there is more than one, and call `then`."""
        rest = begin(self._load())
        if rest is None:
            then(self)
            return
        _ = Deferred.fromCoroutine(rest).addBoth(lambda _: then(self))

    async def _load(self) -> None:
        try:
            self._pieces = pieces = self.transmission.pieces()
            self.first = await anext(pieces, b"")
            self.second = await anext(pieces, None)
        except Exception:
            self.failure = Failure()
        self.loaded = True

    async def pieces(self) -> AsyncIterator[bytes]:
        """All of the body."""
        yield self.first
        if self.second is None:
            return
        yield self.second
        assert self._pieces is not None
        async for piece in self._pieces:
            yield piece

    def close(self) -> None:
        """Read no more; it may be loaded anew."""
        pieces = self._pieces
        whole = self.loaded and self.second is None
        self._forget()
        if pieces is not None and not whole:
            rest = begin(_close(pieces))
            if rest is not None:
                _ = Deferred.fromCoroutine(rest).addErrback(lambda _: None)

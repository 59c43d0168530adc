"""One transmission that waits for its outcomes, with the beginning of its body read ahead."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import suppress
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
        # Where it is being read, whoever reads it closes it.
        with suppress(RuntimeError):
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

    @property
    def why_not_loaded(self) -> str:
        """What kept the store from giving the body, in parentheses; "" where nothing did."""
        return "" if self.failure is None else f" ({type(self.failure.value).__name__})"

    def _cancelled(self, done: Deferred[Sequence[Outcome]]) -> None:
        done.errback(CancelledError())
        self.holder.drop(self)

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Tell who waits."""
        self.close()
        if not self.done.called:
            self.done.callback(outcomes)

    def load(self, then: Callable[[Errand], None]) -> None:
        """Read the first two pieces, which tells whether there is more than one, and call `then`; unless it is closed
        before."""
        _ = begin(self._load(then))

    async def _load(self, then: Callable[[Errand], None]) -> None:
        self._pieces = pieces = self.transmission.pieces()
        first, second, failure = b"", None, None
        try:
            # Not anext with a default: what it returns cannot be sent a Deferred's result (Python 3.11, 3.12).
            first = await pieces.__anext__()
            second = await pieces.__anext__()
        except StopAsyncIteration:
            pass
        except Exception:
            failure = Failure()
        if self._pieces is not pieces:
            # It was given back while the store was slow, and may be loaded anew by now.
            await _close(pieces)
            return
        self.first, self.second, self.failure, self.loaded = first, second, failure, True
        then(self)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """All of the body; loaded before."""
        yield self.first
        rest = self._pieces
        if self.second is None or rest is None:
            return
        yield self.second
        try:
            async for piece in rest:
                yield piece
        finally:
            await _close(rest)

    def close(self) -> None:
        """Read no more; it may be loaded anew."""
        pieces, is_open = self._pieces, self.loaded and self.second is not None
        self._forget()
        if pieces is not None and is_open:
            rest = begin(_close(pieces))
            if rest is not None:
                _ = rest.addErrback(lambda _: None)

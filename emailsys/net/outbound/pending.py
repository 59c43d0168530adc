"""Pending transmissions, with the beginning of each body read ahead."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from emailsys.interfaces import StoreDamaged
from emailsys.mail.reply import MESSAGE_DAMAGED, Reply
from emailsys.mail.transmission import Outcome, OutcomeKind, Transmission, close_pieces
from emailsys.net.base.coroutines import begin

# The outcome for a message whose stored body is damaged.
_HELD: Final = Outcome(OutcomeKind.DELAYED, MESSAGE_DAMAGED, hold=True)


class PendingTransmission:
    """A pending transmission. `done` fires once, with an outcome for each recipient."""

    __slots__ = ("_dropped", "_pieces", "done", "failure", "first", "loaded", "returned", "second", "transmission")

    def __init__(self, transmission: Transmission, dropped: Callable[[PendingTransmission], None]) -> None:
        """@param dropped: called when `done` is cancelled: send no more of the transmission."""
        self.transmission = transmission
        self._dropped = dropped
        self.done: Deferred[Sequence[Outcome]] = Deferred(self._cancelled)
        #: Whether a connection gave it back unused. It is tried once more.
        self.returned = False
        self._forget()

    def _forget(self) -> None:
        self._pieces: AsyncIterator[bytes] | None = None
        self.loaded = False
        self.first = b""
        #: None if the first piece is the whole body.
        self.second: bytes | None = None
        self.failure: Failure | None = None

    def _cancelled(self, done: Deferred[Sequence[Outcome]]) -> None:
        done.errback(CancelledError())
        self._dropped(self)

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Fire `done`. If the body is damaged, the message is held, except for recipients that were rejected."""
        if self.failure is not None and self.failure.check(StoreDamaged):
            outcomes = [_HELD if outcome.kind is OutcomeKind.DELAYED else outcome for outcome in outcomes]
        self.close()
        if not self.done.called:
            self.done.callback(outcomes)

    def settle_alike(self, outcome: Outcome) -> None:
        """Settle with the same outcome for each recipient."""
        self.settle([outcome] * len(self.transmission.recipients))

    def load(self, then: Callable[[PendingTransmission], None]) -> None:
        """Read the first two pieces, to know whether there is more than one, and call `then`.

        `then` is not called if the transmission is closed before.
        """
        _ = begin(self._load(then))

    async def _load(self, then: Callable[[PendingTransmission], None]) -> None:
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
            # The transmission was given back while the store was slow, and may already be loading again.
            await close_pieces(pieces)
            return
        self.first, self.second, self.failure, self.loaded = first, second, failure, True
        then(self)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the whole body, after `load`."""
        yield self.first
        rest = self._pieces
        if self.second is None or rest is None:
            return
        yield self.second
        try:
            async for piece in rest:
                yield piece
        finally:
            await close_pieces(rest)

    def close(self) -> None:
        """Stop reading the body. It can be loaded again."""
        pieces, is_open = self._pieces, self.loaded and self.second is not None
        self._forget()
        if pieces is not None and is_open:
            rest = begin(close_pieces(pieces))
            if rest is not None:
                _ = rest.addErrback(lambda _: None)


class PendingTransmissions:
    """The transmissions of one connection: those under way, and the next one, whose body is being read."""

    def __init__(self, most: int, ready: Callable[[], None]) -> None:
        """
        @param most: how many may begin.
        @param ready: called when the next one is loaded, or could not be.
        """
        #: How many may still begin.
        self.left = most
        self.next: PendingTransmission | None = None
        self._ready = ready
        self._under_way: dict[int, PendingTransmission] = {}

    @property
    def are_under_way(self) -> bool:
        """Whether one has begun that has no outcomes yet."""
        return bool(self._under_way)

    def reserve(self, pending: PendingTransmission) -> None:
        """Make it the next one, and read its body."""
        self.next = pending
        pending.load(self._loaded)

    def _loaded(self, pending: PendingTransmission) -> None:
        failure = pending.failure
        if failure is not None:
            self.next = None
            why = type(failure.value).__name__
            reply = Reply(451, "4.3.0", f"the message could not be read here ({why})")
            pending.settle_alike(Outcome(OutcomeKind.DELAYED, reply))
        self._ready()

    def begin(self) -> PendingTransmission:
        """Returns the next one, which is loaded. It is under way from now on."""
        pending, self.next = self.next, None
        assert pending is not None
        self.left -= 1
        self._under_way[id(pending.transmission)] = pending
        return pending

    def of(self, transmission: Transmission) -> PendingTransmission:
        """Returns the one under way that has that transmission."""
        return self._under_way[id(transmission)]

    def end(self, transmission: Transmission) -> PendingTransmission:
        """Returns it likewise. It is no longer under way."""
        return self._under_way.pop(id(transmission))

    def has_begun(self, pending: PendingTransmission) -> bool:
        """Whether it is under way."""
        return id(pending.transmission) in self._under_way

    def take_back_next(self) -> PendingTransmission | None:
        """Returns the next one, closed, to be done by another connection. None if there is none."""
        pending, self.next = self.next, None
        if pending is not None:
            pending.close()
        return pending

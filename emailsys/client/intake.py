"""Messages on their way from a server to the disk: a few batches at once, each synced, named and recorded as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from emailsys.client.threads import InThread

Outcome = TypeVar("Outcome")

# Octets that wait to be kept before reading pauses, and when it goes on.
_FULL: Final = 16 * 1024 * 1024
_HALF_EMPTY: Final = 4 * 1024 * 1024
# A batch is one list of open files and one transaction of the index.
_MAX_BATCH: Final = 250
# So many batches at once: while the disk syncs one, the next is read and written. More only wait for each other.
_AT_ONCE: Final = 2
# Messages that are worth a batch of their own while others are being kept.
_ENOUGH: Final = 50
_MAX_BATCH_OCTETS: Final = 32 * 1024 * 1024


@dataclass(slots=True)
class Arriving:
    """A message that is being read from a server."""

    number: int
    uid: str
    pieces: list[bytes] = field(default_factory=list, repr=False)
    octets: int = 0

    def take(self, piece: bytes) -> None:
        """The next octets."""
        self.pieces.append(piece)
        self.octets += len(piece)

    def whole(self) -> bytes:
        """All of it."""
        if len(self.pieces) != 1:
            self.pieces = [b"".join(self.pieces)]
        return self.pieces[0]


#: Keeps messages and records them, in a thread, beside others; returns their keys when all is on disk.
Keep = Callable[[Sequence[Arriving]], Sequence[str]]


@dataclass(slots=True, eq=False)
class _Batch:
    """Messages that are being kept; they are, once there are keys."""

    arrived: Sequence[Arriving]
    keys: Sequence[str] | None = None


class Intake:
    """A queue before the disk. While batches are kept, the next one gathers."""

    def __init__(
        self,
        in_thread: InThread,
        keep: Keep,
        kept: Callable[[Sequence[Arriving], Sequence[str]], None],
        failed: Callable[[Failure], None],
        pause: Callable[[], None],
        resume: Callable[[], None],
    ) -> None:
        """
        @param kept: told of each batch that is on disk, in the order in which the messages came.
        @param failed: told once, when a batch cannot be kept; nothing more is kept then.
        @param pause: stop reading from the server; `resume` goes on.
        """
        self._in_thread = in_thread
        self._keep = keep
        self._kept = kept
        self._failed = failed
        self._pause = pause
        self._resume = resume
        self._waiting: list[Arriving] = []
        self._octets = 0
        self._batches: list[_Batch] = []
        self._busy = 0
        self._paused = False
        self._idle: list[Deferred[None]] = []
        #: Why nothing more is kept.
        self.failure: Failure | None = None

    def add(self, arrived: Arriving) -> None:
        """Keep a message that is complete."""
        if self.failure is not None:
            return
        self._waiting.append(arrived)
        self._octets += arrived.octets
        if self._octets > _FULL and not self._paused:
            self._paused = True
            self._pause()
        self._start()

    def give_up(self) -> None:
        """Drop what waits; what is being kept is kept."""
        self._octets -= sum(arrived.octets for arrived in self._waiting)
        self._waiting = []

    async def drained(self) -> None:
        """Wait until all is kept, or cannot be."""
        if self._busy:
            idle: Deferred[None] = Deferred()
            self._idle.append(idle)
            await idle

    def when_idle(self, call: Callable[[], None]) -> None:
        """Call that when nothing is being kept any more; at once if nothing is."""
        if not self._busy:
            call()
            return
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        _ = idle.addCallback(lambda _: call())

    def _start(self) -> None:
        while self._waiting and (not self._busy or (len(self._waiting) >= _ENOUGH and self._busy < _AT_ONCE)):
            self._begin(_Batch(self._next()))

    def _next(self) -> list[Arriving]:
        batch: list[Arriving] = []
        octets = 0
        for arrived in self._waiting[:_MAX_BATCH]:
            batch.append(arrived)
            octets += arrived.octets
            if octets >= _MAX_BATCH_OCTETS:
                break
        del self._waiting[: len(batch)]
        return batch

    def _begin(self, batch: _Batch) -> None:
        self._busy += 1
        self._batches.append(batch)
        done = self._in_thread(lambda: self._keep(batch.arrived))
        _ = done.addBoth(self._ended)
        _ = done.addCallback(lambda keys: self._batch_kept(batch, keys))
        _ = done.addErrback(lambda failure: self._batch_failed(batch, failure))
        _ = done.addBoth(lambda _: self._tell_idle())

    def _ended(self, outcome: Outcome) -> Outcome:
        self._busy -= 1
        return outcome

    def _batch_kept(self, batch: _Batch, keys: Sequence[str]) -> None:
        batch.keys = keys
        self._octets -= sum(arrived.octets for arrived in batch.arrived)
        for arrived in batch.arrived:
            arrived.pieces = []
        self._tell_kept()
        if self._paused and self._octets < _HALF_EMPTY:
            self._paused = False
            self._resume()
        self._start()

    def _tell_kept(self) -> None:
        while self._batches and (keys := self._batches[0].keys) is not None:
            self._kept(self._batches.pop(0).arrived, keys)

    def _batch_failed(self, batch: _Batch, failure: Failure) -> None:
        if batch in self._batches:
            self._batches.remove(batch)
            self._tell_kept()
        self.give_up()
        if self.failure is None:
            self.failure = failure
            self._failed(failure)

    def _tell_idle(self) -> None:
        if not self._busy:
            idle, self._idle = self._idle, []
            for one in idle:
                one.callback(None)

"""Messages on their way from a server to the disk: those that come while others are synced go together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from emailsys.client.threads import InThread

# Octets that wait to be kept before reading pauses, and when it goes on.
_FULL: Final = 16 * 1024 * 1024
_HALF_EMPTY: Final = 4 * 1024 * 1024
# A batch is one list of open files and one transaction of the index.
_MAX_BATCH: Final = 250
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


#: Keeps messages and records them, in a thread; returns their keys when all is on disk.
Keep = Callable[[Sequence[Arriving]], Sequence[str]]


class Intake:
    """A queue before the disk. While one batch is kept, the next one gathers."""

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
        @param kept: told of each batch that is on disk.
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
        self._busy = False
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
        if not self._busy:
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
        batch: list[Arriving] = []
        octets = 0
        for arrived in self._waiting[:_MAX_BATCH]:
            batch.append(arrived)
            octets += arrived.octets
            if octets >= _MAX_BATCH_OCTETS:
                break
        del self._waiting[: len(batch)]
        self._busy = True
        done = self._in_thread(lambda: self._keep(batch))
        _ = done.addCallbacks(lambda keys: self._batch_kept(batch, keys), self._batch_failed)
        _ = done.addErrback(self._batch_failed)

    def _batch_kept(self, batch: Sequence[Arriving], keys: Sequence[str]) -> None:
        self._octets -= sum(arrived.octets for arrived in batch)
        for arrived in batch:
            arrived.pieces = []
        self._busy = False
        self._kept(batch, keys)
        if self._paused and self._octets < _HALF_EMPTY:
            self._paused = False
            self._resume()
        if self._waiting and not self._busy:
            self._start()
        self._tell_idle()

    def _batch_failed(self, failure: Failure) -> None:
        self._busy = False
        self.give_up()
        if self.failure is None:
            self.failure = failure
            self._failed(failure)
        self._tell_idle()

    def _tell_idle(self) -> None:
        if not self._busy:
            idle, self._idle = self._idle, []
            for one in idle:
                one.callback(None)

"""Messages on their way from a server to the disk: a few batches at once, each synced, named and recorded as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Condition, Thread
from typing import Final

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
class IncomingMessage:
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
Keep = Callable[[Sequence[IncomingMessage]], Sequence[str]]


@dataclass(slots=True, eq=False)
class _Batch:
    """Messages that are being kept; they are, once there are keys."""

    arrived: Sequence[IncomingMessage]
    keys: Sequence[str] | None = None


def in_a_thread(work: Callable[[], None]) -> None:
    """Let it go on beside this."""
    Thread(target=work, name="keep").start()


class BatchQueue:
    """A queue before the disk. While batches are kept in threads, the next one gathers. Close it at the end."""

    def __init__(
        self,
        keep: Keep,
        kept: Callable[[Sequence[IncomingMessage], Sequence[str]], None],
        begin: Callable[[Callable[[], None]], None] = in_a_thread,
    ) -> None:
        """
        @param kept: told of each batch that is on disk, in the order in which the messages came, by any thread but
            by one at a time.
        @param begin: lets work go on beside this.
        """
        self._keep = keep
        self._kept = kept
        self._changed = Condition()
        self._begin = begin
        self._waiting: list[IncomingMessage] = []
        self._octets = 0
        self._batches: list[_Batch] = []
        self._busy = 0
        self._failure: BaseException | None = None

    def add(self, arrived: IncomingMessage) -> None:
        """Keep a message that is complete; waits while many octets wait.

        @raise Exception: what `keep` raised for an earlier one; nothing more is kept.
        """
        with self._changed:
            self._complain()
            self._waiting.append(arrived)
            self._octets += arrived.octets
            self._start()
            if self._octets > _FULL:
                self._changed.wait_for(lambda: self._failure is not None or self._octets < _HALF_EMPTY)
                self._complain()

    def drain(self) -> None:
        """Wait until all is kept. @raise Exception: what `keep` raised; what it had kept before is told."""
        with self._changed:
            self._changed.wait_for(lambda: not self._busy)
            self._complain()

    def close(self) -> None:
        """Drop what waits, and wait until nothing is being kept any more. May be called twice."""
        with self._changed:
            self._waiting.clear()
            self._changed.wait_for(lambda: not self._busy)

    def _complain(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _start(self) -> None:
        while self._waiting and (not self._busy or (len(self._waiting) >= _ENOUGH and self._busy < _AT_ONCE)):
            self._busy += 1
            batch = _Batch(self._next())
            self._batches.append(batch)
            self._begin(partial(self._work, batch))

    def _next(self) -> list[IncomingMessage]:
        batch: list[IncomingMessage] = []
        octets = 0
        for arrived in self._waiting[:_MAX_BATCH]:
            batch.append(arrived)
            octets += arrived.octets
            if octets >= _MAX_BATCH_OCTETS:
                break
        del self._waiting[: len(batch)]
        return batch

    def _work(self, batch: _Batch) -> None:
        try:
            keys = self._keep(batch.arrived)
        except BaseException as error:
            with self._changed:
                self._batches.remove(batch)
                self._waiting.clear()
                self._failure = self._failure or error
                self._ended()
            return
        with self._changed:
            batch.keys = keys
            self._octets -= sum(arrived.octets for arrived in batch.arrived)
            for arrived in batch.arrived:
                arrived.pieces = []
            self._ended()

    def _ended(self) -> None:
        while self._batches and (keys := self._batches[0].keys) is not None:
            self._kept(self._batches.pop(0).arrived, keys)
        self._busy -= 1
        self._start()
        self._changed.notify_all()

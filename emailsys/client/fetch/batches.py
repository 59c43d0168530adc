"""Queue between server and disk: collects messages in batches, and stores two batches at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Condition, Thread
from typing import Final

# Reading pauses above the first number of queued octets, and continues below the second.
_PAUSE_ABOVE: Final = 16 * 1024 * 1024
_RESUME_BELOW: Final = 4 * 1024 * 1024
# Messages in a batch, which is one list of open files and one transaction of the index.
_MAX_BATCH: Final = 250
# Concurrent batches: while the disk syncs one, the next is read and written. More would wait for each other.
_MAX_CONCURRENT: Final = 2
# Minimum size of a second concurrent batch.
_MIN_CONCURRENT: Final = 50
_MAX_BATCH_OCTETS: Final = 32 * 1024 * 1024


@dataclass(slots=True)
class IncomingMessage:
    """A message that is being received from a server."""

    number: int
    uid: str
    pieces: list[bytes] = field(default_factory=list, repr=False)
    octets: int = 0

    def append(self, piece: bytes) -> None:
        """Append octets."""
        self.pieces.append(piece)
        self.octets += len(piece)

    def whole(self) -> bytes:
        """Return the whole message."""
        if len(self.pieces) != 1:
            self.pieces = [b"".join(self.pieces)]
        return self.pieces[0]


#: Stores messages and records their ids. Runs in several threads; returns the keys once all is on disk.
Store = Callable[[Sequence[IncomingMessage]], Sequence[str]]


@dataclass(slots=True, eq=False)
class _Batch:
    """Messages that are being stored. `keys` is set when they are on disk."""

    arrived: Sequence[IncomingMessage]
    keys: Sequence[str] | None = None


def start_thread(work: Callable[[], None]) -> None:
    """Run work in a new thread."""
    Thread(target=work, name="store").start()


class BatchQueue:
    """A queue of received messages. Threads store batches while the next batch is received. Close it at the end."""

    def __init__(
        self,
        store: Store,
        stored: Callable[[Sequence[IncomingMessage], Sequence[str]], None],
        begin: Callable[[Callable[[], None]], None] = start_thread,
    ) -> None:
        """
        @param stored: called after each stored batch, in order of the messages, by one thread at a time.
        @param begin: starts work in a thread.
        """
        self._store = store
        self._stored = stored
        self._changed = Condition()
        self._begin = begin
        self._waiting: list[IncomingMessage] = []
        self._octets = 0
        self._batches: list[_Batch] = []
        self._busy = 0
        self._failure: BaseException | None = None

    def add(self, arrived: IncomingMessage) -> None:
        """Queue a complete message. Block while the queue is full.

        @raise Exception: `store` raised it for an earlier batch. No further message is stored.
        """
        with self._changed:
            self._raise_failure()
            self._waiting.append(arrived)
            self._octets += arrived.octets
            self._start()
            if self._octets > _PAUSE_ABOVE:
                self._changed.wait_for(lambda: self._failure is not None or self._octets < _RESUME_BELOW)
                self._raise_failure()

    def drain(self) -> None:
        """Wait until all messages are stored. @raise Exception: `store` raised it; `stored` got the earlier batches."""
        with self._changed:
            self._changed.wait_for(lambda: not self._busy)
            self._raise_failure()

    def close(self) -> None:
        """Drop queued messages, and wait for the running batches. May be called twice."""
        with self._changed:
            self._waiting.clear()
            self._changed.wait_for(lambda: not self._busy)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _start(self) -> None:
        while self._waiting and (
            not self._busy or (len(self._waiting) >= _MIN_CONCURRENT and self._busy < _MAX_CONCURRENT)
        ):
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
            keys = self._store(batch.arrived)
        except BaseException as error:
            with self._changed:
                self._batches.remove(batch)
                self._waiting.clear()
                self._failure = self._failure or error
                self._report_stored()
            return
        with self._changed:
            batch.keys = keys
            self._octets -= sum(arrived.octets for arrived in batch.arrived)
            for arrived in batch.arrived:
                arrived.pieces = []
            self._report_stored()

    def _report_stored(self) -> None:
        while self._batches and (keys := self._batches[0].keys) is not None:
            self._stored(self._batches.pop(0).arrived, keys)
        self._busy -= 1
        self._start()
        self._changed.notify_all()

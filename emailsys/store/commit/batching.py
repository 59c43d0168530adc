"""Batcher: many calls of one kind become one call in a store thread, with one statement and one thread switch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from sqlalchemy import Connection
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

A = TypeVar("A")
R = TypeVar("R")

#: The function that a store thread calls with all items of a batch. Returns one result for each, in the same order.
Work = Callable[[Connection, Sequence[A]], Sequence[R]]


class Batch(Generic[A, R]):
    """Items for one call, closed when the store thread begins. Its length is the number of callers."""

    def __init__(self, work: Work[A, R], most: int) -> None:
        self._work = work
        self._most = most
        self._lock = threading.Lock()
        self._sealed = False
        self.items: list[A] = []
        self.done: list[Deferred[R]] = []

    def add(self, item: A, done: Deferred[R]) -> bool:
        """Add an item. Returns whether the batch was still open and not full."""
        with self._lock:
            if self._sealed or len(self.items) >= self._most:
                return False
            self.items.append(item)
            self.done.append(done)
            return True

    def __len__(self) -> int:
        return len(self.items)

    def __call__(self, connection: Connection) -> Sequence[R]:
        """Close the batch and do the work, in the store thread. A repeated call works on the same items."""
        with self._lock:
            self._sealed = True
        return self._work(connection, self.items)


#: The function that passes a batch to a store thread, such as `Database.run` or `Database.read`.
Start = Callable[[Batch[A, R]], "Deferred[Sequence[R]]"]


class Batcher(Generic[A, R]):
    """Gathers items into batches. All methods are called in the reactor thread.

    Items that arrive while a batch is in progress go into the next one. That starts when the batch before it ends, or
    when it is full.
    """

    def __init__(self, start: Start[A, R], work: Work[A, R], most: int) -> None:
        """@param most: the highest number of items for one call of `work`."""
        self._start = start
        self._work = work
        self._most = most
        self._open: Batch[A, R] | None = None
        self._is_waiting = False
        self._in_progress = 0

    def submit(self, item: A) -> Deferred[R]:
        """Submit an item. The Deferred fires with its result, or with a failure that this item alone caused."""
        done: Deferred[R] = Deferred()
        if self._open is None or not self._open.add(item, done):
            self._begin_waiting()
            self._open = Batch(self._work, self._most)
            self._open.add(item, done)
            self._is_waiting = True
            if not self._in_progress:
                self._begin_waiting()
        return done

    def _begin_waiting(self) -> None:
        if self._is_waiting and self._open is not None:
            self._is_waiting = False
            self._begin(self._open)

    def _begin(self, batch: Batch[A, R]) -> None:
        self._in_progress += 1
        begun = self._start(batch)
        _ = begun.addCallbacks(
            lambda results: self._answer(batch, results), lambda failure: self._failed(batch, failure)
        )

    def _answer(self, batch: Batch[A, R], results: Sequence[R]) -> None:
        self._close(batch)
        for done, result in zip(batch.done, results, strict=True):
            # The caller may have cancelled the Deferred.
            if not done.called:
                done.callback(result)
        self._ended()

    def _failed(self, batch: Batch[A, R], failure: Failure) -> None:
        self._close(batch)
        if len(batch.items) == 1:
            if not batch.done[0].called:
                batch.done[0].errback(failure)
        else:
            for item, done in zip(batch.items, batch.done, strict=True):
                single: Batch[A, R] = Batch(self._work, 1)
                single.add(item, done)
                self._begin(single)
        self._ended()

    def _close(self, batch: Batch[A, R]) -> None:
        if self._open is batch:
            self._open = None

    def _ended(self) -> None:
        self._in_progress -= 1
        if not self._in_progress:
            self._begin_waiting()

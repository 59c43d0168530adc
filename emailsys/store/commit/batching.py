"""Gather calls of one kind while others are under way, so that many cost a store thread one statement and one hop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from sqlalchemy import Connection
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

A = TypeVar("A")
R = TypeVar("R")

#: What the thread calls for all that was gathered: a result for each, in their order.
Work = Callable[[Connection, Sequence[A]], Sequence[R]]


class Batch(Generic[A, R]):
    """What is gathered; closed as soon as the thread has it. Its length is how many ask."""

    def __init__(self, work: Work[A, R], most: int) -> None:
        self._work = work
        self._most = most
        self._lock = threading.Lock()
        self._sealed = False
        self.items: list[A] = []
        self.done: list[Deferred[R]] = []

    def add(self, item: A, done: Deferred[R]) -> bool:
        """Whether it still went in."""
        with self._lock:
            if self._sealed or len(self.items) >= self._most:
                return False
            self.items.append(item)
            self.done.append(done)
            return True

    def __len__(self) -> int:
        return len(self.items)

    def __call__(self, connection: Connection) -> Sequence[R]:
        """In the thread; again where the store tries again, with the same items."""
        with self._lock:
            self._sealed = True
        return self._work(connection, self.items)


#: How the thread is given a batch to call: `Database.run` or `Database.read`.
Start = Callable[[Batch[A, R]], "Deferred[Sequence[R]]"]


class Gathering(Generic[A, R]):
    """Asks for many what is asked one by one. Called in the reactor's thread.

    What comes while a batch is under way goes into the next one, which begins when that has ended, or when it is full.
    """

    def __init__(self, start: Start[A, R], work: Work[A, R], most: int) -> None:
        """@param most: items that one call of `work` is given."""
        self._start = start
        self._work = work
        self._most = most
        self._open: Batch[A, R] | None = None
        self._waits = False
        self._under_way = 0

    def ask(self, item: A) -> Deferred[R]:
        """The result for one item; a failure is its own, not that of its neighbours."""
        done: Deferred[R] = Deferred()
        if self._open is None or not self._open.add(item, done):
            self._begin_waiting()
            self._open = Batch(self._work, self._most)
            self._open.add(item, done)
            self._waits = True
            if not self._under_way:
                self._begin_waiting()
        return done

    def _begin_waiting(self) -> None:
        if self._waits and self._open is not None:
            self._waits = False
            self._begin(self._open)

    def _begin(self, batch: Batch[A, R]) -> None:
        self._under_way += 1
        begun = self._start(batch)
        _ = begun.addCallbacks(
            lambda results: self._answer(batch, results), lambda failure: self._failed(batch, failure)
        )

    def _answer(self, batch: Batch[A, R], results: Sequence[R]) -> None:
        self._forget(batch)
        for done, result in zip(batch.done, results, strict=True):
            # Who asked may have been cancelled meanwhile.
            if not done.called:
                done.callback(result)
        self._ended()

    def _failed(self, batch: Batch[A, R], failure: Failure) -> None:
        self._forget(batch)
        if len(batch.items) == 1:
            if not batch.done[0].called:
                batch.done[0].errback(failure)
        else:
            for item, done in zip(batch.items, batch.done, strict=True):
                alone: Batch[A, R] = Batch(self._work, 1)
                alone.add(item, done)
                self._begin(alone)
        self._ended()

    def _forget(self, batch: Batch[A, R]) -> None:
        if self._open is batch:
            self._open = None

    def _ended(self) -> None:
        self._under_way -= 1
        if not self._under_way:
            self._begin_waiting()

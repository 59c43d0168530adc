"""The batcher: calls that reach a store thread together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, create_engine
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from emailsys.interfaces import StoreError
from emailsys.store.commit.batching import Batcher


class Thread:
    """A store thread that works when the test tells it to."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.waiting: list[tuple[Callable[[Connection], Sequence[str]], Deferred[Sequence[str]]]] = []

    def start(self, function: Callable[[Connection], Sequence[str]]) -> Deferred[Sequence[str]]:
        done: Deferred[Sequence[str]] = Deferred()
        self.waiting.append((function, done))
        return done

    def work(self) -> None:
        waiting, self.waiting = self.waiting, []
        for function, done in waiting:
            try:
                result = function(self._connection)
            except StoreError as error:
                done.errback(error)
            else:
                done.callback(result)


class BatcherTests(SynchronousTestCase):
    def setUp(self) -> None:
        engine = create_engine("sqlite://")
        self.addCleanup(engine.dispose)
        connection = engine.connect()
        self.addCleanup(connection.close)
        self.thread = Thread(connection)
        self.asked: list[list[int]] = []
        self.batcher: Batcher[int, str] = Batcher(self.thread.start, self._work, 3)

    def _work(self, connection: Connection, items: Sequence[int]) -> Sequence[str]:
        self.asked.append(list(items))
        if 13 in items:
            raise StoreError("13 cannot be read")
        return [f"message {item}" for item in items]

    def test_requests_before_the_thread_begins_are_one_batch(self) -> None:
        answers = [self.batcher.submit(number) for number in (1, 2, 3)]
        self.thread.work()
        self.assertEqual(self.asked, [[1, 2, 3]])
        self.assertEqual([self.successResultOf(a) for a in answers], ["message 1", "message 2", "message 3"])

    def test_no_more_go_together_than_the_bound_says(self) -> None:
        answers = [self.batcher.submit(number) for number in (1, 2, 3, 4)]
        self.thread.work()
        self.thread.work()
        self.assertEqual(self.asked, [[1, 2, 3], [4]])
        self.assertEqual(self.successResultOf(answers[3]), "message 4")

    def test_a_request_after_the_thread_began_is_a_new_batch(self) -> None:
        first = self.batcher.submit(1)
        [(function, done)] = self.thread.waiting
        self.thread.waiting = []
        with create_engine("sqlite://").connect() as connection:
            result = function(connection)
        second = self.batcher.submit(2)
        done.callback(result)
        self.thread.work()
        self.assertEqual(self.asked, [[1], [2]])
        self.assertEqual((self.successResultOf(first), self.successResultOf(second)), ("message 1", "message 2"))

    def test_a_request_that_fails_does_not_fail_its_neighbours(self) -> None:
        answers = [self.batcher.submit(number) for number in (1, 13, 2)]
        self.thread.work()
        self.thread.work()
        self.failureResultOf(answers[1], StoreError)
        self.assertEqual(
            (self.successResultOf(answers[0]), self.successResultOf(answers[2])), ("message 1", "message 2")
        )

    def test_a_cancelled_request_leaves_the_others_their_answers(self) -> None:
        cancelled, other = self.batcher.submit(1), self.batcher.submit(2)
        _ = cancelled.addErrback(lambda _: None)
        cancelled.cancel()
        self.thread.work()
        self.assertEqual(self.successResultOf(other), "message 2")

    def test_requests_while_the_thread_works_are_one_batch_after_it(self) -> None:
        first = self.batcher.submit(1)
        [(function, done)] = self.thread.waiting
        self.thread.waiting = []
        with create_engine("sqlite://").connect() as connection:
            result = function(connection)
        others = [self.batcher.submit(number) for number in (2, 3)]
        self.assertEqual(self.thread.waiting, [])
        done.callback(result)
        self.thread.work()
        self.assertEqual(self.asked, [[1], [2, 3]])
        self.assertEqual([self.successResultOf(a) for a in (first, *others)], [f"message {n}" for n in (1, 2, 3)])

    def test_a_full_batch_does_not_wait_for_the_one_before_it(self) -> None:
        _ = self.batcher.submit(1)
        [(function, _)] = self.thread.waiting
        self.thread.waiting = []
        with create_engine("sqlite://").connect() as connection:
            function(connection)
        for number in (2, 3, 4, 5):
            _ = self.batcher.submit(number)
        self.thread.work()
        self.assertEqual(self.asked, [[1], [2, 3, 4]])

"""Hashing threads: a fixed number of threads and a bounded queue."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from emailsys.config.settings import LoginSettings
from emailsys.interfaces import LoginBusy
from emailsys.passwords import hash_password
from emailsys.policy.hashing_threads import HashingThreads


@implementer(IReactorFromThreads)
class SameThread:
    """A reactor that runs callFromThread at once."""

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        callable(*args, **kwargs)


class ByHand(ThreadPool):
    """A pool that runs its work when the test calls it."""

    def __init__(self, maxthreads: int) -> None:
        super().__init__(0, maxthreads)
        self.jobs: list[tuple[Any, Any]] = []

    def start(self) -> None:
        """No threads."""

    def stop(self) -> None:
        self.run()

    def callInThreadWithCallback(self, onResult: Any, func: Any, *args: Any, **kw: Any) -> None:
        self.jobs.append((onResult, func))

    def run(self) -> None:
        """Do all that waits, in order."""
        jobs, self.jobs = self.jobs, []
        for on_result, work in jobs:
            try:
                result = work()
            except Exception:
                from twisted.python.failure import Failure

                self.give(on_result, False, Failure())
            else:
                self.give(on_result, True, result)

    def give(self, on_result: Any, success: bool, result: Any) -> None:
        if on_result is not None:
            on_result(success, result)


class QueueTests(SynchronousTestCase):
    """The queue in front of the threads."""

    def setUp(self) -> None:
        self.pool = ByHand(2)
        self.worked: list[str] = []

        def verify(stored: str, password: str) -> bool:
            self.worked.append(password)
            if stored == "broken":
                raise ZeroDivisionError
            return stored == password

        self.hashing = HashingThreads(SameThread(), self.pool, 3, verify)

    def test_answers_come_when_the_work_is_done(self) -> None:
        """A correct password, a wrong one, and an account that does not exist."""
        right, wrong, nobody = (
            self.hashing.verify("a", "a"),
            self.hashing.verify("a", "b"),
            self.hashing.verify(None, "c"),
        )
        self.assertNoResult(right)
        self.pool.run()
        self.assertEqual([self.successResultOf(each) for each in (right, wrong, nobody)], [True, False, False])
        self.assertEqual(self.worked, ["a", "b", "c"])

    def test_passwords_are_hashed_by_the_same_threads(self) -> None:
        """Hashing and verification share one queue and its limit."""
        hashing = HashingThreads(
            SameThread(), self.pool, 0, make=lambda password: [("argon2id", f"hash of {password}")]
        )
        answers = [hashing.make("a"), hashing.make("b")]
        self.failureResultOf(hashing.make("c"), LoginBusy)
        self.pool.run()
        self.assertEqual(
            [self.successResultOf(each) for each in answers], [[("argon2id", "hash of a")], [("argon2id", "hash of b")]]
        )

    def test_an_absent_account_is_never_let_in(self) -> None:
        """The login is refused even if its password matches the dummy hash."""
        hashing = HashingThreads(SameThread(), self.pool, 3, lambda stored, password: True)
        answer = hashing.verify(None, "x")
        self.pool.run()
        self.assertFalse(self.successResultOf(answer))

    def test_the_queue_is_bounded(self) -> None:
        """Two passwords are being hashed and three wait. The sixth fails with LoginBusy until there is room."""
        answers = [self.hashing.verify("a", "a") for _ in range(5)]
        self.failureResultOf(self.hashing.verify("a", "a"), LoginBusy)
        self.assertEqual(self.hashing.pending, 5)
        self.pool.run()
        self.assertEqual([self.successResultOf(each) for each in answers], [True] * 5)
        self.assertEqual(self.hashing.pending, 0)
        again = self.hashing.verify("a", "a")
        self.pool.run()
        self.assertTrue(self.successResultOf(again))

    def test_a_cancelled_login_costs_no_work(self) -> None:
        """A cancelled login keeps its place in the queue until a thread reaches it."""
        gone, stays = self.hashing.verify("a", "gone"), self.hashing.verify("a", "a")
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.pool.run()
        self.assertTrue(self.successResultOf(stays))
        self.assertEqual(self.worked, ["a"])
        self.assertEqual(self.hashing.pending, 0)

    def test_a_defect_is_the_answer_of_that_login_alone(self) -> None:
        """An unexpected exception fails one login; the others continue."""
        broken, good = self.hashing.verify("broken", "x"), self.hashing.verify("a", "a")
        self.pool.run()
        self.failureResultOf(broken, ZeroDivisionError)
        self.assertTrue(self.successResultOf(good))

    def test_a_daemon_that_stops_does_not_finish_the_queue(self) -> None:
        """A thousand waiting logins would delay the shutdown by ten seconds."""
        waiting = self.hashing.verify("a", "a")
        self.hashing.stop()
        self.failureResultOf(waiting, LoginBusy)
        self.failureResultOf(self.hashing.verify("a", "a"), LoginBusy)
        self.assertEqual(self.worked, [])


class ThreadTests(TestCase):
    """The queue with the real pool and the real hash."""

    async def test_a_thousand_logins_can_wait_and_none_runs_on_the_reactors_thread(self) -> None:
        """The sizes are the defaults of the settings."""
        from twisted.internet import reactor

        hashing = HashingThreads(IReactorFromThreads(reactor), ThreadPool(0, 2, "hashing"), LoginSettings().max_waiting)
        hashing.start()
        self.addCleanup(hashing.stop)
        stored = hash_password("secret")
        self.assertTrue(await hashing.verify(stored, "secret"))
        self.assertFalse(await hashing.verify(stored, "wrong"))
        self.assertFalse(await hashing.verify(None, "secret"))

    async def test_the_work_is_done_elsewhere_by_so_many_threads(self) -> None:
        """1,000 logins wait besides the two that are being hashed."""
        from twisted.internet import reactor

        gate = threading.Event()
        names: set[str] = set()

        def verify(stored: str, password: str) -> bool:
            gate.wait()
            names.add(threading.current_thread().name)
            return True

        pool = ThreadPool(0, 2, "hashing")
        hashing = HashingThreads(IReactorFromThreads(reactor), pool, LoginSettings().max_waiting, verify)
        hashing.start()
        self.addCleanup(hashing.stop)
        self.addCleanup(gate.set)
        answers: list[Deferred[bool]] = [hashing.verify("a", "a") for _ in range(1002)]
        self.failureResultOf(hashing.verify("a", "a"), LoginBusy)
        gate.set()
        for answer in answers:
            self.assertTrue(await answer)
        self.assertNotIn(threading.current_thread().name, names)
        self.assertLessEqual(len(names), 2)

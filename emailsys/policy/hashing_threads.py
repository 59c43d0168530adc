"""Verify and hash passwords on threads of their own, so many at a time and so many in waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from emailsys.interfaces import LoginBusy
from emailsys.passwords import dummy_hash, hash_password, verify_password

T = TypeVar("T")


class HashingThreads:
    """argon2 releases the interpreter's lock: each thread keeps a core busy, and the reactor goes on meanwhile."""

    def __init__(
        self,
        reactor: IReactorFromThreads,
        pool: ThreadPool,
        max_waiting: int,
        verify: Callable[[str, str], bool] = verify_password,
        make: Callable[[str], str] = hash_password,
    ) -> None:
        """
        @param pool: threads that do nothing else; this object starts and stops them.
        @param max_waiting: how many passwords may wait for a thread.
        """
        self._reactor, self._pool = reactor, pool
        self._verify, self._make = verify, make
        self._most = max_waiting + pool.max
        self._stopped = False
        #: Passwords given and not yet done with, those at work included.
        self.pending = 0

    def start(self) -> None:
        """Start the threads, and have the dummy hash made, so that the first unknown user costs no more than others."""
        self._pool.start()
        self._pool.callInThread(dummy_hash)

    def stop(self) -> None:
        """Stop the threads; what waits is not done any more. Returns when those at work are done, some 20 ms."""
        self._stopped = True
        self._pool.stop()

    def verify(self, stored: str | None, password: str) -> Deferred[bool]:
        """Whether the password fits the stored hash. None stands for an account that is not there: the work is the
        same, the answer is no. When cancelled, it leaves the queue without work.

        The Deferred fails with LoginBusy where too many wait.
        """

        def work() -> bool:
            fits = self._verify(dummy_hash() if stored is None else stored, password)
            return fits and stored is not None

        return self._do(work)

    def hash(self, password: str) -> Deferred[str]:
        """A hash of the password, as it is to be stored now.

        The Deferred fails with LoginBusy where too many wait, and with PasswordError.
        """
        return self._do(lambda: self._make(password))

    def _do(self, work: Callable[[], T]) -> Deferred[T]:
        cancelled = False

        def cancel(_: Deferred[T]) -> None:
            nonlocal cancelled
            cancelled = True

        answer: Deferred[T] = Deferred(cancel)
        if self.pending >= self._most or self._stopped:
            answer.errback(LoginBusy())
            return answer

        def still_wanted() -> T:
            if cancelled or self._stopped:
                raise LoginBusy
            return work()

        def done(success: bool, result: T | Failure) -> None:
            self._reactor.callFromThread(settle, result)

        def settle(result: T | Failure) -> None:
            self.pending -= 1
            if not cancelled:
                answer.callback(result)

        self.pending += 1
        self._pool.callInThreadWithCallback(done, still_wanted)
        return answer

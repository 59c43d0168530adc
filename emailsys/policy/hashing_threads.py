"""Hashing threads: the thread pool that hashes and verifies passwords with argon2, with a bounded queue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from emailsys.interfaces import LoginBusy
from emailsys.passwords import check_new_password, dummy_hash, make_credentials, verify_password

T = TypeVar("T")

#: The secrets that are stored for a password: pairs of scheme and secret.
Credentials = Sequence[tuple[str, str]]


class HashingThreads:
    """Verifies and hashes passwords off the reactor's thread.

    argon2 releases the interpreter's lock, so each thread keeps one core busy while the reactor continues.
    """

    def __init__(
        self,
        reactor: IReactorFromThreads,
        pool: ThreadPool,
        max_waiting: int,
        verify: Callable[[str, str], bool] = verify_password,
        make: Callable[[str], Credentials] = make_credentials,
    ) -> None:
        """
        @param pool: threads for this purpose alone; this object starts and stops them.
        @param max_waiting: maximum number of passwords that wait for a thread.
        """
        self._reactor, self._pool = reactor, pool
        self._verify, self._make = verify, make
        self._most = max_waiting + pool.max
        self._stopped = False
        #: Number of passwords that wait or are being hashed.
        self.pending = 0

    def start(self) -> None:
        """Start the threads, and make the dummy hash, so that the first unknown user takes no longer than others."""
        self._pool.start()
        self._pool.callInThread(dummy_hash)

    def stop(self) -> None:
        """Stop the threads and drop waiting passwords. Returns when the running hashes are done, after about 20 ms.

        A second call does nothing.
        """
        if not self._stopped:
            self._stopped = True
            self._pool.stop()

    def verify(self, stored: str | None, password: str) -> Deferred[bool]:
        """Return a Deferred of whether the password matches the stored hash.

        None stands for an account that does not exist: the work is the same, and the result is False. A cancelled
        Deferred leaves the queue without work. The Deferred fails with LoginBusy if the queue is full.
        """

        def work() -> bool:
            fits = self._verify(dummy_hash() if stored is None else stored, password)
            return fits and stored is not None

        return self._do(work)

    def make(self, password: str) -> Deferred[Credentials]:
        """Return a Deferred of all secrets that are stored for a password, at the current costs.

        The Deferred fails with LoginBusy if the queue is full, or with PasswordError.
        """
        return self._do(lambda: self._make(password))

    def make_new(self, password: str, names: Sequence[str], min_length: int) -> Deferred[Credentials]:
        """Return a Deferred of all secrets for a new password, which must follow the rule for new passwords.

        It fails as that of `make` does.

        @param names, min_length: as for `check_new_password`.
        """

        def work() -> Credentials:
            check_new_password(password, names, min_length)
            return self._make(password)

        return self._do(work)

    def _do(self, work: Callable[[], T]) -> Deferred[T]:
        cancelled = False

        def cancel(_: Deferred[T]) -> None:
            nonlocal cancelled
            cancelled = True

        answer: Deferred[T] = Deferred(cancel)
        if self.pending >= self._most or self._stopped:
            answer.errback(LoginBusy())
            return answer

        def work_unless_cancelled() -> T:
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
        self._pool.callInThreadWithCallback(done, work_unless_cancelled)
        return answer

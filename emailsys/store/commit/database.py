"""Transactions as Deferreds: group commits on writer threads, reads on reader threads, a limit on waiting octets."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from sqlalchemy import Connection
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from emailsys.interfaces import StoreError, StoreFull
from emailsys.store.commit.damage import Damage
from emailsys.store.commit.ids import IdSource
from emailsys.store.commit.jobs import Call, Inbox, Job, Rows, Upkeep
from emailsys.store.commit.readers import Readers
from emailsys.store.commit.writer import Outcome, Writer
from emailsys.store.engine.base import Engine, StoreUntrusted
from emailsys.telemetry import Telemetry

T = TypeVar("T")

# Hard limit on waiting octets, as a multiple of the limit at which reading pauses. Beyond it, messages are refused.
_HARD_LIMIT: Final = 2
# The same for the limit at which small messages pause: far enough below the hard limit that they are not refused.
_SMALL_LIMIT: Final = 1.5
# Clients that are resumed in one turn of the reactor.
_RESUMED_A_TURN: Final = 4
# Seconds without a write after which the engine does its housekeeping (SQLite: it empties the WAL).
IDLE_AFTER: Final = 2.0


class DelayedCall(Protocol):
    """A scheduled call, as `Reactor.callLater` returns it."""

    def cancel(self) -> Any:
        """Cancel the call."""


class Reactor(Protocol):
    """The part of a reactor that the store needs. `offline` implements it for commands without a network."""

    def callFromThread(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> None:
        """Call the function in the reactor thread."""

    def callLater(self, delay: float, callable: Callable[..., Any], *args: object, **kwargs: object) -> Any:
        """Call the function after a delay in seconds."""

    def seconds(self) -> float:
        """Return the time of a monotonic clock, in seconds."""


class Activity(NamedTuple):
    """The work of writers: group commits, the jobs in them, their seconds, and octets of bodies that wait."""

    batches: int = 0
    committed: int = 0
    seconds: float = 0.0
    waiting_octets: int = 0


def added(*activities: Activity) -> Activity:
    """Return the sum of the activities of several processes."""
    return Activity(*(sum(numbers) for numbers in zip(*activities, strict=True)))


class Database:
    """Access to the database. All methods are called in the reactor thread."""

    def __init__(
        self,
        engine: Engine,
        ids: IdSource,
        reactor: Reactor,
        telemetry: Telemetry,
        max_waiting_octets: int,
        idle_after: float = IDLE_AFTER,
    ) -> None:
        """
        @param max_waiting_octets: octets of bodies that may wait for their commit before `backpressure` asks for a
            pause.
        @param idle_after: seconds without a write until the engine's housekeeping.
        """
        self.engine = engine
        self.ids = ids
        self._reactor = reactor
        self._telemetry = telemetry
        self._max_waiting = max_waiting_octets
        self._waiting_octets = 0
        # The Deferreds of `backpressure`, the first that waits first.
        self._paused: deque[Deferred[None]] = deque()
        self._is_resuming = False
        self._inbox = Inbox()
        self._closing = False
        self._blocked: str | None = None
        self._untrusted: str | None = None
        #: The damaged messages that were found.
        self.damage = Damage(telemetry)
        self._readers = Readers(engine, reactor.callFromThread)
        self._writers = [
            Writer(number, engine, ids, self._inbox, self._report, self._log_unexpected, idle_after)
            for number in range(engine.writers)
        ]
        # Counts of group commits and of the jobs in them.
        self.batches = 0
        self.committed = 0
        #: Returns the activity of the other processes of the daemon.
        self.elsewhere: Callable[[], Activity] | None = None
        for writer in self._writers:
            writer.thread.start()

    @property
    def commit_seconds(self) -> float:
        """Seconds that all batches took together."""
        return sum(writer.seconds for writer in self._writers)

    def run(self, description: str, function: Callable[[Connection], T]) -> Deferred[T]:
        """Call the function in the next write transaction. The Deferred fires with its result after the commit.

        If the function raises an exception, only its own changes are undone. It may be called more than once, so it
        must have no other effects.

        @raise StoreError: (in the Deferred) nothing was changed; after a lost connection, that is not certain.
        """
        return self._put(Call(description, function))

    def upkeep(self, description: str, function: Callable[[Connection], T]) -> Deferred[T]:
        """Call the function between two group commits, outside a transaction, while no other thread writes."""
        return self._put(Upkeep(description, function))

    def read(self, description: str, function: Callable[[Connection], T]) -> Deferred[T]:
        """Call the function on a reader connection. Each of its statements is a transaction of its own."""
        if self._closing:
            return fail(StoreError(f"{description}: the store is closing"))
        return self._readers.read(function).addErrback(self._read_failed)

    def insert(self, rows: Rows) -> Deferred[None]:
        """Insert rows with the next group commit.

        @raise StoreFull: (in the Deferred) too many octets wait for their commit.
        """
        if self._waiting_octets + rows.octets > self._max_waiting * _HARD_LIMIT:
            return fail(StoreFull("too many messages wait for the disk"))
        return self._put(rows)

    def stage(self, rows: Rows) -> Deferred[None]:
        """Insert a piece of a large body. One group commit contains at most 1 MiB of pieces."""
        return self._put(rows, piece=True)

    def backpressure(self, is_small: bool = False) -> Deferred[None] | None:
        """Return None, or a Deferred if too many octets wait for their commit. It fires when fewer wait.

        @param is_small: whether the message is small. Large messages that wait for the disk do not delay a small one.
        """
        if is_small:
            if self._waiting_octets <= self._max_waiting * _SMALL_LIMIT:
                return None
        elif self._waiting_octets <= self._max_waiting and not self._paused:
            # A client that has just arrived does not pass those that wait.
            return None
        paused: Deferred[None] = Deferred()
        self._paused.append(paused)
        return paused

    def seconds(self) -> float:
        """The reactor's clock."""
        return self._reactor.seconds()

    def block_writes(self, reason: str | None) -> None:
        """Refuse all writes with a reason. None allows them again."""
        if reason != self._blocked:
            self._blocked = reason
            event = "store-writes-resumed" if reason is None else "store-writes-blocked"
            self._telemetry.event(event, why=reason)

    def why_untrusted(self) -> str | None:
        """Return `Engine.why_untrusted`, and log each change."""
        why = self.engine.why_untrusted()
        self._log_trust(why)
        return why

    def _log_trust(self, why: str | None) -> None:
        if why != self._untrusted:
            self._untrusted = why
            self._telemetry.event("store-untrusted" if why is not None else "store-trusted", why=why)

    def _read_failed(self, failure: Failure) -> Failure:
        if failure.check(StoreUntrusted):
            self._log_trust(str(failure.value))
        return failure

    @property
    def waiting_octets(self) -> int:
        """The octets of bodies that wait for their commit."""
        return self._waiting_octets

    @property
    def activity(self) -> Activity:
        """The commits of this process, and of the others of the daemon."""
        own = Activity(self.batches, self.committed, self.commit_seconds, self._waiting_octets)
        return own if self.elsewhere is None else added(own, self.elsewhere())

    def _put(self, job: Job, piece: bool = False) -> Deferred[Any]:
        if self._closing:
            return fail(StoreError(f"{job.name}: the store is closing"))
        if self._blocked is not None:
            return fail(StoreError(f"{job.name}: {self._blocked}"))
        self._waiting_octets += job.octets
        if piece and isinstance(job, Rows):
            self._inbox.put_piece(job)
        else:
            self._inbox.put(job)
        return job.done

    def _report(self, outcomes: Sequence[Outcome]) -> None:
        self._reactor.callFromThread(self._settle, outcomes)

    def _log_unexpected(self, name: str, failure: Failure) -> None:
        self._reactor.callFromThread(self._telemetry.exception, name, failure)

    def _settle(self, outcomes: Sequence[Outcome]) -> None:
        self.batches += 1
        self.committed += len(outcomes)
        if self._untrusted is not None:
            self.why_untrusted()
        for job, result in outcomes:
            # After an unexpected exception, a writer reports its whole batch, perhaps for the second time.
            if job.is_settled:
                continue
            job.is_settled = True
            self._waiting_octets -= job.octets
            if isinstance(result, Failure) and result.check(StoreUntrusted):
                self._log_trust(str(result.value))
            # The caller cancelled the Deferred, but not the commit.
            if job.done.called:
                continue
            if isinstance(result, Failure):
                job.done.errback(result)
            else:
                job.done.callback(result)
        if not self._is_resuming:
            self._resume()

    def _resume(self) -> None:
        """Fire Deferreds of `backpressure`, the first ones first, as long as few octets wait.

        A resumed client sends about 100 KiB at once, so only a few are resumed in one turn of the reactor.
        """
        for _ in range(_RESUMED_A_TURN):
            self._is_resuming = bool(self._paused) and self._waiting_octets <= self._max_waiting
            if not self._is_resuming:
                return
            waiting = self._paused.popleft()
            if not waiting.called:
                waiting.callback(None)
        self._reactor.callFromThread(self._resume)

    async def close(self) -> None:
        """Commit all waiting jobs, end the threads and close the files. Call once."""
        self._closing = True
        self._inbox.close()
        threads = self._readers.close() + [writer.thread for writer in self._writers]
        ended: Deferred[None] = Deferred()

        def wait_for_threads() -> None:
            for thread in threads:
                thread.join()
            self.engine.close()
            self._reactor.callFromThread(ended.callback, None)

        threading.Thread(target=wait_for_threads, name="store-closer", daemon=True).start()
        await ended

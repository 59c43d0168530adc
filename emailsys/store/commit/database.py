"""Named transactions, as Deferreds: writes in group commits, reads on their own threads, and a bound on what waits."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

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

# The hard bound, as a multiple of the one at which reading pauses: past it a message is refused.
_HARD_BOUND: Final = 2
# Seconds without a write after which the engine tidies up (SQLite: the WAL is emptied).
IDLE_AFTER: Final = 2.0


class IdleCall(Protocol):
    """A call that was put off."""

    def cancel(self) -> Any:
        """Do not make it."""


class Reactor(Protocol):
    """What the store needs of a reactor; `offline` has one for commands without a network."""

    def callFromThread(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> None:
        """Call it in the reactor's thread."""

    def callLater(self, delay: float, callable: Callable[..., Any], *args: object, **kwargs: object) -> Any:
        """Call it after so many seconds."""

    def seconds(self) -> float:
        """A clock that never goes back."""


class Database:
    """The way to the rows. All methods are called in the reactor's thread."""

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
        @param max_waiting_octets: of bodies that may wait for their commit before `crowded` asks for a pause.
        """
        self.engine = engine
        self.ids = ids
        self._reactor = reactor
        self._telemetry = telemetry
        self._max_waiting = max_waiting_octets
        self._waiting_octets = 0
        self._paused: list[Deferred[None]] = []
        self._inbox = Inbox()
        self._closing = False
        self._cut_off: str | None = None
        self._untrusted: str | None = None
        #: Messages that were found damaged.
        self.damage = Damage(telemetry)
        self._readers = Readers(engine, reactor.callFromThread)
        self._writers = [
            Writer(number, engine, ids, self._inbox, self._report, self._surprise, idle_after)
            for number in range(engine.writers)
        ]
        # How many group commits there were, and how many jobs they held.
        self.batches = 0
        self.committed = 0
        for writer in self._writers:
            writer.thread.start()

    def run(self, description: str, function: Callable[[Connection], T]) -> Deferred[T]:
        """Call the function in the next write transaction; fires with its result when that is on disk.

        An exception of its own undoes only what it did. It may be called more than once, and so changes nothing else.

        @raise StoreError: (in the Deferred) nothing was changed, or, after a lost connection, perhaps it was.
        """
        return self._put(Call(description, function))

    def upkeep(self, description: str, function: Callable[[Connection], T]) -> Deferred[T]:
        """Call the function between two group commits, outside a transaction, while nobody else writes."""
        return self._put(Upkeep(description, function))

    def read(self, description: str, function: Callable[[Connection], T]) -> Deferred[T]:
        """Call the function on a reading connection; each of its statements sees the store as it is then."""
        if self._closing:
            return fail(StoreError(f"{description}: the store is closing"))
        return self._readers.read(function).addErrback(self._read_failed)

    def insert(self, rows: Rows) -> Deferred[None]:
        """Insert rows with the next group commit.

        @raise StoreFull: (in the Deferred) too much waits already.
        """
        if self._waiting_octets + rows.octets > self._max_waiting * _HARD_BOUND:
            return fail(StoreFull("too many messages wait for the disk"))
        return self._put(rows)

    def stage(self, rows: Rows) -> Deferred[None]:
        """Insert pieces of a large body, at most 1 MiB of them with one group commit."""
        return self._put(rows, piece=True)

    def crowded(self) -> Deferred[None] | None:
        """None, or if too much waits a Deferred that fires when it no longer does."""
        if self._waiting_octets <= self._max_waiting:
            return None
        paused: Deferred[None] = Deferred()
        self._paused.append(paused)
        return paused

    def seconds(self) -> float:
        """The reactor's clock."""
        return self._reactor.seconds()

    def cut_off(self, why: str | None) -> None:
        """Take no more writes, for that reason; None: take them again."""
        if why != self._cut_off:
            self._cut_off = why
            self._telemetry.event("store-cut-off" if why is not None else "store-back", why=why)

    def why_untrusted(self) -> str | None:
        """As `Engine.why_untrusted`; each change is an event."""
        why = self.engine.why_untrusted()
        self._tell_trust(why)
        return why

    def _tell_trust(self, why: str | None) -> None:
        if why != self._untrusted:
            self._untrusted = why
            self._telemetry.event("store-untrusted" if why is not None else "store-trusted", why=why)

    def _read_failed(self, failure: Failure) -> Failure:
        if failure.check(StoreUntrusted):
            self._tell_trust(str(failure.value))
        return failure

    @property
    def waiting_octets(self) -> int:
        """Octets of bodies that wait for their commit."""
        return self._waiting_octets

    def _put(self, job: Job, piece: bool = False) -> Deferred[Any]:
        if self._closing:
            return fail(StoreError(f"{job.name}: the store is closing"))
        if self._cut_off is not None:
            return fail(StoreError(f"{job.name}: {self._cut_off}"))
        self._waiting_octets += job.octets
        if piece and isinstance(job, Rows):
            self._inbox.put_piece(job)
        else:
            self._inbox.put(job)
        return job.done

    def _report(self, outcomes: Sequence[Outcome]) -> None:
        self._reactor.callFromThread(self._settle, outcomes)

    def _surprise(self, where: str, failure: Failure) -> None:
        self._reactor.callFromThread(self._telemetry.surprise, where, failure)

    def _settle(self, outcomes: Sequence[Outcome]) -> None:
        self.batches += 1
        self.committed += len(outcomes)
        if self._untrusted is not None:
            self.why_untrusted()
        for job, result in outcomes:
            self._waiting_octets -= job.octets
            if isinstance(result, Failure) and result.check(StoreUntrusted):
                self._tell_trust(str(result.value))
            # The caller may have been cancelled; the commit was not.
            if job.done.called:
                continue
            if isinstance(result, Failure):
                job.done.errback(result)
            else:
                job.done.callback(result)
        if self._paused and self._waiting_octets <= self._max_waiting:
            paused, self._paused = self._paused, []
            for waiting in paused:
                if not waiting.called:
                    waiting.callback(None)

    async def close(self) -> None:
        """Commit what waits, then end the threads and close the files. Called once."""
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

"""Commit jobs in groups: all that arrived while the last commit ran goes into the next."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, select, update
from twisted.python.failure import Failure

from emailsys.interfaces import StoreError, StoreFull
from emailsys.store.commit.ids import IdSource
from emailsys.store.commit.inserts import MessageInserts
from emailsys.store.commit.jobs import BATCH_OCTETS, Call, Inbox, Job, Rows, Upkeep
from emailsys.store.engine.base import Engine, StoreUntrusted, Verdict, refusal
from emailsys.store.schema import tables

# Seconds between two attempts to reach the database again, and after how many a commit in doubt is given up: then the
# peer hears 451 and may send again, which RFC 1047 allows and nothing can avoid.
_REOPEN_EVERY: Final = 0.2
_GIVE_UP_AFTER: Final = 30.0


class Outcome(NamedTuple):
    """A job and its result, a Failure where it failed."""

    job: Job
    result: Any


class Writer:
    """One thread that writes, with a connection of its own."""

    def __init__(
        self,
        number: int,
        engine: Engine,
        ids: IdSource,
        inbox: Inbox,
        report: Callable[[Sequence[Outcome]], None],
        surprise: Callable[[str, Failure], None],
        idle_after: float,
    ) -> None:
        """
        @param number: 0 for the one that writes pieces and does the upkeep.
        @param report: called in this thread, once for each batch.
        @param surprise: called in this thread with what nobody waits for.
        @param idle_after: seconds without work after which the engine may tidy up.
        """
        self._number = number
        self._engine = engine
        self._ids = ids
        self._inbox = inbox
        self._report = report
        self._surprise = surprise
        self._idle_after = idle_after
        self._connection: Connection | None = None
        self._inserts = MessageInserts(engine)
        self._mark = update(tables.commits).where(tables.commits.c.node == ids.node, tables.commits.c.writer == number)
        self._marked = select(tables.commits.c.last_id).where(
            tables.commits.c.node == ids.node, tables.commits.c.writer == number
        )
        if engine.locks_rows:
            # A lost COMMIT may still be under way: its lock on the row makes the look wait for its end.
            self._marked = self._marked.with_for_update()
        self.thread = threading.Thread(target=self._work, name=f"store-writer-{number}", daemon=True)

    def _work(self) -> None:
        rested = True
        while True:
            batch = self._inbox.take(self._number == 0, None if rested else self._idle_after)
            if batch is None:
                break
            try:
                if batch:
                    rested = False
                    self._report(self._upkeep(batch[0]) if isinstance(batch[0], Upkeep) else self._commit(batch))
                else:
                    rested = True
                    self._rest()
            except BaseException:
                # Nobody's job may wait for ever because of a defect of ours.
                failure = Failure()
                self._discard()
                self._surprise("store-writer", failure)
                self._report([Outcome(job, Failure(StoreError("the store failed"))) for job in batch])
        self._rest()
        self._close()

    def _rest(self) -> None:
        if self._connection is None:
            return
        try:
            self._engine.idle(self._connection)
        except Exception:
            self._surprise("store-idle", Failure())
            self._discard()

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect_writer()
        return self._connection

    def _trusted(self, connection: Connection) -> None:
        """@raise StoreUntrusted: the store's files are no longer what they were; what was committed is saved."""
        try:
            self._engine.trusted()
        except StoreUntrusted:
            try:
                self._engine.save_log(connection)
            except Exception:
                self._surprise("store-save-log", Failure())
            raise

    def _discard(self) -> None:
        """Give the connection up after an error."""
        self._engine.doubt()
        self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.invalidate()
                connection.close()
            except Exception:
                self._surprise("store-close", Failure())

    def _upkeep(self, job: Upkeep) -> list[Outcome]:
        try:
            connection = self._connected()
            with self._engine.alone():
                self._trusted(connection)
                result = job.function(connection)
                self._engine.after_batch(connection, BATCH_OCTETS)
                self._trusted(connection)
        except StoreUntrusted as error:
            return [Outcome(job, Failure(error))]
        except Exception as error:
            self._discard()
            return [Outcome(job, Failure(refusal(error, self._engine.verdict(error))))]
        return [Outcome(job, result)]

    def _commit(self, batch: Sequence[Job], again: bool = True) -> list[Outcome]:
        """One transaction for all; each job's outcome.

        @param again: whether a connection that was lost while it rested may be replaced by a new one.
        """
        mark = 0
        outcomes: list[Outcome] = []
        committing = False
        try:
            connection = self._connected()
            with self._engine.alone():
                self._trusted(connection)
                octets = sum(job.octets for job in batch)
                if octets and not self._engine.takes(connection, octets):
                    raise StoreFull("full: what is left of the disk is kept for deleting")
                connection.begin()
                outcomes = self._write(connection, batch)
                # Above every id of the batch, in the same commit.
                mark = self._ids.make()
                connection.execute(self._mark.values(last_id=mark))
                committing = True
                self._engine.commit(connection)
                committing = False
                # A file without its name takes commits as before, and is gone with this process.
                self._trusted(connection)
                self._tidy(connection, octets)
        except Exception as error:
            if again and not committing and self._verdict(error) is Verdict.LOST and self._engine.over_network:
                # COMMIT was never sent: that nothing was changed is certain.
                self._discard()
                return self._commit(batch, again=False)
            return self._failed(batch, error, mark if committing else 0, outcomes)
        return outcomes

    def _tidy(self, connection: Connection, octets: int) -> None:
        """The commit stands, whatever happens here."""
        try:
            self._engine.after_batch(connection, octets)
        except Exception:
            self._surprise("store-checkpoint", Failure())
            self._discard()

    def _write(self, connection: Connection, batch: Sequence[Job]) -> list[Outcome]:
        rows = [job for job in batch if isinstance(job, Rows)]
        self._inserts.insert(connection, rows)
        complete = [job.unstage for job in rows if job.unstage is not None]
        if complete:
            left = connection.execute(tables.staged.delete().where(tables.staged.c.body_id.in_(complete)))
            if left.rowcount != len(complete):
                # Whoever took a process for dead has given its pieces to the sweeper: they may be gone.
                raise StoreError("pieces of the message were swept")
        outcomes = [Outcome(job, None) for job in rows]
        for job in batch:
            if isinstance(job, Call):
                outcomes.append(self._call(connection, job))
        return outcomes

    def _call(self, connection: Connection, job: Call) -> Outcome:
        savepoint = connection.begin_nested()
        try:
            result = job.function(connection)
        except self._engine.errors:
            # The transaction may be gone with it: let the batch fail and its members be tried singly.
            raise
        except Exception:
            failure = Failure()
            savepoint.rollback()
            return Outcome(job, failure)
        savepoint.commit()
        return Outcome(job, result)

    def _failed(self, batch: Sequence[Job], error: Exception, mark: int, done: list[Outcome]) -> list[Outcome]:
        """
        @param mark: not 0 if COMMIT was under way.
        @param done: the outcomes if the commit took place after all.
        """
        verdict = self._verdict(error)
        if mark or verdict in (Verdict.LOST, Verdict.DAMAGED):
            self._discard()
        else:
            self._roll_back()
        if mark:
            committed = self._look(mark)
            if committed:
                return done
            if committed is None:
                verdict = Verdict.LOST
        if len(batch) > 1 and verdict in (Verdict.REFUSED, Verdict.FULL, Verdict.DAMAGED):
            return [outcome for job in batch for outcome in self._commit([job])]
        refused = refusal(error, verdict)
        return [Outcome(job, Failure(refused)) for job in batch]

    def _verdict(self, error: Exception) -> Verdict:
        if isinstance(error, StoreUntrusted):
            # To try the members singly would find the same files.
            return Verdict.BUSY
        if isinstance(error, StoreError):
            # Our own refusal: the connection is as good as before.
            return Verdict.FULL if isinstance(error, StoreFull) else Verdict.REFUSED
        return self._engine.verdict(error)

    def _roll_back(self) -> None:
        try:
            if self._connection is not None:
                self._connection.rollback()
        except Exception:
            self._surprise("store-rollback", Failure())
            self._discard()

    def _look(self, mark: int) -> bool | None:
        """Whether the commit that bears the mark is on disk; None if the database did not come back to prove it.

        Called without a connection: only a new one can prove anything.
        """
        waited = 0.0
        while True:
            try:
                connection = self._connected()
                with self._engine.alone():
                    found = connection.execute(self._marked).scalar()
                    if not self._engine.is_proof(connection):
                        raise StoreError("the database cannot prove that its commits are on disk")
                    connection.rollback()
                    self._trusted(connection)
                return bool(found == mark)
            except StoreUntrusted:
                return None
            except Exception:
                self._discard()
                if waited >= _GIVE_UP_AFTER:
                    self._surprise("store-in-doubt", Failure())
                    return None
                time.sleep(_REOPEN_EVERY)
                waited += _REOPEN_EVERY

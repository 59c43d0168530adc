"""Writer threads and group commit: all jobs that arrive during one commit go into the next."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, select
from twisted.python.failure import Failure

from emailsys.interfaces import StoreError, StoreFull
from emailsys.store.commit.ids import IdSource
from emailsys.store.commit.inserts import MessageInserts
from emailsys.store.commit.jobs import BATCH_OCTETS, Call, Inbox, Job, Rows, Upkeep
from emailsys.store.engine.base import Engine, StoreUntrusted, Verdict, execute, store_error
from emailsys.store.schema import tables
from emailsys.store.schema.move_marks import StoreRetired, moved_text

# Seconds between two attempts to reach the database again, and seconds after which a commit in doubt is given up. The
# client then gets 451 and may send a duplicate, which nothing can prevent (RFC 1047).
_REOPEN_EVERY: Final = 0.2
_GIVE_UP_AFTER: Final = 30.0
# The same over a network, counted from the beginning of the commit: clients hear 451 within 15 seconds.
_GIVE_UP_UNREACHABLE_AFTER: Final = 10.0
# Seconds after which a writer that is alone refuses the jobs that wait behind a commit in doubt.
_REFUSE_WAITING_AFTER: Final = 10.0


class Outcome(NamedTuple):
    """A job and its result, which is a Failure if the job failed."""

    job: Job
    result: Any


class Writer:
    """A writer thread with its own connection."""

    def __init__(
        self,
        number: int,
        engine: Engine,
        ids: IdSource,
        inbox: Inbox,
        report: Callable[[Sequence[Outcome]], None],
        log_unexpected: Callable[[str, Failure], None],
        idle_after: float,
    ) -> None:
        """
        @param number: 0 for the writer that also writes pieces of large bodies and runs upkeep jobs.
        @param report: called in the writer thread, once for each batch.
        @param log_unexpected: called in the writer thread with exceptions that no caller waits for.
        @param idle_after: seconds without work after which `Engine.tidy_when_idle` is called.
        """
        self._number = number
        self._engine = engine
        self._ids = ids
        self._inbox = inbox
        self._report = report
        self._log_unexpected = log_unexpected
        self._idle_after = idle_after
        #: Seconds from the beginning of a commit or an upkeep job to its report, over all of them.
        self.seconds = 0.0
        self._connection: Connection | None = None
        self._inserts = MessageInserts(engine)
        mark = engine.placeholder
        self._update_mark = f"UPDATE commits SET last_id = {mark} WHERE node = {mark} AND writer = {mark}"  # noqa: S608
        self._select_mark = select(tables.commits.c.last_id).where(
            tables.commits.c.node == ids.node, tables.commits.c.writer == number
        )
        if engine.locks_rows:
            # A lost COMMIT may still be running. Its lock on the row makes the query wait until it ends.
            self._select_mark = self._select_mark.with_for_update()
        self.thread = threading.Thread(target=self._work, name=f"store-writer-{number}", daemon=True)

    def _work(self) -> None:
        is_idle = True
        while True:
            batch = self._inbox.take(self._number == 0, None if is_idle else self._idle_after)
            if batch is None:
                break
            try:
                if batch:
                    is_idle = False
                    began = time.monotonic()
                    outcomes = self._upkeep(batch[0]) if isinstance(batch[0], Upkeep) else self._commit(batch)
                    if outcomes:
                        self._tell(outcomes, began)
                else:
                    is_idle = True
                    self._tidy_when_idle()
            except BaseException:
                # An unexpected exception must not leave callers without an answer.
                failure = Failure()
                self._discard()
                self._log_unexpected("store-writer-exception", failure)
                self._report([Outcome(job, Failure(StoreError("the store failed"))) for job in batch])
        self._tidy_when_idle()
        self._close()

    def _tell(self, outcomes: Sequence[Outcome], began: float) -> None:
        self.seconds += time.monotonic() - began
        self._report(outcomes)

    def _tidy_when_idle(self) -> None:
        if self._connection is None:
            return
        try:
            self._engine.tidy_when_idle(self._connection)
        except Exception:
            self._log_unexpected("store-idle-exception", Failure())
            self._discard()

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._engine.connect_writer()
        return self._connection

    def _check_files(self, connection: Connection) -> None:
        """Check the store's files. If they changed, checkpoint what was committed before raising.

        @raise StoreUntrusted: the files of the store were removed or replaced.
        """
        try:
            self._engine.raise_if_untrusted()
        except StoreUntrusted:
            try:
                self._engine.save_log(connection)
            except Exception:
                self._log_unexpected("store-save-log-exception", Failure())
            raise

    def _discard(self) -> None:
        """Discard the connection after an error."""
        self._engine.revoke_proof()
        self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.invalidate()
                connection.close()
            except Exception:
                self._log_unexpected("store-close-exception", Failure())

    def _upkeep(self, job: Upkeep) -> list[Outcome]:
        try:
            connection = self._connected()
            with self._engine.commit_lock():
                self._check_files(connection)
                result = job.function(connection)
                self._engine.after_batch(connection, BATCH_OCTETS)
                self._check_files(connection)
        except StoreUntrusted as error:
            return [Outcome(job, Failure(error))]
        except Exception as error:
            self._discard()
            return [Outcome(job, Failure(store_error(error, self._engine.verdict(error))))]
        return [Outcome(job, result)]

    def _commit(self, batch: Sequence[Job], again: bool = True) -> list[Outcome]:
        """Commit a batch in one transaction, and report its outcomes. Returns the outcomes that are still to report.

        @param again: whether to try again on a new connection if this one was lost before COMMIT.
        """
        mark = 0
        outcomes: list[Outcome] = []
        committing = reported = False
        connection: Connection | None = None
        began = time.monotonic()
        try:
            connection = self._connected()
            with self._engine.commit_lock():
                self._check_files(connection)
                octets = sum(job.octets for job in batch)
                if octets and not self._engine.has_room(connection, octets):
                    raise StoreFull("the free space that is left on the disk is reserved for deleting mail")
                connection.begin()
                outcomes = self._write(connection, batch)
                # Above every id of the batch, in the same commit.
                mark = self._ids.make()
                if not execute(connection, self._update_mark, (mark, self._ids.node, self._number)):
                    # `emailsys move` removes the marks, so that no process commits to the former store.
                    raise StoreRetired(moved_text(self._engine.location))
                committing = True
                self._engine.commit(connection)
                committing = False
                # A removed file still accepts commits, but is lost when this process ends.
                self._check_files(connection)
                # A checkpoint takes longer than many commits. No client waits for the checkpoint.
                self._tell(outcomes, began)
                reported = True
                self._after_commit(connection, octets)
        except Exception as error:
            if reported:
                self._log_unexpected("store-writer-exception", Failure())
                self._discard()
                return []
            if not committing and self._verdict(error) is Verdict.LOST and self._engine.over_network:
                # COMMIT was not sent, so certainly nothing was changed.
                if connection is None:
                    self._refuse_waiting(error)
                elif again:
                    self._discard()
                    return self._commit(batch, again=False)
            return self._failed(batch, error, mark if committing else 0, outcomes, began)
        return []

    def _after_commit(self, connection: Connection, octets: int) -> None:
        """Run the engine's housekeeping after a commit. A failure here does not affect the commit."""
        try:
            self._engine.after_batch(connection, octets)
        except Exception:
            self._log_unexpected("store-checkpoint-exception", Failure())
            self._discard()

    def _write(self, connection: Connection, batch: Sequence[Job]) -> list[Outcome]:
        rows = [job for job in batch if isinstance(job, Rows)]
        self._inserts.insert(connection, rows)
        complete = [job.unstage for job in rows if job.unstage is not None]
        if complete:
            deleted = connection.execute(tables.staged.delete().where(tables.staged.c.body_id.in_(complete)))
            if deleted.rowcount != len(complete):
                # Another process assumed that this one had ended, and gave its pieces to the sweeper.
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
            # The error may have ended the transaction. Let the batch fail; its jobs are tried one by one.
            raise
        except Exception:
            failure = Failure()
            savepoint.rollback()
            return Outcome(job, failure)
        savepoint.commit()
        return Outcome(job, result)

    def _failed(
        self, batch: Sequence[Job], error: Exception, mark: int, done: list[Outcome], began: float
    ) -> list[Outcome]:
        """Handle a failed batch: find out whether it was committed, else try its jobs one by one or refuse them.

        @param mark: the mark of the commit if COMMIT was sent, else 0.
        @param done: the outcomes to return if the commit succeeded nevertheless.
        @param began: when the commit began, by the monotonic clock.
        """
        verdict = self._verdict(error)
        if mark or verdict in (Verdict.LOST, Verdict.DAMAGED):
            self._discard()
        else:
            self._roll_back()
        if mark:
            committed = self._is_committed(mark, began)
            if committed:
                return done
            if committed is None:
                verdict = Verdict.LOST
        if verdict is Verdict.FULL and not any(job.octets for job in batch) and self._engine.release_reserve():
            return self._commit(batch)
        if len(batch) > 1 and verdict in (Verdict.REFUSED, Verdict.FULL, Verdict.DAMAGED):
            return [outcome for job in batch for outcome in self._commit([job])]
        refused = store_error(error, verdict)
        return [Outcome(job, Failure(refused)) for job in batch]

    def _verdict(self, error: Exception) -> Verdict:
        if isinstance(error, StoreUntrusted | StoreRetired):
            # Trying the jobs one by one would meet the same store.
            return Verdict.BUSY
        if isinstance(error, StoreError):
            # Raised by this module: the connection is still usable.
            return Verdict.FULL if isinstance(error, StoreFull) else Verdict.REFUSED
        return self._engine.verdict(error)

    def _roll_back(self) -> None:
        try:
            if self._connection is not None:
                self._connection.rollback()
        except Exception:
            self._log_unexpected("store-rollback-exception", Failure())
            self._discard()

    def _refuse_waiting(self, error: Exception) -> None:
        """Refuse the waiting jobs: each would wait just as long for a database that cannot be reached."""
        if jobs := self._inbox.take_all():
            refused = store_error(error, self._verdict(error))
            self._report([Outcome(job, Failure(refused)) for job in jobs])

    def _is_committed(self, mark: int, began: float) -> bool | None:
        """Look up a commit by its mark. Returns None if the database did not return in time to prove the answer.

        Called without a connection, because only a new connection can prove what is on disk.
        """
        reopening = time.monotonic()
        give_up_at = reopening + _GIVE_UP_AFTER
        if self._engine.over_network:
            give_up_at = min(give_up_at, began + _GIVE_UP_UNREACHABLE_AFTER)
        while True:
            try:
                connection = self._connected()
                with self._engine.commit_lock():
                    found = connection.execute(self._select_mark).scalar()
                    if not self._engine.can_prove_commits(connection):
                        raise StoreError("the database cannot prove that its commits are on disk")
                    connection.rollback()
                    self._check_files(connection)
                return bool(found == mark)
            except StoreUntrusted:
                return None
            except Exception as error:
                self._discard()
                if time.monotonic() >= give_up_at:
                    self._log_unexpected("store-in-doubt-exception", Failure())
                    return None
                if self._engine.over_network or time.monotonic() >= reopening + _REFUSE_WAITING_AFTER:
                    self._refuse_waiting(error)
                time.sleep(_REOPEN_EVERY)

"""The move of a store: copy, compare, then retire the former store and release the copy."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, delete, select, text
from sqlalchemy.exc import SQLAlchemyError

from emailsys.interfaces import StoreError, StoreMissing
from emailsys.store.commit.ids import NODES, node_of
from emailsys.store.engine.base import Engine, error_text, no_store_text
from emailsys.store.moving import target as target_of
from emailsys.store.moving.changes import stop_recording
from emailsys.store.moving.copying import Copying, Report
from emailsys.store.node.lock_connection import NODE_LOCKS
from emailsys.store.node.watch import SILENT_FOR
from emailsys.store.schema import tables as schema
from emailsys.store.schema.identity import KeptIdentity, read_identity
from emailsys.store.schema.migrate import lock_schema
from emailsys.store.schema.move_marks import COMPLETE, MOVED, raise_if_marked, write_mark

# Rows that may have to be copied and compared while no process may commit.
_FEW: Final = 300
# Seconds for that, and in which a round before it must end.
_LOCKED_SECONDS: Final = 4.0
_ROUND_SECONDS: Final = 1.0
# Rounds and attempts after which the move is given up: the store changes faster than it can be copied.
_ROUNDS: Final = 200
_ATTEMPTS: Final = 5
# The numbers of the nodes that use a PostgreSQL store: advisory locks with two keys (PostgreSQL manual, pg_locks).
_NODES: Final = (
    "SELECT objid::integer FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND classid = :kind AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_TRY_NODE: Final = text("SELECT pg_try_advisory_xact_lock(:kind, :node)")
# Seconds between two looks at the numbers that are in use.
_LOOK_EVERY: Final = 0.25
# Seconds that PostgreSQL waits for transactions in progress.
_LOCK_WAIT: Final = "2s"


class TooBusy(StoreError):
    """The store changes faster than it can be copied."""


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn errors of the databases into StoreError."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as error:
        raise StoreError(f"the store was not moved: {error_text(error)}") from error


class _OutOfTime(Exception):
    """The last changes cannot be copied fast enough now."""


class _NodeUnseen(Exception):
    """A node has leases and no connection: it has ended, or connects again at any moment."""


@dataclass(slots=True)
class Moved:
    """The outcome of a move.

    @ivar rows: the number of rows by table, when they were compared.
    @ivar damaged: the ids of messages whose bodies were damaged already before.
    @ivar finished: whether a move before this one had copied everything.
    @ivar locked_at: when commits ended, by the monotonic clock.
    """

    rows: dict[str, int] = field(default_factory=dict)
    damaged: tuple[int, ...] = ()
    finished: bool = False
    locked_at: float = 0.0


class Move:
    """A move between two databases.

    If it ends early, the former store goes on, and nothing is left in it but perhaps a record of changes, which the
    next move or the next start of a daemon removes.
    """

    def __init__(self, source: Engine, target: Engine, kept: KeptIdentity, report: Report) -> None:
        """
        @param kept: the identity that the store must have.
        """
        self._source, self._target = source, target
        self._kept = kept
        self._report = report
        self._connections: list[tuple[Engine, Connection]] = []
        self._copying: Copying | None = None
        self._is_closed = False
        #: Whether the target has at most an unfinished copy in it, which only this move has written.
        self.has_own_copy = False
        # Nodes that have ended, although they have leases.
        self._ended: set[int] = set()

    def close(self) -> None:
        """Stop recording changes, and close all connections and both engines. A second call does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._copying is not None:
            with suppress(*self._source.errors, StoreError):
                stop_recording(self._source, self._writer)
        for engine, connection in self._connections:
            engine.close_reader(connection)
        self._source.close()
        self._target.close()

    def begin(self) -> str | None:
        """Look at both databases, and begin to record changes.

        @return: what an earlier move left in the target, in words; None if nothing.
        @raise StoreError: the store cannot be moved there. Nothing was changed.
        """
        self._writer = self._opened(self._source, self._source.connect_writer())
        self._there = self._opened(self._target, self._target.connect_writer())
        target_of.claim(self._target, self._there)
        self.has_own_copy = target_of.mark_of(self._there) is None
        found = target_of.mark_of(self._writer)
        if found is None:
            raise StoreMissing(no_store_text(self._source.location))
        if found == MOVED:
            self._check_finished()
            return None
        raise_if_marked(found, self._source.location)
        with self._writer.begin():
            self._kept.check(self._writer, self._source.location)
            identity = read_identity(self._writer)
        if found != schema.REVISION:
            raise StoreError(
                f"the store has schema {found}, and this release needs {schema.REVISION}: start the daemon"
            )
        was_unfinished = target_of.prepare(self._target, self._there, identity)
        was_recording = stop_recording(self._source, self._writer)
        reader = self._opened(self._source, self._source.connect_reader())
        self._copying = Copying(self._source, reader, self._writer, self._target, self._there, self._report)
        self._copying.start()
        if was_unfinished or was_recording:
            return "an earlier move was not finished; this one starts afresh"
        return None

    def _opened(self, engine: Engine, connection: Connection) -> Connection:
        self._connections.append((engine, connection))
        return connection

    def _check_finished(self) -> None:
        """@raise StoreError: the store was moved, but not to this target."""
        mark = target_of.mark_of(self._there)
        if mark in (COMPLETE, schema.REVISION) and target_of.identity_of(self._there) == self._kept.read():
            return
        raise StoreError(f"{self._source.location} was moved already, but not to {self._target.location}")

    @property
    def is_finishing(self) -> bool:
        """Whether an earlier move had copied everything, so that only `switch` is left."""
        return self._copying is None

    def copy(self) -> None:
        """Copy and compare everything, while the store may change. Takes as long as that takes."""
        if self._copying is not None:
            self._copying.copy()
            self._copying.compare()
            if self._target.locks_rows:
                with self._there.begin():
                    self._there.exec_driver_sql("ANALYZE")

    def approach(self) -> None:
        """Copy what has changed until very little is left.

        @raise TooBusy: that does not succeed.
        """
        if self._copying is None:
            return
        for _ in range(_ROUNDS):
            began = time.monotonic()
            if self._copying.settle() <= _FEW and time.monotonic() < began + _ROUND_SECONDS:
                return
        raise TooBusy("the store changes faster than it can be copied. Try again when fewer messages arrive")

    def switch(self, until: float = math.inf) -> Moved:
        """Copy the last changes while no process commits; retire the store; release the copy.

        @param until: when the store must be retired, by the monotonic clock. Later, the daemon may deliver mail again.
        @raise StoreError: the former store goes on.
        """
        if self._copying is None:
            target_of.release(self._target, self._there)
            return Moved(finished=True, locked_at=time.monotonic())
        for _ in range(_ATTEMPTS):
            self.approach()
            if time.monotonic() > until:
                break
            try:
                locked_at = self._retire(self._copying, until)
            except _OutOfTime:
                continue
            except _NodeUnseen:
                self._watch_nodes()
                continue
            target_of.release(self._target, self._there)
            return Moved(self._copying.counts, tuple(sorted(self._copying.damaged)), locked_at=locked_at)
        raise TooBusy("the last changes could not be copied fast enough. Try again when fewer messages arrive")

    def _retire(self, copying: Copying, until: float) -> float:
        with self._alone(self._source, self._writer) as locked_at:

            def check_time() -> None:
                if time.monotonic() > min(locked_at + _LOCKED_SECONDS, until):
                    raise _OutOfTime

            self._raise_if_delivering()
            copying.finish(self._writer, check_time)
            check_time()
            self.has_own_copy = False
            with self._target.commit_lock(), self._there.begin():
                target_of.complete(self._target, self._there)
            # The end of the former store, in one commit: every process needs its row here for each commit of its own.
            self._writer.execute(delete(schema.commits))
            write_mark(self._writer, MOVED)
        return locked_at

    def _raise_if_delivering(self) -> None:
        """Check that no other node is delivering mail, which would be sent again from the copy.

        @raise StoreError: one is. `_NodeUnseen`: one may be.
        """
        if not self._source.locks_rows:
            return
        leases = self._writer.execute(select(schema.queue.c.lease).where(schema.queue.c.lease.is_not(None)).distinct())
        leased = {node_of(lease) for lease in leases.scalars()}
        # If it is free, a node that connects again cannot take its number before the store is retired.
        free = {node for node in leased if self._writer.execute(_TRY_NODE, {"kind": NODE_LOCKS, "node": node}).scalar()}
        if leased - free:
            raise StoreError("another node is delivering mail of this store. Stop all nodes but one, then move")
        if free - self._ended:
            raise _NodeUnseen

    def _watch_nodes(self) -> None:
        """Find nodes that have ended: without a connection for so long that they deliver nothing any more."""
        began, seen = time.monotonic(), set[int]()
        while time.monotonic() < began + SILENT_FOR:
            time.sleep(_LOOK_EVERY)
            with self._writer.begin():
                seen.update(self._writer.execute(text(_NODES), {"kind": NODE_LOCKS}).scalars())
        self._ended = set(range(NODES)) - seen

    @contextmanager
    def _alone(self, engine: Engine, connection: Connection) -> Iterator[float]:
        """Provide a transaction beside which no process commits. Yields when it began."""
        locked_at = time.monotonic()
        with engine.commit_lock(), connection.begin():
            if engine.locks_rows:
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_LOCK_WAIT}'")
                lock_schema(engine, connection)
                # Each group commit updates a row there. Those in progress end first; others wait.
                connection.execute(text("LOCK TABLE commits IN EXCLUSIVE MODE"))
            yield locked_at

    def tidy(self) -> None:
        """Do what need not be done before a daemon uses the copy."""
        with suppress(*self._target.errors):
            target_of.validate(self._target, self._there)

"""The connection to PostgreSQL that holds a node's advisory locks, and with them its number."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, text
from twisted.internet.defer import Deferred

from emailsys.interfaces import StoreError
from emailsys.store.commit.database import Database, DelayedCall, Reactor
from emailsys.store.commit.ids import NODES
from emailsys.store.engine.base import Engine, error_text
from emailsys.store.node.watch import SILENT_FOR, Holder, Sign

T = TypeVar("T")

# First key of the two-key advisory locks in PostgreSQL. Maildrops use the other kind, with one 64-bit key.
NODE_LOCKS: Final = 1
# Seconds between two checks that the connection, and with it the node number, is still held.
_CHECK_EVERY: Final = 1.0
# Seconds for which a check proves that no other node takes leases of this one. Others wait longer than that.
_CERTAIN_FOR: Final = SILENT_FOR - 2.0
# Seconds after a failed connection in which the next calls fail at once: they were waiting for that connection.
_FAIL_TOGETHER: Final = 0.5
# Milliseconds to wait for the end of a server process whose connection was lost (PostgreSQL 14 and newer wait).
_STALE_BACKEND_TIMEOUT_MS: Final = 2000

_TRY_NODE: Final = text("SELECT pg_try_advisory_lock(:kind, :node)")
_TRY_NODE_IN_TRANSACTION: Final = text("SELECT pg_try_advisory_xact_lock(:kind, :node)")
# PostgreSQL 14 and newer wait for the end of the server process.
_TERMINATE: Final = text(
    "SELECT pg_terminate_backend(pid, :wait) FROM pg_stat_activity WHERE pid = :pid AND backend_start = :since"
)
# Every check of a node changes the `state_change` of its connection.
_SIGNS: Final = text(
    "SELECT held.objid AS node, client.pid, client.backend_start AS since, client.state_change AS seen"
    " FROM pg_locks AS held JOIN pg_stat_activity AS client ON client.pid = held.pid"
    " WHERE held.locktype = 'advisory' AND held.classid = :kind AND held.objsubid = 2 AND held.granted"
    " AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
# The connection that holds the lock of a maildrop, which has one key of 64 bits. Both times are by the server's clock.
_HOLDER: Final = text(
    "SELECT client.pid, client.backend_start AS since, client.state_change AS seen,"
    " extract(epoch FROM clock_timestamp() - client.state_change)::float AS silent_for"
    " FROM pg_locks AS held JOIN pg_stat_activity AS client ON client.pid = held.pid"
    " WHERE held.locktype = 'advisory' AND held.objsubid = 1 AND held.granted"
    " AND ((held.classid::bigint << 32) | held.objid::bigint) = :key"
    " AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
# The channel of notices between processes, in the database of the store.
_CHANNEL: Final = "emailsys"
_LISTEN: Final = text(f"LISTEN {_CHANNEL}")
_NOTIFY: Final = text("SELECT pg_notify(:channel, :notice)")


class NodeTaken(StoreError):
    """Another process uses this process's node number."""


class LockConnection:
    """A connection for advisory locks, because they belong to a connection, with one thread for it.

    The node number is such a lock. It is checked regularly. If another process has taken it, the store refuses writes
    until the number is free again, because two processes with one number would make the same ids.
    """

    def __init__(self, engine: Engine, reactor: Reactor) -> None:
        self._engine = engine
        self._reactor = reactor
        self._connection: Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-locks")
        self._database: Database | None = None
        self._closed = False
        #: Accounts whose maildrops the present connection has locked. Used only in the thread.
        self.held: set[int] = set()
        # Process id and start time of the server process for the connection that holds the node number.
        self._backend: Any = None
        self._next: DelayedCall | None = None
        # When a connection failed for the last time, by the monotonic clock.
        self._unreachable_at = float("-inf")
        # How often the node number was locked, and when the server last showed that it was: see `tenure`.
        self._claims = 0
        self._confirmed_at = float("-inf")
        #: Called with each notice of another process, at the next use of the connection.
        self.heard: Callable[[str], None] = _ignore
        self.node = -1
        self._thread.submit(self.call, _ping).result()

    def tenure(self) -> int | None:
        """Return the number of times that the node number was locked. None if it may be lost at this moment.

        While the result stays the same, no other node has taken a lease of this one. Callable in any thread.
        """
        is_certain = self._reactor.seconds() < self._confirmed_at + _CERTAIN_FOR
        return self._claims if is_certain else None

    def _claim_node(self, connection: Connection) -> int:
        if self._backend is not None:
            # After a network failure, the old server process may hold the node number for hours.
            _terminate(connection, self._backend.pid, self._backend.since)
        for node in [self.node] if self.node >= 0 else range(NODES):
            if connection.execute(_TRY_NODE, {"kind": NODE_LOCKS, "node": node}).scalar():
                self._backend = connection.execute(
                    text("SELECT pid, backend_start AS since FROM pg_stat_activity WHERE pid = pg_backend_pid()")
                ).one()
                self._claims += 1
                self._listen(connection)
                return node
        if self.node < 0:
            raise StoreError("too many processes use the store")
        raise NodeTaken("another process took this process's node number while the database was unreachable")

    def _listen(self, connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        own = driver.info.backend_pid

        def hear(notice: Any) -> None:
            if notice.pid != own:
                self._reactor.callFromThread(lambda: self.heard(notice.payload))

        driver.add_notify_handler(hear)
        connection.execute(_LISTEN)

    def call(self, function: Callable[[Connection], T]) -> T:
        """Call the function, on a new connection if the old one is lost. Runs in the thread.

        @raise StoreError: there is no connection that holds the node number.
        """
        for is_last in (False, True):
            began, connecting = self._reactor.seconds(), self._connection is None
            if connecting and time.monotonic() < self._unreachable_at + _FAIL_TOGETHER:
                raise StoreError("the lock connection is lost")
            try:
                if self._connection is None:
                    self._connection = self._engine.connect_reader()
                    connecting = False
                    self.node = self._claim_node(self._connection)
                result = function(self._connection)
                self._connection.rollback()
            except StoreError:
                # Without the node number, the connection is useless.
                self._drop()
                raise
            except Exception as error:
                self._drop()
                if connecting:
                    self._unreachable_at = time.monotonic()
                if is_last or connecting:
                    raise StoreError(f"the lock connection is lost: {error_text(error)}") from error
            else:
                self._confirmed_at = began
                return result
        raise AssertionError("the second attempt returns or raises")

    def later(self, function: Callable[[Connection], T]) -> Deferred[T]:
        """Call the function in the thread, after what was submitted before."""
        done: Deferred[T] = Deferred()
        self._thread.submit(self.call, function).add_done_callback(lambda future: self._answer(future, done))
        return done

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """Run the function in the thread, after what was submitted before, whether or not there is a connection."""
        return self._thread.submit(function)

    async def settle(self) -> None:
        """Wait until the thread has done what was submitted before."""
        done: Deferred[None] = Deferred()
        self._thread.submit(_nothing).add_done_callback(lambda future: self._answer(future, done))
        await done

    def _answer(self, future: Future[T], done: Deferred[T]) -> None:
        error = future.exception()
        if error is None:
            self._reactor.callFromThread(done.callback, future.result())
        else:
            self._reactor.callFromThread(done.errback, error)

    # Signs of life

    def watch(self, database: Database) -> None:
        """Check the node number regularly, and block writes to the database while another process has it."""
        self._database = database
        self._next = self._reactor.callLater(_CHECK_EVERY, self._check)

    def _check(self) -> None:
        self._next = None
        checking = self._thread.submit(self.call, _ping)
        checking.add_done_callback(lambda future: self._reactor.callFromThread(self._checked, future))

    def _checked(self, future: Future[Any]) -> None:
        if self._closed or self._database is None:
            return
        error = future.exception()
        # If the server is unreachable, writes fail by themselves.
        if error is None or isinstance(error, NodeTaken):
            self._database.block_writes(None if error is None else str(error))
        self._next = self._reactor.callLater(_CHECK_EVERY, self._check)

    async def signs(self) -> Mapping[int, Sign]:
        """Return the nodes whose numbers are locked, this one among them, each with its latest sign of life."""

        def read(connection: Connection) -> dict[int, Sign]:
            rows = connection.execute(_SIGNS, {"kind": NODE_LOCKS}).all()
            return {int(row.node): Sign(row.pid, row.since, row.seen) for row in rows}

        return await self.later(read)

    async def holder(self, account_id: int) -> Holder | None:
        """Return what the server knows of the connection that has locked a maildrop. None if it is free."""

        def read(connection: Connection) -> Holder | None:
            row = connection.execute(_HOLDER, {"key": account_id}).one_or_none()
            return None if row is None else Holder(Sign(row.pid, row.since, row.seen), row.silent_for or 0.0)

        return await self.later(read)

    async def notify(self, notice: str) -> None:
        """Send a notice to all processes that use the store."""
        await self.later(lambda connection: connection.execute(_NOTIFY, {"channel": _CHANNEL, "notice": notice}))

    async def hear(self) -> None:
        """Call `heard` with the notices that have arrived."""
        await self.later(_ping)

    async def terminate(self, sign: Sign) -> None:
        """End the server process of a node that gives no sign of life. If the node still runs, it notices that."""
        await self.later(lambda connection: _terminate(connection, sign.pid, sign.since))

    def lock_other(self, connection: Connection, node: int) -> bool:
        """Lock the number of a node that has ended until the end of the transaction. Returns whether it was free.

        @param connection: a writer connection, in a transaction.
        """
        keys = {"kind": NODE_LOCKS, "node": node}
        return node == self.node or bool(connection.execute(_TRY_NODE_IN_TRANSACTION, keys).scalar())

    def is_node_alive(self, node: int) -> bool:
        """Try to lock the node number. Called only while the store is opened."""
        if node == self.node:
            return True

        def probe(connection: Connection) -> bool:
            keys = {"kind": NODE_LOCKS, "node": node}
            free = bool(connection.execute(_TRY_NODE, keys).scalar())
            if free:
                connection.execute(text("SELECT pg_advisory_unlock(:kind, :node)"), keys)
            return not free

        return self._thread.submit(self.call, probe).result()

    # The end

    def _drop(self) -> None:
        self._confirmed_at = float("-inf")
        self.held.clear()
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def close(self) -> None:
        """Close the connection, which releases its locks."""
        self._closed = True
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._thread.submit(self._unlock_all)
        self._thread.shutdown()

    def _unlock_all(self) -> None:
        """Unlock all, then close the connection: the server would notice its end only a moment later."""
        try:
            if self._connection is not None:
                self._connection.execute(text("SELECT pg_advisory_unlock_all()"))
        except self._engine.errors:
            # The connection is lost, and its locks with it.
            self._connection = None
        self._drop()


def _terminate(connection: Connection, pid: int, since: Any) -> None:
    connection.execute(_TERMINATE, {"pid": pid, "since": since, "wait": _STALE_BACKEND_TIMEOUT_MS})


def _ignore(notice: str) -> None:
    """Ignore a notice: nothing of this process needs it."""


def _nothing() -> None:
    """Only tell that the thread has done what came before."""


def _ping(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))

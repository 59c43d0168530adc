"""Locks on maildrops and node numbers: file locks on one machine, advisory locks of PostgreSQL across machines."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Protocol

from sqlalchemy import Connection, text, update
from twisted.internet.defer import Deferred

from emailsys.interfaces import StoreError
from emailsys.store.commit.database import Database, DelayedCall, Reactor
from emailsys.store.commit.ids import NODES
from emailsys.store.engine.base import Engine, error_text
from emailsys.store.engine.file_locks import ByteLocks
from emailsys.store.schema import tables

# First key of the two-key advisory locks in PostgreSQL. Maildrops use the other kind, with one 64-bit key.
NODE_LOCKS: Final = 1
# Seconds between two checks that the lock connection, and with it the node number, is still held.
_CHECK_EVERY: Final = 5.0
# Seconds after a failed connection in which the next calls fail at once: they were waiting for that connection.
_FAIL_TOGETHER: Final = 0.5
# Milliseconds to wait for the end of a server process whose connection was lost (PostgreSQL 14 and newer wait).
_STALE_BACKEND_TIMEOUT_MS: Final = 2000


class NodeTaken(StoreError):
    """Another process uses this process's node number."""


class MaildropLocks(Protocol):
    """Locks that a crash releases. Callers never lock an account twice in one process."""

    async def acquire(self, account_id: int) -> int | None:
        """Lock a maildrop. Returns its fencing number (0: none needed), or None if another process holds it."""

    def release(self, account_id: int) -> None:
        """Release the lock of a maildrop, possibly later."""

    async def settle(self) -> None:
        """Wait until the locks are released for which `release` was called."""

    def is_node_alive(self, node: int) -> bool:
        """Whether any process, including this one, uses the node number."""

    def close(self) -> None:
        """Release all locks."""


class KernelLocks:
    """Locks in one file: its first 1,024 bytes are for nodes, the byte at an account id is for its maildrop."""

    def __init__(self, path: Path) -> None:
        self._bytes = ByteLocks(path)
        self.node = next((node for node in range(NODES) if self._bytes.try_lock(node)), -1)
        if self.node < 0:
            raise StoreError("too many processes use the store")

    async def acquire(self, account_id: int) -> int | None:
        """Lock a maildrop. Needs no fencing number: the kernel never takes a lock from a running process."""
        return 0 if self._bytes.try_lock(account_id) else None

    def release(self, account_id: int) -> None:
        """Release the lock at once."""
        self._bytes.unlock(account_id)

    async def settle(self) -> None:
        """Return at once."""

    def is_node_alive(self, node: int) -> bool:
        """Check the byte of the node."""
        return node == self.node or self._bytes.is_locked(node)

    def close(self) -> None:
        """Close the file, which releases its locks."""
        self._bytes.close()


class AdvisoryLocks:
    """Advisory locks, on a separate connection because they belong to a connection, with one thread for it.

    If the connection is lost, its locks are lost. Another node may then open a maildrop that a session here still uses.
    Each session gets a new fencing number, and a session deletes nothing if its number is no longer the latest.

    The node number is such a lock, too, and is checked regularly. If another process has taken it, the store refuses
    writes until the number is free again, because two processes with one number would make the same ids.
    """

    def __init__(self, engine: Engine, reactor: Reactor) -> None:
        self._engine = engine
        self._reactor = reactor
        self._connection: Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-locks")
        self.database: Database | None = None
        self._closed = False
        # Accounts that the present connection has locked. Used only in the thread.
        self._held: set[int] = set()
        # Process id and start time of the server process for the connection that holds the node number.
        self._backend: Any = None
        self._next: DelayedCall | None = None
        # When a connection failed for the last time, by the monotonic clock.
        self._unreachable_at = float("-inf")
        self.node = -1
        self.node = self._thread.submit(self._call, _ping).result()

    def _claim_node(self, connection: Connection) -> int:
        if self._backend is not None:
            # After a network failure, the old server process may hold the node number for hours.
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid, :wait) FROM pg_stat_activity"
                    " WHERE pid = :pid AND backend_start = :since"
                ),
                {"pid": self._backend.pid, "since": self._backend.since, "wait": _STALE_BACKEND_TIMEOUT_MS},
            )
        asked = text("SELECT pg_try_advisory_lock(:kind, :node)")
        for node in [self.node] if self.node >= 0 else range(NODES):
            if connection.execute(asked, {"kind": NODE_LOCKS, "node": node}).scalar():
                self._backend = connection.execute(
                    text("SELECT pid, backend_start AS since FROM pg_stat_activity WHERE pid = pg_backend_pid()")
                ).one()
                return node
        if self.node < 0:
            raise StoreError("too many processes use the store")
        raise NodeTaken("another process took this process's node number while the database was unreachable")

    def _call(self, function: Callable[[Connection], Any]) -> Any:
        """Call the function, on a new connection if the old one is lost. Runs in the thread."""
        for is_last in (False, True):
            connecting = self._connection is None
            if connecting and time.monotonic() < self._unreachable_at + _FAIL_TOGETHER:
                raise StoreError("the lock connection is lost")
            try:
                if self._connection is None:
                    self._connection = self._engine.connect_reader()
                    connecting = False
                    node = self._claim_node(self._connection)
                    if self.node < 0:
                        return node
                result = function(self._connection)
                self._connection.rollback()
                return result
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
        return None

    def watch(self, database: Database) -> None:
        """Check the node number regularly, and block writes to the database while another process has it."""
        self.database = database
        self._next = self._reactor.callLater(_CHECK_EVERY, self._check)

    def _check(self) -> None:
        self._next = None
        checking = self._thread.submit(self._call, _ping)
        checking.add_done_callback(lambda future: self._reactor.callFromThread(self._checked, future))

    def _checked(self, future: Future[Any]) -> None:
        if self._closed or self.database is None:
            return
        error = future.exception()
        # If the server is unreachable, writes fail by themselves.
        if error is None or isinstance(error, NodeTaken):
            self.database.block_writes(None if error is None else str(error))
        self._next = self._reactor.callLater(_CHECK_EVERY, self._check)

    def _drop(self) -> None:
        self._held.clear()
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None

    def _answer(self, future: Future[Any], done: Deferred[Any]) -> None:
        error = future.exception()
        if error is None:
            self._reactor.callFromThread(done.callback, future.result())
        else:
            self._reactor.callFromThread(done.errback, error)

    async def acquire(self, account_id: int) -> int | None:
        """Lock a maildrop, then take the next fencing number."""
        assert self.database is not None

        def lock(connection: Connection) -> bool:
            # A connection can lock twice, and would then have to unlock twice.
            if account_id not in self._held:
                asked = text("SELECT pg_try_advisory_lock(:key)")
                if not connection.execute(asked, {"key": account_id}).scalar():
                    return False
                self._held.add(account_id)
            return True

        def fence(connection: Connection) -> int:
            account = tables.accounts
            number = connection.execute(
                update(account)
                .where(account.c.account_id == account_id)
                .values(fence=account.c.fence + 1)
                .returning(account.c.fence)
            ).scalar()
            return 0 if number is None else int(number)

        done: Deferred[bool] = Deferred()
        self._thread.submit(self._call, lock).add_done_callback(lambda future: self._answer(future, done))
        try:
            if not await done:
                return None
            return await self.database.run("fence", fence)
        except BaseException:
            # Cancelled or failed. The thread works in order, so the release comes after the lock.
            self.release(account_id)
            raise

    def release(self, account_id: int) -> None:
        """Release the lock later, in the thread. Does nothing after `close`."""
        if self._closed:
            return

        def unlock(connection: Connection) -> None:
            if account_id in self._held:
                self._held.remove(account_id)
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": account_id})

        def release() -> None:
            # A lock is lost with its connection.
            if account_id in self._held:
                self._call(unlock)

        self._thread.submit(release)

    async def settle(self) -> None:
        """Wait for the thread, which works in order."""
        done: Deferred[None] = Deferred()
        self._thread.submit(_nothing).add_done_callback(lambda future: self._answer(future, done))
        await done

    def is_node_alive(self, node: int) -> bool:
        """Try to lock the node number. Called only while the store is opened."""
        if node == self.node:
            return True

        def probe(connection: Connection) -> bool:
            keys = {"kind": NODE_LOCKS, "node": node}
            free = bool(connection.execute(text("SELECT pg_try_advisory_lock(:kind, :node)"), keys).scalar())
            if free:
                connection.execute(text("SELECT pg_advisory_unlock(:kind, :node)"), keys)
            return not free

        return bool(self._thread.submit(self._call, probe).result())

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


def _nothing() -> None:
    """Only tell that the thread has done what came before."""


def _ping(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))

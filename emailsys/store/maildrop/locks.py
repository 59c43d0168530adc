"""Hold maildrops and node numbers against other processes: by the kernel on one machine, by PostgreSQL over many."""

from __future__ import annotations

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

# The first key of PostgreSQL's two-key advisory locks; maildrops take the other kind, with one 64-bit key.
_NODE_LOCKS: Final = 1
# Seconds between two looks whether the lock connection, and with it this node's number, is still ours.
_LOOK_EVERY: Final = 5.0
# Milliseconds in which a backend of ours that outlived its connection has to end (PostgreSQL 14 and newer wait).
_STALE_BACKEND_TIMEOUT_MS: Final = 2000


class NodeTaken(StoreError):
    """Another process bears this one's number."""


class MaildropLocks(Protocol):
    """Locks that a crash releases. That one process asks once for an account is its own business."""

    async def acquire(self, account_id: int) -> int | None:
        """The fencing number of the lock, 0 where none is needed; None if another process holds it."""

    def release(self, account_id: int) -> None:
        """Give it back, some time soon."""

    def is_node_alive(self, node: int) -> bool:
        """Whether some process, this one included, bears the number."""

    def close(self) -> None:
        """Give all back."""


class KernelLocks:
    """One lock file: its first 1,024 bytes stand for nodes, the byte at an account's id for its maildrop."""

    def __init__(self, path: Path) -> None:
        self._bytes = ByteLocks(path)
        self.node = next((node for node in range(NODES) if self._bytes.try_lock(node)), -1)
        if self.node < 0:
            raise StoreError("too many processes use the store")

    async def acquire(self, account_id: int) -> int | None:
        """No fencing number is needed: the kernel takes no lock from the living."""
        return 0 if self._bytes.try_lock(account_id) else None

    def release(self, account_id: int) -> None:
        """At once."""
        self._bytes.unlock(account_id)

    def is_node_alive(self, node: int) -> bool:
        """By its byte."""
        return node == self.node or self._bytes.is_locked(node)

    def close(self) -> None:
        """The file is closed, and with it go its locks."""
        self._bytes.close()


class AdvisoryLocks:
    """One connection of its own, because advisory locks belong to a connection; one thread for it.

    If the connection is lost, so are the locks: another node may then open a maildrop that a session here still holds.
    Each opening takes a new fencing number, and a session deletes nothing whose number is no longer the last.

    The node's number is such a lock, too. It is looked after, and where another process has taken it meanwhile the
    store takes no writes until it is free again: two that bear one number would make the same ids.
    """

    def __init__(self, engine: Engine, reactor: Reactor) -> None:
        self._engine = engine
        self._reactor = reactor
        self._connection: Connection | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store-locks")
        self.database: Database | None = None
        self._closed = False
        # Accounts whose lock the present connection has; used in the thread alone.
        self._held: set[int] = set()
        # The server's process for the connection that has the number, and since when there is that process.
        self._backend: Any = None
        self._next: DelayedCall | None = None
        self.node = -1
        self.node = self._thread.submit(self._ask, _alive).result()

    def _claim_node(self, connection: Connection) -> int:
        if self._backend is not None:
            # A network that was cut leaves the server with a process that still has our number, for hours.
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid, :wait) FROM pg_stat_activity"
                    " WHERE pid = :pid AND backend_start = :since"
                ),
                {"pid": self._backend.pid, "since": self._backend.since, "wait": _STALE_BACKEND_TIMEOUT_MS},
            )
        asked = text("SELECT pg_try_advisory_lock(:kind, :node)")
        for node in [self.node] if self.node >= 0 else range(NODES):
            if connection.execute(asked, {"kind": _NODE_LOCKS, "node": node}).scalar():
                self._backend = connection.execute(
                    text("SELECT pid, backend_start AS since FROM pg_stat_activity WHERE pid = pg_backend_pid()")
                ).one()
                return node
        if self.node < 0:
            raise StoreError("too many processes use the store")
        raise NodeTaken("another process took this one's number while it was cut off from the database")

    def _ask(self, function: Callable[[Connection], Any]) -> Any:
        """In the thread: call the function, on a new connection if the old one is lost."""
        for last in (False, True):
            try:
                if self._connection is None:
                    self._connection = self._engine.connect_reader()
                    node = self._claim_node(self._connection)
                    if self.node < 0:
                        return node
                result = function(self._connection)
                self._connection.rollback()
                return result
            except StoreError:
                # Without the number the connection is of no use.
                self._drop()
                raise
            except Exception as error:
                self._drop()
                if last:
                    raise StoreError(f"the lock connection is lost: {error_text(error)}") from error
        return None

    def watch(self, database: Database) -> None:
        """Look after the number from now on, for the sake of that database."""
        self.database = database
        self._next = self._reactor.callLater(_LOOK_EVERY, self._look)

    def _look(self) -> None:
        self._next = None
        looking = self._thread.submit(self._ask, _alive)
        looking.add_done_callback(lambda future: self._reactor.callFromThread(self._looked, future))

    def _looked(self, future: Future[Any]) -> None:
        if self._closed or self.database is None:
            return
        error = future.exception()
        # Where the server is not there, writes find that out themselves.
        if error is None or isinstance(error, NodeTaken):
            self.database.block_writes(None if error is None else str(error))
        self._next = self._reactor.callLater(_LOOK_EVERY, self._look)

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
        """Take the lock, then the next fencing number."""
        assert self.database is not None

        def lock(connection: Connection) -> bool:
            # A connection gets its own lock again and would then have to give it back twice.
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
        self._thread.submit(self._ask, lock).add_done_callback(lambda future: self._answer(future, done))
        try:
            if not await done:
                return None
            return await self.database.run("fence", fence)
        except BaseException:
            # Cancelled or failed: the thread does one thing after the other, so this comes after the lock.
            self.release(account_id)
            raise

    def release(self, account_id: int) -> None:
        """Soon, in the thread; after `close` there is nothing left to release."""
        if self._closed:
            return

        def unlock(connection: Connection) -> None:
            if account_id in self._held:
                self._held.remove(account_id)
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": account_id})

        self._thread.submit(self._ask, unlock)

    def is_node_alive(self, node: int) -> bool:
        """By asking for its lock; called while opening only."""
        if node == self.node:
            return True

        def probe(connection: Connection) -> bool:
            keys = {"kind": _NODE_LOCKS, "node": node}
            free = bool(connection.execute(text("SELECT pg_try_advisory_lock(:kind, :node)"), keys).scalar())
            if free:
                connection.execute(text("SELECT pg_advisory_unlock(:kind, :node)"), keys)
            return not free

        return bool(self._thread.submit(self._ask, probe).result())

    def close(self) -> None:
        """End the connection, and with it its locks."""
        self._closed = True
        if self._next is not None:
            self._next.cancel()
            self._next = None
        self._thread.submit(self._part)
        self._thread.shutdown()

    def _part(self) -> None:
        """The server would notice the end of the connection a moment later; who opens next shall not depend on it."""
        try:
            if self._connection is not None:
                self._connection.execute(text("SELECT pg_advisory_unlock_all()"))
        except self._engine.errors:
            # It is lost, and the locks with it.
            self._connection = None
        self._drop()


def _alive(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))

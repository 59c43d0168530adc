"""Locks on maildrops and nodes: file locks on one machine, advisory locks of PostgreSQL across machines."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Protocol

from sqlalchemy import Connection, text, update

from emailsys.interfaces import StoreError
from emailsys.store.commit.database import Database, Reactor
from emailsys.store.commit.ids import NODES
from emailsys.store.engine.base import Engine
from emailsys.store.engine.file_locks import ByteLocks
from emailsys.store.maildrop.requests import MaildropRequests
from emailsys.store.node.lock_connection import LockConnection
from emailsys.store.node.notices import Notices
from emailsys.store.node.watch import NodeWatch
from emailsys.store.schema import tables
from emailsys.telemetry import Telemetry


class MaildropLocks(Protocol):
    """Locks that a crash releases. Callers never lock an account twice in one process."""

    async def acquire(self, account_id: int) -> int | None:
        """Lock a maildrop. Returns its fencing number (0: none needed), or None if another process holds it."""

    async def ask(self, account_id: int, takeover_after: float) -> bool:
        """Ask the other process that has locked a maildrop to give it up. Returns whether it is free now."""

    def answer_by(self, answer: Callable[[int], Awaitable[bool | None]]) -> None:
        """Set what answers the requests of other processes: see `MaildropRequests.answer`."""

    def release(self, account_id: int) -> None:
        """Release the lock of a maildrop, possibly later."""

    async def settle(self) -> None:
        """Wait until the locks are released for which `release` was called."""

    def is_node_alive(self, node: int) -> bool:
        """Whether any process, including this one, uses the node number."""

    def tenure(self) -> int | None:
        """Return a number that stays the same as long as no other process can have taken leases of this one.

        None if that is uncertain at this moment. Callable in any thread.
        """

    async def ended_nodes(self, nodes: Collection[int], patience: float) -> Sequence[int]:
        """Return those nodes whose processes have ended, so that their leases may be taken. Called every few seconds.

        The number of this process stands for an earlier process that had the same number.

        @param patience: seconds without a sign of life after which a process that hangs counts as ended.
        """

    def lock_ended(self, connection: Connection, node: int) -> bool:
        """Lock the number of an ended node until the transaction ends. Returns whether it was still free."""

    def close(self) -> None:
        """Release all locks."""


class KernelLocks:
    """Locks in one file: its first 1,024 bytes are for nodes, the byte at an account id is for its maildrop."""

    def __init__(self, path: Path) -> None:
        self._bytes = ByteLocks(path)
        #: Notices to other nodes, which there are none of.
        self.notices = Notices()
        self.node = next((node for node in range(NODES) if self._bytes.try_lock(node)), -1)
        if self.node < 0:
            raise StoreError("too many processes use the store")

    async def acquire(self, account_id: int) -> int | None:
        """Lock a maildrop. Needs no fencing number: the kernel never takes a lock from a running process."""
        return 0 if self._bytes.try_lock(account_id) else None

    async def ask(self, account_id: int, takeover_after: float) -> bool:
        """Return False: the daemon itself asks its worker processes (`Maildrops.ask_others`)."""
        return False

    def answer_by(self, answer: Callable[[int], Awaitable[bool | None]]) -> None:
        """Ignore it: the daemon itself passes requests on."""

    def release(self, account_id: int) -> None:
        """Release the lock at once."""
        self._bytes.unlock(account_id)

    async def settle(self) -> None:
        """Return at once."""

    def is_node_alive(self, node: int) -> bool:
        """Check the byte of the node."""
        return node == self.node or self._bytes.is_locked(node)

    def tenure(self) -> int:
        """Return 1: the kernel never takes a lock from a running process."""
        return 1

    async def ended_nodes(self, nodes: Collection[int], patience: float) -> Sequence[int]:
        """Return the nodes whose bytes are free. A process that hangs keeps its leases."""
        return [node for node in nodes if self.lock_ended(None, node)]

    def lock_ended(self, connection: Connection | None, node: int) -> bool:
        """Check the byte of the node. Locks nothing: a new process with this number makes new leases."""
        return node == self.node or not self._bytes.is_locked(node)

    def close(self) -> None:
        """Close the file, which releases its locks."""
        self._bytes.close()


class AdvisoryLocks:
    """Advisory locks on a connection of their own.

    If the connection is lost, its locks are lost. Another node may then open a maildrop that a session here still uses.
    Each session gets a new fencing number, and a session deletes nothing if its number is no longer the latest.
    """

    def __init__(self, engine: Engine, reactor: Reactor, telemetry: Telemetry) -> None:
        #: The connection, which holds the node number.
        self.connection = LockConnection(engine, reactor)
        #: Notices to other processes and nodes.
        self.notices = Notices(self.connection)
        self._requests = MaildropRequests(self.connection, self.notices, reactor, telemetry)
        self._reactor = reactor
        self._watch = NodeWatch()
        self._database: Database | None = None
        self.node = self.connection.node

    def watch(self, database: Database) -> None:
        """Check the node number regularly, and block writes to the database while another process has it."""
        self._database = database
        self.connection.watch(database)

    async def acquire(self, account_id: int) -> int | None:
        """Lock a maildrop, then take the next fencing number."""
        assert self._database is not None
        held = self.connection.held

        def lock(connection: Connection) -> bool:
            # A connection can lock twice, and would then have to unlock twice.
            if account_id not in held:
                asked = text("SELECT pg_try_advisory_lock(:key)")
                if not connection.execute(asked, {"key": account_id}).scalar():
                    return False
                held.add(account_id)
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

        try:
            if not await self.connection.later(lock):
                return None
            return await self._database.run("fence", fence)
        except BaseException:
            # Cancelled or failed. The thread works in order, so the release comes after the lock.
            self.release(account_id)
            raise

    async def ask(self, account_id: int, takeover_after: float) -> bool:
        """Ask by a notice, and wait for the answer for some seconds."""
        return await self._requests.ask(account_id, takeover_after)

    def answer_by(self, answer: Callable[[int], Awaitable[bool | None]]) -> None:
        """Answer the requests of other processes from now on."""
        self._requests.answer = answer

    def release(self, account_id: int) -> None:
        """Release the lock later, in the thread. Does nothing after `close`."""
        if self.connection.is_closed:
            return
        held = self.connection.held

        def unlock(connection: Connection) -> None:
            if account_id in held:
                held.remove(account_id)
                connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": account_id})

        def release() -> None:
            # A lock is lost with its connection.
            if account_id in held:
                self.connection.call(unlock)

        self.connection.submit(release)

    async def ended_nodes(self, nodes: Collection[int], patience: float) -> Sequence[int]:
        """Return the nodes whose numbers have been free for some seconds. Ends the connections of those that hang."""
        if not nodes:
            # What was seen of nodes that had leases says nothing of them when they have leases again.
            self._watch.look((), {}, self._reactor.seconds(), patience)
            return ()
        signs = {node: sign for node, sign in (await self.connection.signs()).items() if node != self.node}
        ended, hanging = self._watch.look(nodes, signs, self._reactor.seconds(), patience)
        for sign in hanging:
            await self.connection.terminate(sign)
        return ended

    async def settle(self) -> None:
        """Wait for the thread, which works in order."""
        await self.connection.settle()

    def is_node_alive(self, node: int) -> bool:
        """Try to lock the node number. Called only while the store is opened."""
        return self.connection.is_node_alive(node)

    def tenure(self) -> int | None:
        """Return how often this process has locked its number. None if the lock may be lost at this moment."""
        return self.connection.tenure()

    def lock_ended(self, connection: Connection, node: int) -> bool:
        """Lock the number of an ended node until the transaction ends. Returns whether it was still free."""
        return self.connection.lock_other(connection, node)

    def close(self) -> None:
        """Close the connection, which releases its locks."""
        self.connection.close()

"""Leases of nodes that are killed, hang, lose the connection that holds their number, or have another clock."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from emailsys.config.settings import StoreSettings
from emailsys.interfaces import QueueRow, Settlement, StoreError
from emailsys.mail.address import Address
from emailsys.store.node.watch import SILENT_FOR
from emailsys.store.open import open_store
from emailsys.telemetry import Telemetry
from tests.contract.engines import ClockedReactor, PostgreSQLCase, SQLiteCase, opening_by
from tests.contract.mail import MailCase, envelope, remote

# Seconds of a lease.
LEASE = 60.0


class LeaseCase(MailCase):
    """A store that is open twice; the other node has a clock of its own."""

    url: Any

    def other_node(self, ahead: float = 0.0) -> Any:
        """Open the store once more, with a clock that is ahead."""
        self.other_clock = Clock()
        self.other_clock.advance(self.clock.seconds() + ahead)
        options = opening_by(self.other_clock)
        reactor = ClockedReactor(self.other_clock)
        other = open_store(StoreSettings(url=self.url), self.state, reactor, Telemetry(), options)
        self.addCleanup(lambda: Deferred.fromCoroutine(other.close()))
        return other

    async def queued(self, count: int) -> None:
        for number in range(count):
            await self.send(b"x\r\n", envelope(remote(Address(f"user{number}", "example.net"))))

    async def looked(self, seconds: float, step: float = 2.0) -> bool:
        """Let this node look at the others for some seconds. Returns whether it returned leases."""
        returned: list[bool] = []
        self.store.queue.on_returned = lambda: returned.append(True)
        for _ in range(int(seconds / step)):
            self.clock.advance(step)
            await self.store.ended_nodes.step()
        return bool(returned)

    async def read(self, store: Any, row: QueueRow) -> bytes:
        return b"".join([piece async for piece in store.queue.pieces(row)])


def ping(connection: Connection) -> None:
    """Notice the end of a connection, and have the number locked again on a new one."""
    connection.exec_driver_sql("SELECT 1")


class PostgreSQLTests(PostgreSQLCase, LeaseCase):
    """Nodes on one server."""

    async def open_engine(self) -> Any:
        store = await super().open_engine()
        self.url: Any = self.url.render_as_string(hide_password=False)
        return store

    async def cut(self, store: Any) -> None:
        """End the connection that holds the number of a node."""
        pid = store._locks.connection._backend.pid

        def end(connection: Connection) -> None:
            # PostgreSQL 14 and newer wait for the end of the server process.
            connection.exec_driver_sql("SELECT pg_terminate_backend(%s, 10000)", (pid,))

        await self.store.database.read("end", end)

    async def test_leases_of_a_killed_node_are_due_after_some_seconds_and_not_before(self) -> None:
        other = self.other_node()
        await self.queued(3)
        self.assertEqual(len(await other.queue.lease(10, LEASE)), 3)
        self.assertFalse(await self.looked(2 * SILENT_FOR), "it runs")
        await other.close()
        self.assertFalse(await self.looked(SILENT_FOR), "it is not certain that it has ended")
        self.assertTrue(await self.looked(2.0))
        rows = await self.store.queue.lease(10, LEASE)
        self.assertEqual(len(rows), 3)
        (life,) = (await self.store.trace.search(rows[0].queue_id, 1)).lives
        self.assertIn("INTERRUPTED", [one.kind.name for one in life.happenings])

    async def test_leases_of_an_earlier_process_with_the_same_number_are_due_after_some_seconds(self) -> None:
        """It may run on: the connection that held the number may just have been cut."""
        await self.queued(1)
        (lost,) = await self.store.queue.lease(10, LEASE)
        number = self.store.database.ids.node
        await self.store.close()
        self.store = self.open_again(self.url)
        self.assertEqual(self.store.database.ids.node, number)
        self.clock.advance(2 * LEASE)
        self.assertEqual(list(await self.store.queue.lease(10, LEASE)), [])
        self.assertTrue(await self.looked(SILENT_FOR + 2.0))
        (row,) = await self.store.queue.lease(10, LEASE)
        self.assertEqual((row.row_id, await self.store.queue.settle([Settlement(lost)])), (lost.row_id, 0))

    async def test_no_clock_makes_a_lease_of_a_running_node_due(self) -> None:
        other = self.other_node(ahead=10 * 86_400.0)
        await self.queued(2)
        (mine,) = await self.store.queue.lease(1, LEASE)
        (others,) = await other.queue.lease(10, LEASE)
        self.other_clock.advance(86_400.0)
        self.clock.advance(20 * 86_400.0)
        for store in (self.store, other):
            # Each has leased one row, and gets it again if it has not renewed the lease.
            (row,) = await store.queue.lease(10, LEASE)
            self.assertEqual(row.row_id, (mine if store is self.store else others).row_id)
            self.assertEqual(list(await store.queue.lease(10, LEASE)), [])

    async def test_a_node_whose_connection_was_cut_sends_nothing_of_what_another_took(self) -> None:
        other = self.other_node()
        await self.queued(1)
        (row,) = await other.queue.lease(10, LEASE)
        self.assertEqual(await self.read(other, row), b"x\r\n")
        self.assertEqual(other.queue.tenure(), 1)
        await self.cut(other)
        self.assertTrue(await self.looked(SILENT_FOR + 2.0))
        # The clock of the other node has not moved, and it does not know.
        await self.refused(StoreError, self.read(other, row))
        self.other_clock.advance(SILENT_FOR)
        self.assertIsNone(other.queue.tenure(), "no check has proved that it still has the lock")
        await other._locks.connection.later(ping)
        self.assertEqual(other.queue.tenure(), 2)
        self.assertEqual(list(await other.queue.renew([row], LEASE)), [row])
        self.assertEqual(await other.queue.settle([Settlement(row)]), 0)

    async def test_a_node_that_comes_back_in_time_keeps_its_leases(self) -> None:
        other = self.other_node()
        await self.queued(1)
        (row,) = await other.queue.lease(10, LEASE)
        await self.looked(2.0)
        await self.cut(other)
        self.assertFalse(await self.looked(SILENT_FOR - 2.0))
        await other._locks.connection.later(ping)
        self.assertFalse(await self.looked(2 * SILENT_FOR))
        self.assertEqual(list(await other.queue.renew([row], LEASE)), [])

    async def test_a_former_cut_does_not_count_after_a_time_without_leases(self) -> None:
        other = self.other_node()
        await self.queued(2)
        (row,) = await other.queue.lease(1, LEASE)
        await self.cut(other)
        self.assertFalse(await self.looked(SILENT_FOR - 2.0))
        await other._locks.connection.later(ping)
        await other.queue.settle([Settlement(row)])
        self.assertFalse(await self.looked(SILENT_FOR))
        self.assertEqual(len(await other.queue.lease(1, LEASE)), 1)
        await self.cut(other)
        self.assertFalse(await self.looked(SILENT_FOR))
        self.assertTrue(await self.looked(2.0))

    async def test_a_node_that_hangs_loses_its_leases(self) -> None:
        """Its process is stopped: it holds its number, and its clock stands still."""
        other = self.other_node()
        await self.queued(1)
        (row,) = await other.queue.lease(10, LEASE)
        self.assertEqual(list(await self.store.queue.lease(10, 30.0)), [])
        self.assertFalse(await self.looked(30.0))
        self.assertTrue(await self.looked(SILENT_FOR + 6.0))
        self.assertEqual([again.row_id for again in await self.store.queue.lease(10, 30.0)], [row.row_id])


class SQLiteTests(SQLiteCase, LeaseCase):
    """The daemon and its predecessor, which ends while the new one already runs."""

    url = None

    async def test_leases_of_a_predecessor_that_was_killed_are_due_at_once(self) -> None:
        other = self.other_node()
        await self.queued(2)
        (row,) = await other.queue.lease(1, LEASE)
        self.clock.advance(2 * LEASE)
        (mine,) = await self.store.queue.lease(10, LEASE)
        self.assertNotEqual(mine.row_id, row.row_id)
        self.assertFalse(await self.looked(10.0))
        await other.close()
        self.assertTrue(await self.looked(2.0))
        self.assertEqual([again.row_id for again in await self.store.queue.lease(10, LEASE)], [row.row_id])

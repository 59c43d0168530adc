"""A move on each pair of engines."""

from __future__ import annotations

from twisted.internet.threads import deferToThread

from emailsys.interfaces import StoreError
from emailsys.store.moving import move, target
from emailsys.store.moving.move import Move
from tests.contract.engines import PostgreSQLCase, SQLiteCase
from tests.contract.mail import ALICE, envelope, local, remote
from tests.system.store.moving_cases import MoveCases, RowsCases


class SQLiteToPostgreSQLTests(SQLiteCase, MoveCases):
    """From a file to a server."""

    def target_url(self) -> str:
        return PostgreSQLCase.make_schema(PostgreSQLCase()).render_as_string(hide_password=False)

    async def test_two_stores_are_not_moved_to_one_database_at_once(self) -> None:
        """The second would remove the unfinished copy of the first."""
        self.patch(target, "_CLAIM_WAIT", 0.1)
        first, second = (self.move_between(self.here, self.there) for _ in range(2))
        first.begin()
        error = self.assertRaises(target.TargetInUse, second.begin)
        self.assertIn("another move", str(error))
        first.copy()
        first.switch()


class PostgreSQLToSQLiteTests(PostgreSQLCase, MoveCases):
    """Back to a file."""

    def target_url(self) -> str:
        return "sqlite:///other.sqlite"

    async def lease(self) -> None:
        """Let the node begin to deliver a message."""
        alice, bob = await self.users()
        await self.send(b"Subject: one\r\n\r\n", envelope(local(alice), remote(bob.address)))
        self.assertEqual(len(await self.store.queue.lease(4, 60)), 1)

    async def test_a_node_that_was_cut_off_a_moment_ago_may_be_delivering(self) -> None:
        """It connects again while the move looks, and the move is refused."""
        await self.lease()
        locks = self.store._locks.connection
        watch = Move._watch_nodes
        watched: list[Move] = []

        def connect_again(move: Move) -> None:
            locks.submit(lambda: locks.call(lambda connection: None)).result()
            watched.append(move)
            watch(move)

        self.patch(move, "SILENT_FOR", 0.3)
        self.patch(Move, "_watch_nodes", connect_again)
        # An administrator, or a network, ends the connection.
        await deferToThread(lambda: locks.submit(locks._drop).result())
        error = await self.refused(StoreError, deferToThread(self.moved))
        self.assertIn("another node is delivering", str(error))
        self.assertEqual(len(watched), 1)
        alice = await self.account(ALICE)
        await self.send(b"Subject: two\r\n\r\n", envelope(local(alice)))

    async def test_the_leases_of_a_node_that_has_ended_are_moved(self) -> None:
        await self.lease()
        await self.store.close()
        self.patch(move, "SILENT_FOR", 0.3)
        self.assertEqual((await deferToThread(self.moved)).rows["queue"], 1)


class SQLiteToSQLiteTests(SQLiteCase, RowsCases):
    """To another file."""

    def target_url(self) -> str:
        return "sqlite:///other.sqlite"


class PostgreSQLToPostgreSQLTests(PostgreSQLCase, RowsCases):
    """To another schema on a server."""

    def target_url(self) -> str:
        return self.make_schema().render_as_string(hide_password=False)


# These classes have no engine, so trial must not find them here.
del MoveCases, RowsCases

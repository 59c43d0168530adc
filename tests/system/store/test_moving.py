"""A move on each pair of engines."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.threads import deferToThread

from emailsys.interfaces import StoreError
from emailsys.store.moving import move, target
from emailsys.store.moving.move import Move
from tests.contract.engines import PostgreSQLCase, SQLiteCase
from tests.contract.mail import ALICE, envelope, local, remote
from tests.system.store.moving_cases import MoveCases, RowsCases


class OneAtATimeCases(RowsCases):
    """Two moves with one target."""

    async def test_two_stores_are_not_moved_to_one_database_at_once(self) -> None:
        """The second would remove the unfinished copy of the first, in the end with its file."""
        self.patch(target, "_CLAIM_WAIT", 0.1)
        first, second = (self.move_between(self.here, self.there) for _ in range(2))
        first.begin()
        error = self.assertRaises(target.TargetInUse, second.begin)
        self.assertIn("another move", str(error))
        self.assertEqual((first.has_own_copy, second.has_own_copy), (True, False))
        first.copy()
        first.switch()
        self.assertFalse(first.has_own_copy)


class SQLiteToPostgreSQLTests(SQLiteCase, MoveCases, OneAtATimeCases):
    """From a file to a server."""

    def target_url(self) -> str:
        return PostgreSQLCase.make_schema(PostgreSQLCase()).render_as_string(hide_password=False)


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


class SQLiteToSQLiteTests(SQLiteCase, OneAtATimeCases):
    """To another file."""

    def target_url(self) -> str:
        return "sqlite:///other.sqlite"

    async def test_a_file_that_another_move_writes_or_has_removed_is_not_used(self) -> None:
        """A move that fails removes its file. Another one may have opened it a moment before."""
        first, second = (self.move_between(self.here, self.there) for _ in range(2))
        first.begin()
        path = Path(self.state) / "other.sqlite"
        target.remove_files(path)
        self.assertTrue(path.exists(), "the first move is writing it")
        first.close()
        target.remove_files(path)
        self.assertEqual(list(path.parent.glob("other.sqlite*")), [])
        self.assertRaises(StoreError, second.begin)


class PostgreSQLToPostgreSQLTests(PostgreSQLCase, RowsCases):
    """To another schema on a server."""

    def target_url(self) -> str:
        return self.make_schema().render_as_string(hide_password=False)


# These classes have no engine, so trial must not find them here.
del MoveCases, OneAtATimeCases, RowsCases

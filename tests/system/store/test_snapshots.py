"""Snapshots of maildrops with more messages than one slice: whole, cached, and read by one thread at a time."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select, update
from twisted.internet.defer import Deferred, gatherResults

from emailsys.interfaces import Fate
from emailsys.store.commit.ids import id_text
from emailsys.store.ledger.endings import end_oldest
from emailsys.store.maildrop import snapshot
from emailsys.store.schema import tables
from tests.contract.engines import PostgreSQLCase, SQLiteCase
from tests.contract.mail import BOB, MailCase, envelope, local


class SnapshotsContract(MailCase):
    """On both engines, with slices of two messages."""

    async def _set_up(self) -> None:
        await super()._set_up()
        self.patch(snapshot, "_SLICE", 2)
        self.patch(snapshot, "_LEAST_KEPT", 3)
        self.alice, self.bob = await self.users()

    async def deliver(self, count: int, *accounts: Any) -> None:
        for number in range(count):
            await self.send(b"x" * (number + 1) + b"\r\n", envelope(*map(local, accounts)))

    def count_reads(self, name: str) -> list[int]:
        """Return a list that grows by one at each read of a slice or fingerprint."""
        reads: list[int] = []
        original = getattr(snapshot, name)

        def counting(*arguments: Any, **options: Any) -> Any:
            reads.append(1)
            return original(*arguments, **options)

        self.patch(snapshot, name, counting)
        return reads

    async def listed(self, account: Any) -> list[int]:
        maildrop = await self.store.maildrops.open(account.account_id)
        try:
            sizes: list[int] = maildrop.listMessages()
            return sizes
        finally:
            maildrop.release()

    async def test_all_messages_are_listed_whatever_their_number(self) -> None:
        """Also if the last slice is full or empty."""
        sizes: list[int] = []
        for _ in range(6):
            self.assertEqual(await self.listed(self.alice), sizes)
            await self.deliver(1, self.alice)
            (*before, size) = await self.listed(self.alice)
            self.assertEqual(before, sizes)
            sizes.append(size)

    async def test_a_maildrop_that_stands_still_is_not_read_again(self) -> None:
        await self.deliver(5, self.alice)
        sizes = await self.listed(self.alice)
        slices = self.count_reads("_read_slice")
        self.assertEqual(await self.listed(self.alice), sizes)
        self.assertEqual(slices, [])

    async def test_new_and_deleted_messages_are_noticed(self) -> None:
        """By another session, process or node: the database is asked each time."""
        await self.deliver(5, self.alice)
        maildrop = await self.store.maildrops.open(self.alice.account_id)
        ids = [maildrop.getUidl(number) for number in range(5)]
        maildrop.deleteMessage(1)
        maildrop.deleteMessage(4)
        await maildrop.sync()
        maildrop.release()
        maildrop = await self.store.maildrops.open(self.alice.account_id)
        self.assertEqual([maildrop.getUidl(number) for number in range(3)], [ids[0], ids[2], ids[3]])
        maildrop.release()
        await self.deliver(1, self.alice)
        self.assertEqual(len(await self.listed(self.alice)), 4)

    async def test_no_change_leaves_a_stale_list(self) -> None:
        """However the maildrop changes: nothing tells the kept snapshot, not even a commit of this process."""
        database, drop = self.store.database, tables.maildrop
        here = drop.c.account_id == self.alice.account_id

        async def ids() -> list[int]:
            asked = select(drop.c.row_id).where(here).order_by(drop.c.row_id)
            found = await database.read("ids", lambda connection: connection.execute(asked).scalars().all())
            return list(found)

        async def deletes() -> None:
            maildrop = await self.store.maildrops.open(self.alice.account_id)
            maildrop.deleteMessage(2)
            await maildrop.sync()
            maildrop.release()

        async def browser_deletes() -> None:
            await self.store.reading.delete(self.alice.account_id, [id_text((await ids())[0])])

        async def retention_deletes() -> None:
            account_id, placeholder = self.alice.account_id, database.engine.placeholder
            await database.run("end", lambda c: end_oldest(c, placeholder, account_id, 1, Fate.EXPIRED, 0, ""))

        async def another_process_replaces_the_last() -> None:
            (*_, last) = await ids()

            def write(connection: Connection) -> None:
                connection.execute(update(drop).where(here, drop.c.row_id == last).values(row_id=last + 1))

            await database.run("replace", write)

        async def another_node_moves(by: int, of: int) -> None:
            """A later id of the same node takes the place of one before that of a node whose clock is ahead."""
            moved = (await ids())[of]

            def write(connection: Connection) -> None:
                connection.execute(update(drop).where(here, drop.c.row_id == moved).values(row_id=moved + by))

            await database.run("move", write)

        await self.deliver(9, self.alice)
        for change in (
            lambda: another_node_moves(1 << 36, -1),
            lambda: another_node_moves(1 << 32, 0),
            lambda: self.deliver(1, self.alice),
            deletes,
            browser_deletes,
            retention_deletes,
            another_process_replaces_the_last,
            lambda: self.store.accounts.remove_user(BOB, True),
        ):
            # A session before the change makes a list. The one after it gets that list only if nothing has changed.
            before = await ids()
            maildrop = await self.store.maildrops.open(self.alice.account_id)
            assert maildrop.listings is not None
            maildrop.listings["LIST"] = b"before"
            maildrop.release()
            await change()
            maildrop = await self.store.maildrops.open(self.alice.account_id)
            after = await ids()
            uids = [maildrop.getUidl(number) for number in range(len(maildrop.listMessages()))]
            self.assertEqual(uids, [id_text(one).encode() for one in after], change)
            self.assertEqual(maildrop.listings, {"LIST": b"before"} if after == before else {}, change)
            maildrop.release()

    async def test_marks_of_one_session_are_not_those_of_the_next(self) -> None:
        await self.deliver(5, self.alice)
        for _ in range(2):
            maildrop = await self.store.maildrops.open(self.alice.account_id)
            self.assertEqual(maildrop.listMessages().count(0), 0)
            self.assertIsNotNone(maildrop.listings)
            maildrop.deleteMessage(0)
            self.assertIsNone(maildrop.listings)
            maildrop.undeleteMessages()
            maildrop.release()

    async def test_one_thread_at_a_time_reads_large_maildrops(self) -> None:
        """Ten maildrops are opened at once. The other threads are free for logins and for mail."""
        await self.deliver(5, self.alice, self.bob)
        running: list[int] = []
        most: list[int] = []
        original = snapshot._read_slice

        def watched(connection: Any, account_id: int, after: int, placeholder: str) -> Any:
            if after == snapshot._BEFORE_ALL:
                return original(connection, account_id, after, placeholder)
            running.append(1)
            most.append(len(running))
            try:
                return original(connection, account_id, after, placeholder)
            finally:
                running.pop()

        self.patch(snapshot, "_read_slice", watched)
        snapshots = snapshot.Snapshots(self.store.database, 1 << 20)
        asked = [snapshots.read(self.alice.account_id) for _ in range(10)]
        found = await gatherResults([Deferred.fromCoroutine(one) for one in asked])
        self.assertEqual({len(one.ids) for one in found}, {5})
        self.assertEqual(max(most), 1)

    async def test_nothing_is_kept_without_memory(self) -> None:
        self.patch(self.store.maildrops._snapshots, "_max_messages", 0)
        await self.deliver(5, self.alice)
        slices = self.count_reads("_read_slice")
        for _ in range(2):
            await self.listed(self.alice)
        self.assertEqual(len(slices), 6)
        maildrop = await self.store.maildrops.open(self.alice.account_id)
        self.assertIsNone(maildrop.listings)
        maildrop.release()

    async def test_the_cache_is_bounded(self) -> None:
        """What was not used for the longest time leaves it."""
        self.patch(self.store.maildrops._snapshots, "_max_messages", 7)
        await self.deliver(5, self.alice, self.bob)
        maildrop = await self.store.maildrops.open(self.alice.account_id)
        self.assertEqual(maildrop.listings, {})
        await self.listed(self.bob)
        # Of a snapshot that has left the memory, no session keeps long replies.
        self.assertIsNone(maildrop.listings)
        maildrop.release()
        slices = self.count_reads("_read_slice")
        await self.listed(self.bob)
        self.assertEqual(slices, [])
        await self.listed(self.alice)
        self.assertEqual(len(slices), 3)


class SQLiteSnapshotsTests(SQLiteCase, SnapshotsContract):
    """On SQLite."""


class PostgreSQLSnapshotsTests(PostgreSQLCase, SnapshotsContract):
    """On PostgreSQL."""


del SnapshotsContract, SQLiteCase, PostgreSQLCase, MailCase

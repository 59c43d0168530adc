"""Snapshots of maildrops with more messages than one slice: whole, cached, and read by one thread at a time."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from emailsys.store.maildrop import snapshot
from tests.contract.engines import PostgreSQLCase, SQLiteCase
from tests.contract.mail import MailCase, envelope, local


class SnapshotsContract(MailCase):
    """On both engines, with slices of two messages."""

    async def _set_up(self) -> None:
        await super()._set_up()
        self.patch(snapshot, "_SLICE", 2)
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
        self.assertEqual(len(slices), 1)

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

    async def test_marks_of_one_session_are_not_those_of_the_next(self) -> None:
        await self.deliver(5, self.alice)
        for _ in range(2):
            maildrop = await self.store.maildrops.open(self.alice.account_id)
            self.assertEqual(maildrop.listMessages().count(0), 0)
            maildrop.deleteMessage(0)
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
        snapshots = snapshot.Snapshots(self.store.database)
        asked = [snapshots.read(self.alice.account_id) for _ in range(10)]
        found = await gatherResults([Deferred.fromCoroutine(one) for one in asked])
        self.assertEqual({len(ids) for ids, _octets, _flags in found}, {5})
        self.assertEqual(max(most), 1)

    async def test_the_cache_is_bounded(self) -> None:
        """What was not used for the longest time leaves it."""
        self.patch(snapshot, "_CACHED", 7)
        await self.deliver(5, self.alice, self.bob)
        for account in (self.alice, self.bob):
            await self.listed(account)
        slices = self.count_reads("_read_slice")
        await self.listed(self.bob)
        self.assertEqual(len(slices), 1)
        await self.listed(self.alice)
        self.assertEqual(len(slices), 4)


class SQLiteSnapshotsTests(SQLiteCase, SnapshotsContract):
    """On SQLite."""


class PostgreSQLSnapshotsTests(PostgreSQLCase, SnapshotsContract):
    """On PostgreSQL."""


del SnapshotsContract, SQLiteCase, PostgreSQLCase, MailCase

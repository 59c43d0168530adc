"""What the store promises of its file: settings, a bounded WAL, a file that shrinks, ids and caches over processes."""

from __future__ import annotations

import itertools
import stat
import time
from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from emailsys.interfaces import MaildropInUse, StoreError
from emailsys.mail.address import Address
from emailsys.store.engine.base import Verdict
from emailsys.store.engine.wal import WalGauge
from emailsys.store.maintenance.sweeper import Sweeper
from emailsys.telemetry import Telemetry
from tests.contract.engines import WALL, ClockedReactor, SQLiteCase
from tests.contract.mail import ALICE, BOB, MailCase, envelope, local

KIB = 1024
MIB = 1024 * KIB


class SQLiteTests(SQLiteCase, MailCase):
    """One file, opened once or twice."""

    async def ask(self, query: str, writer: bool = False) -> Any:
        def ask(connection: Any) -> Any:
            return connection.connection.driver_connection.execute(query).fetchone()[0]

        return await (self.store.database.upkeep if writer else self.store.database.read)("ask", ask)

    def octets(self, suffix: str = "") -> int:
        return (self.state / f"mail.sqlite{suffix}").stat().st_size

    async def test_every_connection_has_the_settings_that_keep_mail(self) -> None:
        for writer in (False, True):
            for pragma, expected in (
                ("journal_mode", "wal"),
                ("synchronous", 2),
                ("foreign_keys", 1),
                ("page_size", 16 * KIB),
                ("auto_vacuum", 2),
                ("wal_autocheckpoint", 0),
                ("journal_size_limit", 16 * MIB),
                ("secure_delete", 0),
            ):
                self.assertEqual(await self.ask(f"PRAGMA {pragma}", writer), expected, pragma)
        self.assertEqual(await self.ask("PRAGMA query_only"), 1)

    async def test_the_files_of_the_store_are_readable_by_their_owner_only(self) -> None:
        await self.users()
        for path in self.state.iterdir():
            self.assertEqual(stat.S_IMODE(path.stat().st_mode) & 0o077, 0, path.name)

    async def test_the_wal_stays_bounded_while_a_long_session_is_open(self) -> None:
        alice, bob = await self.users()
        await self.send(b"x" * 100_000, envelope(local(alice)))
        maildrop = await self.open(alice)
        highest = 0
        for _ in range(20):
            await gatherResults(
                [Deferred.fromCoroutine(self.send(b"y" * (250 * KIB), envelope(local(bob)))) for _ in range(16)]
            )
            await self.fetch(maildrop, 0)
            highest = max(highest, self.octets("-wal"))
        self.assertGreater(self.octets() + highest, 75 * MIB)
        self.assertLess(highest, 24 * MIB)

    async def test_the_gauge_of_the_wal_agrees_with_sqlite(self) -> None:
        alice, _bob = await self.users()
        gauge = WalGauge(self.state / "mail.sqlite-wal")
        self.addCleanup(gauge.close)
        for _ in range(3):
            await self.send(b"x" * 100_000, envelope(local(alice)))
            in_use = gauge.octets()

            def frames(connection: Any) -> int:
                raw = connection.connection.driver_connection
                return int(raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1])

            self.assertEqual(in_use, await self.store.database.upkeep("frames", frames) * (16 * KIB + 24))

    async def test_the_file_shrinks_after_deletes_while_mail_goes_on(self) -> None:
        await self.store.close()
        self.store = self.open_again(None, reserve_octets=MIB)
        alice, bob = await self.users()
        for size in [3 * MIB] * 8 + [20 * KIB] * 100:
            await self.send(b"x" * size, envelope(local(alice), local(bob)))
        await self.send(b"kept\r\n", envelope(local(bob)))
        await self.settled()
        full = self.octets()
        self.assertGreater(full, 24 * MIB)
        for account, expected in ((alice, full), (bob, None)):
            maildrop = await self.open(account)
            for index in range(108):
                maildrop.deleteMessage(index)
            await maildrop.sync()
            maildrop.release()
            await self.settled()
            if expected is not None:
                # Bob still has his copies: one body for both.
                self.assertGreaterEqual(self.octets(), expected)
        self.assertLess(self.octets(), 4 * MIB)
        maildrop = await self.open(bob)
        self.assertTrue((await self.fetch(maildrop, 0)).endswith(b"kept\r\n"))
        self.assertGreater(self.between, 4)
        self.assertLess(self.slowest, 1.0)

    async def test_giving_room_back_holds_mail_up_for_no_longer_than_a_step(self) -> None:
        """Pages are counted by their time: it depends on where one lies, and on how many are free."""
        alice, _bob = await self.users()
        await self.send(b"x" * 3 * MIB, envelope(local(alice)))
        maildrop = await self.open(alice)
        maildrop.deleteMessage(0)
        await maildrop.sync()
        await self.settled()
        free = await self.ask("PRAGMA freelist_count", writer=True)
        self.assertGreater(free, 100)
        readings = itertools.count()
        # A page takes a millisecond by this clock.
        sweeper = Sweeper(
            self.store.database, ClockedReactor(self.clock), Telemetry(), 0, lambda: next(readings) / 1000
        )
        self.assertTrue(await sweeper.step())
        self.assertEqual(await self.ask("PRAGMA freelist_count", writer=True), free - 5)
        while await sweeper.step():
            pass
        self.assertEqual(await self.ask("PRAGMA freelist_count", writer=True), 0)
        self.assertEqual(await self.ask("PRAGMA integrity_check", writer=True), "ok")

    between = 0
    # In seconds of processor time: the wall clock counts what else the machine does, too.
    slowest = 0.0

    async def settled(self) -> None:
        """Sweep to the end, sending a message between every two steps; then empty the WAL."""
        alice = await self.account(ALICE)
        while await self.store.sweeper.step():
            began = time.process_time()
            await self.send(b"between\r\n", envelope(local(alice)))
            self.slowest = max(self.slowest, time.process_time() - began)
            self.between += 1
        await self.ask("PRAGMA wal_checkpoint(TRUNCATE)", writer=True)

    async def test_the_sweeper_runs_by_itself_while_there_is_something_to_sweep(self) -> None:
        await self.store.close()
        self.store = self.open_again(None, sweep=True)
        alice, _bob = await self.users()
        for _ in range(100):
            await self.send(b"x" * 1000, envelope(local(alice)))
        maildrop = await self.open(alice)
        for index in range(100):
            maildrop.deleteMessage(index)
        await maildrop.sync()
        while await self.ask("SELECT count(*) FROM bodies"):
            self.clock.advance(5)
        self.assertEqual(await self.ask("SELECT count(*) FROM bodies"), 0)

    async def test_a_clock_that_goes_back_over_a_restart_names_no_message_twice(self) -> None:
        alice, _bob = await self.users()
        self.clock.advance(86_400)
        for _ in range(5):
            await self.send(b"same\r\n", envelope(local(alice)))
        maildrop = await self.open(alice)
        old = {maildrop.getUidl(index) for index in range(5)}
        for index in range(5):
            maildrop.deleteMessage(index)
        await maildrop.sync()
        await self.store.close()
        self.store = self.open_again(None, now=lambda: WALL)
        for _ in range(5):
            await self.send(b"same\r\n", envelope(local(alice)))
        maildrop = await self.open(alice)
        new = [maildrop.getUidl(index) for index in range(5)]
        self.assertEqual(old & set(new), set())
        self.assertGreater(min(new), max(old))

    async def test_a_change_made_by_another_process_is_seen_within_a_second(self) -> None:
        await self.users()
        other = self.open_again(None)
        self.assertIsNotNone(await other.directory.find_login(BOB.key))
        self.assertIsNone(await other.directory.find_address("carol", "example.test"))
        await self.store.accounts.set_credentials(BOB, [("argon2id", "new")])
        await self.store.accounts.add_user(Address("carol", "example.test"), [])
        # In this process at once.
        self.assertEqual((await self.store.directory.find_login(BOB.key)).secret("argon2id"), "new")
        self.assertEqual((await other.directory.find_login(BOB.key)).secret("argon2id"), "secret-b")
        self.clock.advance(1)
        self.assertEqual((await other.directory.find_login(BOB.key)).secret("argon2id"), "new")
        self.assertIsNotNone(await other.directory.find_address("carol", "example.test"))
        await self.store.accounts.remove_user(BOB, False)
        self.clock.advance(1)
        self.assertIsNone(await other.directory.find_login(BOB.key))

    async def test_a_cached_answer_costs_no_read(self) -> None:
        await self.users()
        await self.account(ALICE)
        reads: list[str] = []
        database = self.store.database
        read = database.read

        def counted(name: str, function: Any) -> Any:
            reads.append(name)
            return read(name, function)

        self.patch(database, "read", counted)
        for _ in range(100):
            await self.account(ALICE)
        self.assertEqual(reads, [])

    async def test_two_processes_share_one_file_and_one_maildrop_has_one_holder(self) -> None:
        alice, bob = await self.users()
        other = self.open_again(None)
        sending = []
        for number in range(60):
            store = (self.store, other)[number % 2]
            incoming = store.intake.begin()
            incoming.write(b"%d\r\n" % number)
            sending.append(Deferred.fromCoroutine(incoming.commit(envelope(local(alice)))))
        await gatherResults(sending)
        maildrop = await other.maildrops.open(alice.account_id)
        self.assertEqual(len(maildrop.listMessages()), 60)
        self.assertEqual(len({maildrop.getUidl(index) for index in range(60)}), 60)
        await self.refused(MaildropInUse, self.store.maildrops.open(alice.account_id))
        # Silence does not help another process: the lock is the kernel's.
        self.clock.advance(120)
        await self.refused(MaildropInUse, self.store.maildrops.open(alice.account_id))
        await self.open(bob)
        maildrop.release()
        await self.open(alice)

    async def test_a_maildrop_of_a_hundred_thousand_messages_opens_in_well_under_a_second(self) -> None:
        alice, _bob = await self.users()
        await self.send(b"x\r\n", envelope(local(alice)))

        def multiply(connection: Any) -> None:
            connection.exec_driver_sql(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 99999) "
                "INSERT INTO maildrop SELECT account_id, row_id + i, message_id, octets, smtputf8, prefix "
                "FROM maildrop, n"
            )

        await self.store.database.run("multiply", multiply)
        began = time.process_time()
        maildrop = await self.open(alice)
        self.assertLess(time.process_time() - began, 0.9)
        self.assertEqual(len(maildrop.listMessages()), 100_000)
        self.assertTrue((await self.fetch(maildrop, 99_999)).endswith(b"x\r\n"))

    async def test_mail_that_an_administrator_purged_is_told_as_gone(self) -> None:
        _alice, bob = await self.users()
        await self.send(b"x\r\n", envelope(local(bob)))
        maildrop = await self.open(bob)
        await self.store.accounts.remove_user(BOB, True)
        await self.refused(StoreError, self.fetch(maildrop, 0))

    async def test_no_room_is_told_before_the_message_comes(self) -> None:
        engine = self.store.database.engine
        self.patch(engine, "free_octets", lambda: 1500)
        self.assertIs(await self.store.intake.has_room(1000), True)
        self.assertIs(await self.store.intake.has_room(1001), False)

    async def test_an_error_without_a_code_leaves_the_outcome_open(self) -> None:
        engine = self.store.database.engine
        self.assertIs(engine.verdict(OSError(5, "Input/output error")), Verdict.LOST)
        self.assertIs(engine.verdict(OverflowError()), Verdict.REFUSED)

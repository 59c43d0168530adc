"""The queue under a million rows, what verification finds, what is forgotten, what a crash leaves due."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, literal_column, text
from twisted.internet.defer import fail

from emailsys.config.settings import StoreSettings
from emailsys.interfaces import Fate, Settlement, StoreError
from emailsys.interfaces.operators import AdminError, EventKind, QueueFilter, RowState
from emailsys.mail.address import Address
from emailsys.store.directory import accounts as account_administration
from emailsys.store.open import open_store
from emailsys.store.queue.leases import due_rows
from emailsys.store.queue.postponement import reschedule_statement
from emailsys.telemetry import Telemetry
from tests.contract.engines import WALL, ClockedReactor, PostgreSQLCase, SQLiteCase, opening_by
from tests.contract.mail import ALICE, BOB, MailCase, envelope, local, remote

DAVE = Address("dave", "example.net")
DAY = 86_400
MILLION = 1_000_000
FILLED_AT_ONCE = 100_000


class LedgerCase(MailCase):
    """On both engines."""

    async def change(self, *statements: str) -> None:
        """Do to the store what nobody should."""

        def run(connection: Connection) -> None:
            for statement in statements:
                connection.execute(text(statement))

        await self.store.database.run("test", run)

    async def count(self, table: str) -> int:
        found = await self.store.database.read("test", lambda c: c.execute(text(f"SELECT count(*) FROM {table}")))
        return int(found.scalar())

    async def flaws(self) -> list[str]:
        return [flaw.what for flaw in (await self.store.verification.check(None, 60)).flaws]

    async def test_verification_goes_on_from_where_it_stopped(self) -> None:
        alice, _bob = await self.users()
        for number in range(250):
            await self.send(b"%d\r\n" % number, envelope(local(alice)))
        cursor, parts, messages, octets = None, 0, 0, 0
        while cursor is not None or not parts:
            part = await self.store.verification.check(cursor, 0)
            cursor, parts = part.cursor, parts + 1
            messages += part.messages
            octets += part.octets
        self.assertEqual(messages, 250)
        # A hundred messages at a time, and what is settled and bodies no less in parts.
        self.assertGreater(parts, 3 + 2)
        self.assertEqual(octets, sum(len(b"%d\r\n" % number) for number in range(250)))

    async def test_each_kind_of_flaw_is_found_and_named(self) -> None:
        alice, bob = await self.users()
        for flaw, statement in (
            ("it has 2 recipients, but 1 were found", "DELETE FROM maildrop WHERE account_id = {bob}"),
            ("it has 2 recipients, but 3 were found", "UPDATE messages SET rows = 2"),
            (
                "is in several places",
                "INSERT INTO settled (row_id, message_id, settled_at, fate)"
                " SELECT row_id, message_id, 0, 'RELAYED' FROM queue",
            ),
            ("digest of piece 0", "UPDATE bodies SET content = {other}"),
            ("digest of piece 1", "UPDATE body_pieces SET content = {other}"),
            ("piece 1 of its body is missing", "DELETE FROM body_pieces"),
            ("were accepted", "UPDATE messages SET octets = octets + 1"),
            ("has a different size", "UPDATE maildrop SET octets = octets + 1"),
            (
                "its message is unknown",
                "INSERT INTO settled (row_id, message_id, settled_at, fate) VALUES (1, 1, 0, 'RELAYED')",
            ),
            (
                "its body is kept, but neither a recipient nor the sweeper refers to it",
                "INSERT INTO bodies (body_id, dots, content) VALUES (1, false, {other})",
            ),
        ):
            two = "2 recipients, but 1" in flaw
            to = [local(alice), local(bob)] + ([] if two else [remote(DAVE)])
            await self.send(b"x" * 300_000, envelope(*to))
            self.assertEqual(await self.flaws(), [])
            other = "'other'::bytea" if self.engine == "postgresql" else "CAST('other' AS BLOB)"
            await self.change(statement.format(bob=bob.account_id, other=other))
            found = await self.flaws()
            self.assertTrue(any(flaw in one for one in found), (flaw, found))
            for table in ("maildrop", "queue", "settled", "messages", "body_pieces", "bodies"):
                await self.change(f"DELETE FROM {table}")

    async def test_a_long_past_is_looked_at_in_short_reads(self) -> None:
        """A read that lasts keeps the WAL from beginning anew, and so lets it grow by all that comes meanwhile."""
        await self.send(b"x\r\n", envelope(remote(DAVE)))
        numbers = (
            "SELECT generate_series(1, 2500) AS n"
            if self.engine == "postgresql"
            else "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 2500) SELECT n FROM s"
        )
        await self.change(
            "INSERT INTO settled (row_id, message_id, settled_at, fate)"
            f" SELECT numbers.n, (SELECT max(message_id) FROM messages), 1, 'RELAYED' FROM ({numbers}) AS numbers",
            "UPDATE messages SET rows = 2501",
            "UPDATE settled SET message_id = 7 WHERE row_id IN (1, 2400)",
        )
        reads: list[str] = []
        read = self.store.database.read

        def counted(name: str, function: Any) -> Any:
            reads.append(name)
            return read(name, function)

        self.patch(self.store.database, "read", counted)
        found = await self.flaws()
        self.assertEqual(len([what for what in found if "its message is unknown" in what]), 2)
        # Two full parts, half of one, and the look that finds the end.
        self.assertEqual(reads.count("verify-settled"), 4)

    async def test_history_is_deleted_after_its_retention_and_not_before(self) -> None:
        alice, bob = await self.users()
        await self.send(b"kept\r\n", envelope(local(alice), remote(DAVE)))
        await self.send(b"gone\r\n", envelope(remote(DAVE)))
        rows = await self.store.queue.lease(10, 60)
        due = await self.store.queue.next_due()
        await self.store.queue.settle([Settlement(rows[0], due, "451 later"), Settlement(rows[1])])
        self.clock.advance(61)
        rows = await self.store.queue.lease(10, 60)
        await self.store.queue.settle([Settlement(row, fate=Fate.FAILED) for row in rows])
        while await self.store.sweeper.step():
            pass
        for days, messages, settled, events in ((29, 2, 2, 1), (2, 1, 0, 0)):
            self.clock.advance(days * DAY)
            while await self.store.retention.step():
                pass
            found = (await self.count("messages"), await self.count("settled"), await self.count("events"))
            self.assertEqual(found, (messages, settled, events))
            self.assertEqual(await self.flaws(), [])
        # Its other recipient still has it.
        self.assertEqual(len((await self.open(alice)).listMessages()), 1)
        self.assertEqual(bob.address.local, "bob")

    async def test_the_retention_works_by_itself_and_stops_with_the_store(self) -> None:
        await self.send(b"gone\r\n", envelope(remote(DAVE)))
        rows = await self.store.queue.lease(10, 60)
        await self.store.queue.settle([Settlement(row) for row in rows])
        self.clock.advance(31 * DAY)
        self.store.retention.start()
        while await self.count("messages"):
            self.clock.advance(1)
        self.store.retention.stop()
        self.assertEqual(await self.count("settled"), 0)

    async def test_a_maildrop_is_purged_in_steps_between_which_mail_is_taken(self) -> None:
        """As one transaction a hundred thousand messages would hold all other mail up for seconds."""
        _alice, bob = await self.users()
        self.patch(account_administration, "_PURGED_AT_ONCE", 2)
        for number in range(5):
            await self.send(b"%d\r\n" % number, envelope(local(bob)))
        run, steps = self.store.database.run, []

        def cut_off(name: str, function: Any) -> Any:
            steps.append(name)
            if len(steps) == 2:
                return fail(StoreError("the disk is slow"))
            return run(name, function)

        self.patch(self.store.database, "run", cut_off)
        await self.refused(StoreError, self.store.accounts.remove_user(BOB, True))
        # The rest is there, and so is he.
        self.assertEqual(await self.count("maildrop"), 3)
        await self.send(b"between\r\n", envelope(local(await self.account(BOB))))
        await self.store.accounts.remove_user(BOB, True)
        self.assertEqual(steps, ["purge", "purge", "purge", "purge", "purge", "remove-user"])
        self.assertEqual((await self.store.verification.check(None, 60)).by_end, {"dropped by an operator": 6})

    async def test_a_refused_removal_of_a_user_keeps_the_mail(self) -> None:
        alice, _bob = await self.users()
        await self.send(b"x\r\n", envelope(local(alice)))
        error = await self.refused(AdminError, self.store.accounts.remove_user(ALICE, True))
        self.assertIn("postmaster", str(error))
        self.assertEqual(await self.count("maildrop"), 1)

    async def test_mail_is_kept_for_ever_unless_the_configuration_says_otherwise(self) -> None:
        alice, bob = await self.users()
        await self.send(b"old\r\n", envelope(local(alice), local(bob)))
        self.clock.advance(400 * DAY)
        await self.send(b"fresh\r\n", envelope(local(alice)))
        self.assertFalse(await self.store.retention.step())
        self.assertEqual(len((await self.open(bob)).listMessages()), 1)
        strict = StoreSettings(url=self.store_url(), maildrop_days=365)
        other: Any = open_store(
            strict,
            self.state,
            ClockedReactor(self.clock),
            Telemetry(),
            opening_by(self.clock),
        )
        while await other.retention.step():
            pass
        checked = await other.verification.check(None, 60)
        await other.close()
        self.assertEqual(checked.by_end, {"maildrop": 1, "expired by retention": 2})
        self.assertEqual(len((await self.open(alice)).listMessages()), 1)

    async def test_a_clock_that_jumps_deletes_no_mail_and_no_history(self) -> None:
        """Nor does a restart under the wrong clock. Time in which no daemon ran does not count."""
        alice, bob = await self.users()
        await self.send(b"old\r\n", envelope(local(alice), local(bob)))
        maildrop = await self.open(bob)
        maildrop.deleteMessage(0)
        await maildrop.sync()
        maildrop.release()
        jump = 0.0
        strict = StoreSettings(url=self.store_url(), maildrop_days=365, history_days=30)

        def reopened() -> Any:
            opening = opening_by(self.clock, now=lambda: WALL + self.clock.seconds() + jump)
            return open_store(strict, self.state, ClockedReactor(self.clock), Telemetry(), opening)

        async def ends(store: Any) -> dict[str, int]:
            while await store.retention.step():
                pass
            found: dict[str, int] = (await store.verification.check(None, 60)).by_end
            return found

        other = reopened()
        both = {"maildrop": 1, "deleted by its owner": 1}
        self.assertEqual(await ends(other), both)
        jump = 400 * DAY
        self.assertEqual(await ends(other), both, "the clock jumped under a running daemon")
        await other.close()
        jump = 1000 * DAY
        other = reopened()
        self.assertEqual(await ends(other), both, "a daemon started with a clock that is ahead")
        self.clock.advance(31 * DAY)
        self.assertEqual(await ends(other), {"maildrop": 1}, "a month has passed")
        jump = 0.0
        self.assertEqual(await ends(other), {"maildrop": 1}, "the clock is right again")
        self.clock.advance(335 * DAY)
        self.assertEqual(await ends(other), {"expired by retention": 1}, "a year has passed")
        await other.close()

    def store_url(self) -> str | None:
        raise AssertionError(f"{type(self).__name__} names no engine")

    async def test_a_quota_is_warned_of_once_each_time_it_is_nearly_reached(self) -> None:
        alice, _bob = await self.users()
        await self.store.quotas.set_quota(ALICE, 100_000)
        telemetry = self.store.intake.telemetry

        async def ask() -> int:
            # A count that took long on a busy machine is valid for longer than five seconds.
            self.clock.advance(3600)
            await self.store.quotas.usage(alice.account_id)
            return int(telemetry.counters["quota-nearly-full"])

        self.assertEqual(await ask(), 0)
        await self.send(b"x" * 90_000, envelope(local(alice)))
        self.assertEqual([await ask(), await ask()], [1, 1])
        maildrop = await self.open(alice)
        maildrop.deleteMessage(0)
        await maildrop.sync()
        self.assertEqual(await ask(), 1)
        await self.send(b"x" * 90_000, envelope(local(alice)))
        self.assertEqual(await ask(), 2)

    async def test_after_a_crash_all_is_due_again(self) -> None:
        """Rows that a dead process has leased are due at once, and may arrive twice. Rows to be held are held."""
        sent = [await self.send(b"x\r\n", envelope(remote(DAVE))) for _ in range(3)]
        rows = await self.store.queue.lease(2, 3600)
        await self.change(
            f"UPDATE queue SET state = 'holding' WHERE row_id = {rows[1].row_id}",
            # The lease of a node that is no more.
            f"UPDATE queue SET lease = {(900 << 12) | 1} WHERE lease IS NOT NULL",
        )
        again: Any = self.open_again(self.store_url())
        await self.watch_other_nodes(again)
        self.assertEqual(len(await again.queue.lease(10, 60)), 2)
        states = [entry.state.value for entry in await again.queue_operations.entries(QueueFilter(), 10)]
        self.assertEqual(sorted(states), ["held", "leased", "leased"])
        told = [(await again.trace.search(queue_id, 1)).lives[0].happenings[-1] for queue_id in sent]
        self.assertEqual([one.kind for one in told], [EventKind.INTERRUPTED] * 2 + [EventKind.QUEUED])
        self.assertEqual({one.recipient for one in told}, {str(DAVE)})

    async def test_a_living_process_keeps_its_leases_when_another_starts(self) -> None:
        await self.send(b"x\r\n", envelope(remote(DAVE)))
        self.assertEqual(len(await self.store.queue.lease(10, 3600)), 1)
        again: Any = self.open_again(self.store_url())
        self.assertEqual(list(await again.queue.lease(10, 60)), [])

    async def fill_queue(self, rows: int) -> None:
        """So many rows of one message, due one after the other; made by the database itself."""
        await self.send(b"x\r\n", envelope(remote(DAVE)))
        begun = int(WALL * 1_000_000) + 1
        # The message of all rows is there: PostgreSQL need not look it up for each.
        unchecked = ("SET LOCAL session_replication_role = replica",) if self.engine == "postgresql" else ()
        # A statement that takes long is taken for a store that hangs.
        for last in range(0, rows, FILLED_AT_ONCE):
            first, most = last + 1, min(last + FILLED_AT_ONCE, rows)
            numbers = (
                f"SELECT generate_series({first}, {most}) AS n"
                if self.engine == "postgresql"
                else f"WITH RECURSIVE s(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM s WHERE n < {most})"
                " SELECT n FROM s"
            )
            await self.change(
                *unchecked,
                "INSERT INTO queue (row_id, message_id, forward_local, forward_domain, state, due_at, attempts)"
                " SELECT numbers.n, (SELECT max(message_id) FROM messages), 'user', 'example.net', 'waiting',"
                f" {begun} + numbers.n, 0 FROM ({numbers}) AS numbers",
            )
        await self.change("ANALYZE")

    async def plan(self, asked: Any) -> str:
        def explain(connection: Connection) -> str:
            compiled = asked.compile(connection, compile_kwargs={"literal_binds": True})
            verb = "EXPLAIN" if self.engine == "postgresql" else "EXPLAIN QUERY PLAN"
            return "\n".join(str(tuple(row)) for row in connection.exec_driver_sql(f"{verb} {compiled}").all())

        return str(await self.store.database.read("explain", explain))

    async def test_a_queue_of_a_million_rows_is_read_along_its_indexes(self) -> None:
        """A lease goes along the due dates and sorts nothing; rows are rescheduled by their key."""
        await self.fill_queue(MILLION)
        now = int(WALL * 1_000_000) + MILLION
        plan = await self.plan(due_rows(now, 500, literal_column("(lease >> 12) & 1023 = 3"), now))
        self.assertIn("ix_queue_due_at", plan)
        for costly in ("SCAN queue", "Seq Scan on queue", "Bitmap", "TEMP B-TREE"):
            self.assertNotIn(costly, plan)
        # PostgreSQL sorts rows of the very same date among themselves, and no others.
        self.assertEqual(plan.count("->  Sort "), 0, plan)
        await self.check_plan_of_rescheduling()
        self.clock.advance(2)
        rows = await self.store.queue.lease(500, 60)
        self.assertEqual(len(rows), 500)
        self.assertEqual(await self.store.queue.settle([Settlement(row) for row in rows]), 500)

    async def check_plan_of_rescheduling(self) -> None:
        engine = self.store.database.engine
        verb = "EXPLAIN" if self.engine == "postgresql" else "EXPLAIN QUERY PLAN"
        values = (1, 2, 1, "451 4.4.1 down", "mx.example") * 128

        def explain(connection: Connection) -> str:
            asked = f"{verb} {reschedule_statement(engine.placeholder, 128)}"
            return "\n".join(str(tuple(row)) for row in connection.exec_driver_sql(asked, values).all())

        plan = str(await self.store.database.read("explain", explain))
        self.assertIn(
            "Index Scan using pk_queue" if self.engine == "postgresql" else "SEARCH queue USING INTEGER PRIMARY KEY",
            plan,
        )
        for costly in ("SCAN queue", "Seq Scan on queue", "TEMP B-TREE"):
            self.assertNotIn(costly, plan)


class SQLiteLedgerTests(SQLiteCase, LedgerCase):
    """On SQLite."""

    def store_url(self) -> str | None:
        return None

    async def test_a_page_of_the_queue_is_read_along_the_key_whatever_the_filter(self) -> None:
        """No page but one of named messages reads rows before its first or after its last, and none is sorted."""
        await self.fill_queue(1000)
        every = (
            QueueFilter(),
            QueueFilter(older_than=60),
            QueueFilter(domain="example.net"),
            QueueFilter(sender="carol@example.org"),
            QueueFilter(sender="<>"),
            *(QueueFilter(state=state) for state in RowState),
        )
        for which in every:
            plan = await self.plan(self.store.queue_operations.listing(which, 100, 500))
            self.assertIn("SEARCH queue USING INTEGER PRIMARY KEY (rowid>?)", plan, which)
            self.assertIn("SEARCH messages USING INTEGER PRIMARY KEY", plan, which)
            self.assertNotIn("SCAN", plan, which)
            self.assertNotIn("TEMP B-TREE", plan, which)

    async def test_rows_of_a_named_message_are_found_by_its_index(self) -> None:
        queue_id = await self.send(b"x\r\n", envelope(remote(DAVE)))
        await self.fill_queue(1000)
        plan = await self.plan(self.store.queue_operations.listing(QueueFilter(queue_ids=(queue_id,)), 100, 0))
        self.assertIn("SEARCH queue USING INDEX ix_queue_message_id", plan)
        self.assertNotIn("SCAN", plan)


class PostgreSQLLedgerTests(PostgreSQLCase, LedgerCase):
    """On PostgreSQL."""

    def store_url(self) -> str | None:
        return self.url.render_as_string(hide_password=False)


del LedgerCase, MailCase, SQLiteCase, PostgreSQLCase

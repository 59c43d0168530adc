"""What is PostgreSQL's own: lost connections, fencing, several nodes on one queue."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
import unittest
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, make_url
from twisted.internet.defer import Deferred, DeferredList, gatherResults
from twisted.internet.threads import deferToThread

from emailsys.interfaces import MaildropInUse, MaildropLost, NoDomains, Settlement, StoreError, StoreMissing
from emailsys.mail.address import Address
from emailsys.store.commit import writer
from emailsys.store.engine.base import Verdict
from emailsys.store.engine.postgres import Postgres
from emailsys.store.ledger.sent_keys import keyed_messages
from tests.contract.engines import PostgreSQLCase
from tests.contract.mail import MailCase, envelope, local, remote


class PostgreSQLTests(PostgreSQLCase, MailCase):
    """One server, one node or two."""

    def second_node(self) -> Any:
        return self.open_again(self.url.render_as_string(hide_password=False))

    async def end_connections(self, having: str) -> int:
        """As an administrator does, or a network: end those whose last statement was such. Returns how many."""

        def end(connection: Connection) -> int:
            ended = connection.exec_driver_sql(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE application_name = 'emailsys' AND pid <> pg_backend_pid() AND query LIKE %s",
                (having,),
            ).scalar()
            return int(ended or 0)

        count: int = await self.store.database.read("end", end)
        return count

    async def count(self, account: Any, store: Any = None) -> int:
        maildrop = await (store or self.store).maildrops.open(account.account_id)
        count = len(maildrop.listMessages())
        maildrop.release()
        return count

    async def test_keys_of_sent_messages_are_read_by_an_index(self) -> None:
        """Each keyed message reads those of the last ten minutes, beside which there may be much other mail."""

        def plan(connection: Connection) -> str:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            asked = keyed_messages(5).compile(connection, compile_kwargs={"literal_binds": True})
            return str(connection.exec_driver_sql(f"EXPLAIN {asked}").all())

        self.assertIn("ix_messages_sent_key", await self.store.database.read("explain", plan))

    async def test_an_empty_database_stays_empty_until_an_operator_asks(self) -> None:
        """The URL may name another database than the one with the mail."""
        url = self.make_schema().render_as_string(hide_password=False)
        self.assertRaises(StoreMissing, self.open_again, url, create=False)
        connection = Postgres(make_url(url)).connect_reader()
        self.addCleanup(connection.close)
        self.assertEqual(inspect(connection).get_table_names(), [])
        store = self.open_again(url)
        await self.refused(NoDomains, store.directory.find_address("alice", "example.test"))

    async def test_bodies_are_stored_out_of_line_and_uncompressed(self) -> None:
        def ask(connection: Connection) -> Any:
            return connection.exec_driver_sql(
                "SELECT relname, attstorage FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid "
                "WHERE attname = 'content' AND relnamespace = current_schema()::regnamespace ORDER BY relname"
            ).all()

        found = await self.store.database.read("storage", ask)
        self.assertEqual([tuple(row) for row in found], [("bodies", "e"), ("body_pieces", "e")])

    async def test_a_server_that_vanished_without_a_word_is_given_up_within_half_a_minute(self) -> None:
        """A network that was cut sends no RST; the kernel alone would wait for a quarter of an hour."""

        def told(connection: Connection) -> dict[str, str]:
            raw: Any = connection.connection.driver_connection
            found: dict[str, str] = raw.info.get_parameters()
            return found

        for ask in (self.store.database.read, self.store.database.run):
            found = await ask("parameters", told)
            silence = int(found["keepalives_idle"]) + int(found["keepalives_interval"]) * int(found["keepalives_count"])
            self.assertLessEqual(silence, 30)
            self.assertLessEqual(int(found["tcp_user_timeout"]), 30_000)
        # The operator's URL comes first.
        other = Postgres(self.url.update_query_dict({"keepalives_idle": "60", "connect_timeout": "3"}))
        connection = other.connect_reader()
        self.addCleanup(connection.close)
        own = told(connection)
        self.assertEqual((own["keepalives_idle"], own["connect_timeout"]), ("60", "3"))

    async def test_a_server_that_hangs_is_given_up_and_used_again_at_once(self) -> None:
        """A stopped process goes on acknowledging at TCP, so neither TCP nor libpq ends the wait."""
        if sys.platform == "win32":
            raise unittest.SkipTest("needs Unix")
        # Two seconds are the least that libpq waits for a new connection.
        url = self.url.update_query_dict({"connect_timeout": "2"}).render_as_string(hide_password=False)
        store = self.store = self.open_again(url)
        alice, bob = await self.users()
        await self.send(b"x\r\n", envelope(local(alice)))
        held = await store.maildrops.open(bob.account_id)
        engine = store.database.engine
        self.patch(engine._limit, "seconds", 0.2)

        def processes(connection: Connection) -> list[int]:
            folder = connection.exec_driver_sql("SHOW data_directory").scalar()
            found = connection.exec_driver_sql("SELECT pid FROM pg_stat_activity WHERE application_name = 'emailsys'")
            return [int((Path(str(folder)) / "postmaster.pid").read_text().split()[0]), *found.scalars()]

        pids = await store.database.read("processes", processes)
        # A reader may have been started since.
        pids += await store.database.read("processes", processes)

        def signal_all(number: int) -> None:
            for pid in set(pids):
                # A connection may have been closed since.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

        self.addCleanup(signal_all, signal.SIGCONT)
        signal_all(signal.SIGSTOP)
        began = time.monotonic()
        asked = [
            *(store.directory.find_address(f"n{number}", "example.test") for number in range(9)),
            *(self.send(b"y\r\n", envelope(local(alice))) for _ in range(3)),
            store.maildrops.open(alice.account_id),
        ]
        answers = await DeferredList([Deferred.fromCoroutine(one) for one in asked], consumeErrors=True)
        self.assertEqual([succeeded for succeeded, _ in answers], [False] * len(asked))
        for _, failure in answers:
            failure.trap(StoreError)
        self.assertLess(time.monotonic() - began, 10, "0.2 s for the statement, 2 s for one new connection")
        held.release()
        self.clock.advance(1)
        for _ in range(2):
            # Known, but not confirmed.
            await self.refused(StoreError, store.directory.find_address("alice", "example.test"))
        signal_all(signal.SIGCONT)
        for account in (alice, bob):
            maildrop = await store.maildrops.open(account.account_id)
            self.assertEqual(len(maildrop.listMessages()), account is alice)
            maildrop.release()
        await self.send(b"z\r\n", envelope(local(alice)))
        self.assertEqual(await self.count(alice, store), 2)

    async def test_a_server_that_hangs_does_not_hold_up_the_stop(self) -> None:
        """The connection of the locks is the last to be closed, and waits for the server as well."""
        if sys.platform == "win32":
            raise unittest.SkipTest("needs Unix")
        store = self.open_again(self.url.render_as_string(hide_password=False))
        self.patch(store.database.engine._limit, "seconds", 0.2)
        pid = store._locks.connection._backend.pid
        os.kill(pid, signal.SIGSTOP)
        # The stop blocks the reactor, so a thread ends it if the limit does not.
        resume = threading.Timer(5, os.kill, (pid, signal.SIGCONT))
        resume.start()
        began = time.monotonic()
        try:
            await store.close()
        finally:
            resume.cancel()
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.assertLess(time.monotonic() - began, 4, "0.2 s for the statement, 0.5 s between two checks")

    async def test_a_connection_lost_at_commit_is_looked_up_before_the_answer(self) -> None:
        alice, _bob = await self.users()
        engine = self.store.database.engine
        commit = engine.commit
        for committed in (True, False):
            before = await self.count(alice)

            def lose(connection: Any, committed: bool = committed) -> None:
                self.patch(engine, "commit", commit)
                if committed:
                    commit(connection)
                # The driver's end is cut, as by a network.
                connection.connection.driver_connection.close()
                commit(connection)
                connection.exec_driver_sql("SELECT 1")

            self.patch(engine, "commit", lose)
            sending = Deferred.fromCoroutine(self.send(b"x\r\n", envelope(local(alice))))
            if committed:
                await sending
            else:
                await self.refused(StoreError, sending)
            self.assertEqual(await self.count(alice), before + committed)

    async def test_a_server_that_does_not_sync_proves_no_commit(self) -> None:
        """What it shows after a connection was lost may be in memory only."""
        self.patch(writer, "_REOPEN_EVERY", 0.01)
        self.patch(writer, "_GIVE_UP_AFTER", 0.05)
        alice, _bob = await self.users()
        engine = self.store.database.engine
        commit = engine.commit

        def lose(connection: Any) -> None:
            self.patch(engine, "commit", commit)
            commit(connection)
            raise OSError("the connection was lost")

        self.set_fsync("off")
        self.addCleanup(self.set_fsync, "on")
        self.patch(engine, "commit", lose)
        await self.refused(StoreError, self.send(b"x\r\n", envelope(local(alice))))
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
        self.set_fsync("on")
        self.patch(engine, "commit", lose)
        await self.send(b"x\r\n", envelope(local(alice)))

    def set_fsync(self, value: str) -> None:
        """Change the server's setting, and wait until new connections see it."""
        engine = Postgres(self.url)
        connection = engine.connect_reader()
        connection.exec_driver_sql(f"ALTER SYSTEM SET fsync = {value}")
        connection.exec_driver_sql("SELECT pg_reload_conf()")
        while connection.exec_driver_sql("SHOW fsync").scalar() != value:
            connection.close()
            connection = engine.connect_reader()
        connection.close()

    async def test_a_server_that_ended_its_connections_costs_no_message(self) -> None:
        alice, _bob = await self.users()
        self.assertGreater(await self.end_connections("%"), 0)
        for _ in range(6):
            await self.send(b"x\r\n", envelope(local(alice)))
        self.assertEqual(await self.count(alice), 6)

    async def test_two_nodes_bear_different_numbers_and_share_the_mail(self) -> None:
        alice, _bob = await self.users()
        other = self.second_node()
        self.assertNotEqual(self.store.database.ids.node, other.database.ids.node)
        sending = []
        for number in range(60):
            incoming = (self.store, other)[number % 2].intake.begin()
            incoming.write(b"%d\r\n" % number)
            sending.append(Deferred.fromCoroutine(incoming.commit(envelope(local(alice)))))
        await gatherResults(sending)
        self.assertEqual(await self.count(alice, other), 60)

    async def test_a_node_that_lost_its_lock_deletes_nothing(self) -> None:
        alice, _bob = await self.users()
        await self.send(b"x\r\n", envelope(local(alice)))
        other = self.second_node()
        maildrop = await self.open(alice)
        maildrop.deleteMessage(0)
        self.assertGreaterEqual(await self.end_connections("SELECT pg_try_advisory_lock%"), 1)
        taken: Any = None
        while taken is None:
            try:
                taken = await self.while_time_passes(other.maildrops.open(alice.account_id), other)
            except MaildropInUse:
                # The server has not yet noticed the end of the connection.
                continue
        await self.refused(MaildropLost, maildrop.sync())
        taken.deleteMessage(0)
        await taken.sync()
        taken.release()
        maildrop.release()

    async def looked(self) -> None:
        """The time has come to look after the number, and that was done."""
        self.clock.advance(5)
        await deferToThread(lambda: self.store._locks.connection.submit(int).result())

    async def test_a_number_that_was_lost_with_its_connection_is_taken_again_before_another_comes(self) -> None:
        """A node that only receives opens no maildrop, and so would never have noticed."""
        self.assertGreaterEqual(await self.end_connections("SELECT pg_try_advisory_lock%"), 0)
        self.assertGreaterEqual(await self.end_connections("%"), 1)
        await self.looked()
        other = self.second_node()
        self.assertNotEqual(self.store.database.ids.node, other.database.ids.node)

    async def test_while_another_bears_its_number_a_node_takes_no_mail(self) -> None:
        alice, _bob = await self.users()
        await self.end_connections("%")
        other = self.second_node()
        self.assertEqual(self.store.database.ids.node, other.database.ids.node)
        await self.looked()
        error = await self.refused(StoreError, self.send(b"x\r\n", envelope(local(alice))))
        self.assertIn("number", str(error))
        # Nor is it quietly back with the next question.
        await self.refused(StoreError, self.open(alice))
        await self.refused(StoreError, self.open(alice))
        await other.close()
        await self.looked()
        await self.send(b"x\r\n", envelope(local(alice)))
        self.assertEqual(await self.count(alice), 1)
        counters = self.store.intake.telemetry.counters
        self.assertEqual((counters["store-writes-blocked"], counters["store-writes-resumed"]), (1, 1))

    async def test_locks_of_this_nodes_cut_connection_are_taken_over(self) -> None:
        """It would keep number and maildrops of this node for hours, until the server's own patience ends."""
        alice, _bob = await self.users()
        await self.open(alice)
        locks = self.store._locks.connection
        ghost, locks._connection = locks._connection, None
        locks.held.clear()
        self.addCleanup(ghost.invalidate)
        await self.looked()
        await self.send(b"x\r\n", envelope(local(alice)))
        self.assertEqual(self.store.intake.telemetry.counters["store-writes-blocked"], 0)
        other = self.second_node()
        self.assertNotEqual(self.store.database.ids.node, other.database.ids.node)
        self.assertEqual(await self.count(alice, other), 1)

    async def test_two_nodes_lease_different_recipients(self) -> None:
        other = self.second_node()
        for number in range(20):
            await self.send(b"x\r\n", envelope(remote(Address(f"user{number}", "example.net"))))
        leases = await gatherResults(
            [Deferred.fromCoroutine(store.queue.lease(4, 60)) for _ in range(3) for store in (self.store, other)]
        )
        leased = [row for rows in leases for row in rows]
        self.assertEqual(len({row.row_id for row in leased}), len(leased))
        self.assertGreaterEqual(len(leased), 8)
        self.assertEqual(await other.queue.settle([Settlement(row) for row in leased]), len(leased))

    async def test_one_node_sweeps_at_a_time_and_all_is_swept(self) -> None:
        alice, _bob = await self.users()
        other = self.second_node()
        for size in [100] * 50 + [600_000] * 2:
            await self.send(b"x" * size, envelope(local(alice)))
        maildrop = await self.open(alice)
        for index in range(52):
            maildrop.deleteMessage(index)
        await maildrop.sync()
        more = [True]
        while any(more):
            more = await gatherResults([Deferred.fromCoroutine(store.sweeper.step()) for store in (self.store, other)])

        def left(connection: Connection) -> int:
            return int(connection.exec_driver_sql("SELECT count(*) FROM bodies").scalar() or 0)

        self.assertEqual(await self.store.database.read("left", left), 0)

    async def test_postgresql_always_reports_room_for_a_message(self) -> None:
        self.assertIs(await self.store.intake.has_room(1 << 60), True)

    async def test_errors_of_the_server_are_told_apart(self) -> None:
        engine = self.store.database.engine

        class ServerError(Exception):
            def __init__(self, sqlstate: str | None) -> None:
                self.sqlstate = sqlstate

        for state, verdict in (
            ("53100", Verdict.FULL),
            ("55P03", Verdict.BUSY),
            ("40P01", Verdict.REFUSED),
            ("23503", Verdict.REFUSED),
            ("57P01", Verdict.LOST),
            (None, Verdict.LOST),
        ):
            self.assertIs(engine.verdict(ServerError(state)), verdict)

    async def test_a_server_that_is_not_there_is_told_in_words(self) -> None:
        gone = self.url.update_query_dict({"host": str(self.state)}).render_as_string(hide_password=False)
        error = self.assertRaises(StoreError, self.open_again, gone)
        self.assertIn("connect", str(error))

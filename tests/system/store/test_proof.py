"""What counts as proof that a commit is on disk, after an error left that open; and that reading changes nothing."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred

from emailsys.interfaces import StoreError
from emailsys.store.commit import writer
from emailsys.store.engine import gate
from emailsys.store.engine.sqlite import SQLite
from emailsys.store.engine.wal import WalGauge
from tests.contract.mail import envelope, local
from tests.system.store.store_faults import FaultyCase, io_error, raising


class ProofTests(FaultyCase):
    """A commit that failed may be found by SQLite all the same: in memory, where a power cut ends it."""

    def setUp(self) -> Any:
        self.patch(writer, "_REOPEN_EVERY", 0.001)
        self.patch(writer, "_GIVE_UP_AFTER", 0.01)
        return super().setUp()

    @property
    def log(self) -> Path:
        return self.state / "mail.sqlite-wal"

    def writing_again(self) -> list[int]:
        """The octets of the log that are written again, a number each time."""
        written: list[int] = []
        write_again = WalGauge.write_again

        def counted(gauge: WalGauge) -> None:
            written.append(gauge.octets())
            write_again(gauge)

        self.patch(WalGauge, "write_again", counted)
        return written

    async def test_a_commit_that_was_in_doubt_is_on_disk_before_it_is_reported(self) -> None:
        alice, _bob = await self.users()
        await self.listed(alice)
        written = self.writing_again()
        self.disk.after = raising(io_error())
        await self.send(b"x\r\n", envelope(local(alice)))
        self.assertEqual(len(written), 1)
        self.assertGreater(written[0], 0)
        self.assertEqual(self.log.stat().st_size, 0)
        self.assertEqual(await self.listed(alice), 1)

    async def test_a_log_that_cannot_be_written_again_proves_nothing(self) -> None:
        """The log stays as it is: neither copied nor removed, whoever closes it."""
        alice, _bob = await self.users()
        write_again = WalGauge.write_again
        self.patch(WalGauge, "write_again", lambda gauge: raising(OSError(5, "Input/output error"))())
        self.disk.after = raising(io_error())
        await self.refused(StoreError, self.send(b"x\r\n", envelope(local(alice))))
        await self.refused(StoreError, self.store.maildrops.open(alice.account_id))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)
        octets = self.log.stat().st_size
        self.assertGreater(octets, 0)
        await self.store.close()
        self.assertEqual(self.log.stat().st_size, octets)
        self.patch(WalGauge, "write_again", write_again)
        self.store = self.open_faulty()
        self.assertEqual(await self.listed(alice), 1)

    async def test_a_commit_in_doubt_outlives_an_outage_and_others_are_refused_meanwhile(self) -> None:
        """Who heard nothing hears the truth when the disk is well; who comes meanwhile hears 451 soon."""
        self.patch(writer, "_GIVE_UP_AFTER", 60.0)
        self.patch(writer, "_REFUSE_WAITING_AFTER", 0.0)
        alice, _bob = await self.users()
        is_over = threading.Event()
        noticed: Deferred[None] = Deferred()
        write_again = WalGauge.write_again

        def notice() -> None:
            if not noticed.called:
                noticed.callback(None)

        def fail_during_outage(gauge: WalGauge) -> None:
            if not is_over.is_set():
                reactor.callFromThread(notice)  # type: ignore[attr-defined]
                raise OSError(5, "Input/output error")
            write_again(gauge)

        self.patch(WalGauge, "write_again", fail_during_outage)
        self.disk.after = raising(io_error())
        in_doubt = Deferred.fromCoroutine(self.send(b"first\r\n", envelope(local(alice))))
        await noticed
        await self.refused(StoreError, self.send(b"second\r\n", envelope(local(alice))))
        self.assertFalse(in_doubt.called)
        is_over.set()
        await in_doubt
        self.assertEqual(await self.listed(alice), 1)

    async def test_a_store_that_was_killed_is_written_again_before_it_is_read(self) -> None:
        alice, _bob = await self.users()
        octets = WalGauge(self.log).octets()
        self.disk.revoke_proof()
        await self.store.close()
        written = self.writing_again()
        self.store = self.open_faulty()
        self.assertEqual(written, [octets])
        await self.send(b"x\r\n", envelope(local(alice)))

    async def test_readers_that_hold_the_log_do_not_hold_mail_up(self) -> None:
        alice, _bob = await self.users()
        holder = sqlite3.connect(self.state / "mail.sqlite", isolation_level=None)
        self.addCleanup(holder.close)
        holder.execute("BEGIN")
        holder.execute("SELECT count(*) FROM maildrop").fetchone()
        written = self.writing_again()
        self.disk.after = raising(io_error())
        began = time.monotonic()
        await self.send(b"x\r\n", envelope(local(alice)))
        self.assertLess(time.monotonic() - began, 5)
        self.assertEqual(len(written), 1)
        self.assertEqual(await self.listed(alice), 1)

    async def test_after_a_checkpoint_that_failed_all_is_copied_anew_or_nothing_is_proven(self) -> None:
        """While another process keeps the index of the log, SQLite skips pages that it takes for copied."""
        alice, _bob = await self.users()
        holder = sqlite3.connect(self.state / "mail.sqlite", isolation_level=None)
        holder.execute("SELECT count(*) FROM maildrop").fetchone()
        self.disk._copies_doubtful = True
        self.disk.after = raising(io_error())
        await self.refused(StoreError, self.send(b"x\r\n", envelope(local(alice))))
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
        holder.close()
        await self.send(b"x\r\n", envelope(local(alice)))

    async def test_workers_end_after_a_checkpoint_that_failed_and_mail_goes_on(self) -> None:
        """A worker has the store open as long as the daemon runs, so nothing would be proven until a restart."""
        alice, _bob = await self.users()
        helper = SQLite(self.state / "mail.sqlite", create=False)
        connections = [helper.connect_writer()]

        def end() -> bool:
            was_there = bool(connections)
            while connections:
                connections.pop().close()
                helper.revoke_proof()
                helper.close()
            return was_there

        self.disk.end_other_processes = end
        self.disk._copies_doubtful = True
        self.disk.after = raising(io_error())
        await self.send(b"x\r\n", envelope(local(alice)))
        self.assertEqual((connections, await self.listed(alice)), ([], 1))

    async def test_no_other_process_empties_or_opens_the_log_while_one_is_in_doubt(self) -> None:
        """The log has what the failed checkpoint should have copied."""
        alice, _bob = await self.users()
        helper = SQLite(self.state / "mail.sqlite", create=False)
        connection = helper.connect_writer()
        await self.send(b"x\r\n", envelope(local(alice)))
        self.disk._lock.tell_doubt()
        octets = self.log.stat().st_size
        self.assertGreater(octets, 0)
        with self.assertRaises(StoreError):
            helper.tidy_when_idle(connection)
        helper.revoke_proof()
        connection.close()
        self.assertRaises(StoreError, helper.connect_writer)
        self.assertEqual(self.log.stat().st_size, octets)
        self.disk._lock.end_doubt()
        helper.connect_writer().close()
        helper.close()

    async def test_a_read_that_does_not_end_holds_the_writer_up_for_a_while_only(self) -> None:
        self.patch(gate, "_WAIT", 0.05)
        alice, _bob = await self.users()
        self.disk.open_gate.clear()
        reading = self.store.database.read("slow", lambda connection: self.disk.open_gate.wait(30))
        self.disk.revoke_proof()
        self.disk.open_gate.set()
        await reading
        await self.send(b"x\r\n", envelope(local(alice)))
        self.assertEqual(await self.listed(alice), 1)

    async def test_a_store_that_is_closed_in_order_is_one_file(self) -> None:
        await self.users()
        await self.store.close()
        left = sorted(name for name in os.listdir(self.state) if name.startswith("mail.sqlite"))
        self.assertEqual(left, ["mail.sqlite", "mail.sqlite.commit-lock", "mail.sqlite.locks"])


class ReadersTests(FaultyCase):
    """Readers are outside the commit lock, so they write nothing."""

    async def test_connecting_changes_no_octet_of_the_log(self) -> None:
        alice, _bob = await self.users()
        await self.send(b"x\r\n", envelope(local(alice)))
        files = [self.state / "mail.sqlite-wal", self.state / "mail.sqlite"]
        before = [path.read_bytes() for path in files]
        self.assertGreater(len(before[0]), 0)
        for _ in range(3):
            connection = self.disk.connect_reader()
            self.assertEqual(connection.exec_driver_sql("SELECT count(*) FROM messages").scalar(), 1)
            self.disk.close_reader(connection)
        self.assertEqual(before, [path.read_bytes() for path in files])

    async def test_a_writer_that_connects_again_commits_nothing(self) -> None:
        await self.users()
        before = (self.state / "mail.sqlite-wal").read_bytes()
        self.disk.connect_writer().close()
        self.assertEqual(before, (self.state / "mail.sqlite-wal").read_bytes())

    async def test_a_reader_cannot_write(self) -> None:
        await self.users()
        connection = self.disk.connect_reader()
        raw: Any = connection.connection.driver_connection
        self.assertRaises(sqlite3.OperationalError, raw.execute, "DELETE FROM accounts")
        raw.execute("PRAGMA query_only=OFF")
        self.assertRaises(sqlite3.OperationalError, raw.execute, "DELETE FROM accounts")
        self.disk.close_reader(connection)

    async def test_a_folder_with_signs_of_an_address_in_its_name_can_be_read(self) -> None:
        folder = self.state / "a b?c#d%25é"
        folder.mkdir()
        engine = SQLite(folder / "mail.sqlite")
        self.addCleanup(engine.close)
        engine.connect_writer().close()
        reader = engine.connect_reader()
        self.assertEqual(reader.exec_driver_sql("PRAGMA page_size").scalar(), 16384)
        engine.close_reader(reader)

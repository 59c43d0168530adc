"""Group commits over a disk that waits, fails and fills: nothing is lost, nothing is doubled."""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
import unittest
from functools import partial
from typing import Any

from sqlalchemy import Connection
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.python.failure import Failure

from emailsys.interfaces import StoreError, StoreFull
from emailsys.store.engine import disk_reserve
from tests.contract.mail import ALICE, envelope, local
from tests.system.store.store_faults import FaultyCase, full_error, io_error, raising

KIB = 1024


class CommitTests(FaultyCase):
    """What one commit does, and what becomes of it."""

    async def test_all_that_arrives_during_a_commit_goes_into_the_next(self) -> None:
        alice, _bob = await self.users()
        self.disk.open_gate.clear()
        sending = self.sending(alice, 100)
        commits = self.disk.commits
        self.disk.open_gate.set()
        await gatherResults(sending)
        # The first may have started alone; the other ninety-nine or so came together.
        self.assertLessEqual(self.disk.commits - commits, 3)
        self.assertEqual(await self.listed(alice), 100)

    async def test_nothing_is_answered_before_its_commit(self) -> None:
        alice, _bob = await self.users()
        self.disk.open_gate.clear()
        sending = self.sending(alice, 3)
        # Reads go on meanwhile, and see nothing.
        self.assertEqual(await self.listed(alice), 0)
        self.assertFalse(any(one.called for one in sending))
        self.disk.open_gate.set()
        await gatherResults(sending)

    async def test_a_commit_in_doubt_that_took_place_is_answered_once_with_yes(self) -> None:
        alice, _bob = await self.users()
        self.disk.after = raising(io_error())
        await self.send(b"x\r\n", envelope(local(alice)))
        self.assertEqual(await self.listed(alice), 1)
        await self.send(b"x\r\n", envelope(local(alice)))
        self.assertEqual(await self.listed(alice), 2)

    async def test_a_commit_in_doubt_that_did_not_take_place_is_answered_with_no(self) -> None:
        alice, _bob = await self.users()
        self.disk.before = raising(io_error())
        error = await self.refused(StoreError, self.send(b"x\r\n", envelope(local(alice))))
        self.assertNotIsInstance(error, StoreFull)
        self.assertEqual(await self.listed(alice), 0)
        await self.send(b"x\r\n", envelope(local(alice)))
        self.assertEqual(await self.listed(alice), 1)

    async def test_a_whole_group_in_doubt_shares_one_answer(self) -> None:
        alice, _bob = await self.users()
        for phase, expected in (("before", 0), ("after", 20)):
            self.disk.open_gate.clear()
            self.disk.at_gate.clear()
            ahead = Deferred.fromCoroutine(self.store.accounts.set_enabled(ALICE, True))
            # That commit stands at the gate; whatever is sent now gathers behind it.
            self.assertTrue(self.disk.at_gate.wait(10))
            results: list[object] = []
            sending = [one.addBoth(results.append) for one in self.sending(alice, 20)]
            # Called by the commit at the gate: the fault is for the one after it.
            self.disk.next_fault = (phase, raising(io_error()))
            self.disk.open_gate.set()
            await ahead
            await gatherResults(sending)
            answered = sum(isinstance(result, str) for result in results)
            self.assertEqual(await self.listed(alice), answered)
            self.assertEqual(answered, expected)

    async def test_a_message_whose_pieces_were_swept_is_refused_and_its_neighbours_are_not(self) -> None:
        """Another process may have taken this one for dead; a 250 for half a message would be the worst of answers."""
        alice, _bob = await self.users()
        large = self.store.intake.begin()
        large.write(b"x" * (700 * KIB))
        await self.store.database.run(
            "sweep", lambda connection: connection.exec_driver_sql("DELETE FROM staged").rowcount
        )
        self.disk.open_gate.clear()
        sending = self.sending(alice, 5)
        committing = Deferred.fromCoroutine(large.commit(envelope(local(alice))))
        sending += self.sending(alice, 5)
        self.disk.open_gate.set()
        error = await self.refused(StoreError, committing)
        self.assertIn("swept", str(error))
        await gatherResults(sending)
        self.assertEqual(await self.listed(alice), 10)

    async def test_an_administrators_error_spoils_nothing_of_its_group(self) -> None:
        alice, _bob = await self.users()

        def half(connection: Connection) -> None:
            connection.exec_driver_sql("DELETE FROM addresses")
            raise ValueError("no")

        self.disk.open_gate.clear()
        sending = self.sending(alice, 10)
        refused = self.store.database.run("half", half)
        sending += self.sending(alice, 10)
        self.disk.open_gate.set()
        await gatherResults(sending)
        await self.refused(ValueError, refused)
        self.assertEqual(await self.listed(alice), 20)
        self.assertEqual((await self.account(ALICE)).account_id, alice.account_id)

    async def test_a_full_disk_refuses_and_loses_nothing_and_recovers(self) -> None:
        alice, _bob = await self.users()

        def limit(pages: int) -> Any:
            def set_limit(connection: Connection) -> None:
                raw: Any = connection.connection.driver_connection
                raw.execute(f"PRAGMA max_page_count={pages}").fetchall()

            return set_limit

        await self.store.database.upkeep("limit", limit(150))
        accepted = 0
        with_room = True
        while with_room:
            results: list[object] = []
            await gatherResults([one.addBoth(results.append) for one in self.sending(alice, 10, b"x" * 20_000)])
            accepted += sum(isinstance(result, str) for result in results)
            for result in results:
                if isinstance(result, Failure):
                    with_room = False
                    self.assertIs(result.type, StoreFull)
                    self.assertNotIn("OperationalError", str(result.value))
        self.assertGreater(accepted, 10)
        self.assertEqual(await self.listed(alice), accepted)
        large = self.store.intake.begin()
        await self.refused(StoreFull, self.write_all(large, b"x" * (3000 * KIB)))
        large.abandon()
        await self.store.database.upkeep("limit", limit(1_000_000))
        await self.send(b"x" * 20_000, envelope(local(alice)))
        self.assertEqual(await self.listed(alice), accepted + 1)

    async def test_the_rest_of_a_nearly_full_disk_is_kept_for_deletes(self) -> None:
        """Else a full maildrop could never be emptied again, and mail would be refused for good."""
        alice, _bob = await self.users()
        await gatherResults(self.sending(alice, 10, b"x" * 20_000))
        self.patch(self.disk, "free_octets", lambda: 10_000)
        sending = self.sending(alice, 5, b"x" * 20_000)
        maildrop = await self.store.maildrops.open(alice.account_id)
        for index in range(10):
            maildrop.deleteMessage(index)
        deleting = maildrop.sync()
        for one in sending:
            await self.refused(StoreFull, one)
        await deleting
        maildrop.release()
        self.assertEqual(await self.listed(alice), 0)
        # The swept pages are used again, though the file has not shrunk.
        while await self.store.sweeper.step():
            """Until all is swept."""
        self.patch(self.disk, "free_octets", lambda: 40_000)
        await self.emptied_wal()
        await self.send(b"x" * 20_000, envelope(local(alice)))
        self.assertEqual(await self.listed(alice), 1)

    @unittest.skipUnless(hasattr(os, "posix_fallocate"), "the system cannot reserve blocks")
    async def test_a_full_disk_gives_up_its_reserve_for_deletes(self) -> None:
        """Other programs may have filled it to the last octet. New mail never gets that room."""
        if sys.platform == "win32":
            raise RuntimeError("needs Unix")
        alice, _bob = await self.users()
        await gatherResults(self.sending(alice, 3))
        self.patch(disk_reserve, "free_octets", lambda folder: 1 << 40)
        reserve = self.state / "mail.sqlite.reserve"
        self.assertFalse(reserve.exists(), "only a daemon has one")
        self.disk.keep_reserve()
        self.assertGreaterEqual(reserve.stat().st_blocks * 512, disk_reserve.RESERVE)
        self.assertEqual(reserve.stat().st_mode & 0o777, 0o600)
        self.disk.before = raising(full_error())
        await self.refused(StoreFull, self.send(b"x\r\n", envelope(local(alice))))
        self.assertTrue(reserve.exists())
        for left in (2, 1):
            maildrop = await self.store.maildrops.open(alice.account_id)
            maildrop.deleteMessage(0)
            self.disk.before = raising(full_error())
            await maildrop.sync()
            maildrop.release()
            self.assertEqual(await self.listed(alice), left)
            self.assertFalse(reserve.exists())
            self.disk.keep_reserve()
            self.assertTrue(reserve.exists())
        reserve.unlink()
        self.patch(disk_reserve, "free_octets", lambda folder: disk_reserve.RESERVE)
        self.disk.keep_reserve()
        self.assertFalse(reserve.exists(), "the disk is nearly full")
        maildrop = await self.store.maildrops.open(alice.account_id)
        maildrop.deleteMessage(0)
        self.disk.before = raising(full_error())
        await self.refused(StoreFull, maildrop.sync())

    async def test_a_disk_with_room_for_one_of_two_messages_takes_one(self) -> None:
        alice, _bob = await self.users()
        await self.emptied_wal()
        self.patch(self.disk, "free_octets", lambda: 400_000)
        small, large = (
            Deferred.fromCoroutine(self.send(b"x" * octets, envelope(local(alice)))) for octets in (1000, 250_000)
        )
        await self.refused(StoreFull, large)
        await small
        self.assertEqual(await self.listed(alice), 1)

    async def emptied_wal(self) -> None:
        def checkpoint(connection: Connection) -> None:
            raw: Any = connection.connection.driver_connection
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

        await self.store.database.upkeep("checkpoint", checkpoint)

    async def write_all(self, incoming: Any, body: bytes) -> None:
        for start in range(0, len(body), 65_536):
            pause = incoming.write(body[start : start + 65_536])
            if pause is not None:
                await pause
        await incoming.commit(envelope())

    async def test_a_large_message_is_paused_while_a_mebibyte_of_it_waits(self) -> None:
        alice, _bob = await self.users()
        self.disk.open_gate.clear()
        incoming = self.store.intake.begin()
        written, pause = 0, None
        while pause is None:
            pause = incoming.write(b"x" * 65_536)
            written += 65_536
        self.assertLessEqual(written, 1024 * KIB + 256 * KIB + 65_536)
        self.assertFalse(pause.called)
        self.disk.open_gate.set()
        await pause
        await incoming.commit(envelope(local(alice)))
        self.assertEqual(await self.listed(alice), 1)

    async def test_past_the_bound_writers_pause_and_past_twice_the_bound_messages_are_refused(self) -> None:
        alice, _bob = await self.users()
        self.disk.open_gate.clear()
        results: list[object] = []
        sending = [one.addBoth(results.append) for one in self.sending(alice, 7, b"x" * (200 * KIB))]
        self.assertGreater(self.store.database.waiting_octets, self.max_waiting)
        another = self.store.intake.begin()
        self.assertIsNone(another.write(b"y"), "a small message waits for large ones")
        pause = another.write(b"y" * (16 * KIB))
        self.assertIsInstance(pause, Deferred)
        flood = [Deferred.fromCoroutine(self.store.intake.begin().commit(envelope(local(alice))))]
        while self.store.database.waiting_octets + 200 * KIB <= 2 * self.max_waiting:
            more = self.store.intake.begin()
            more.write(b"x" * (200 * KIB))
            flood.append(Deferred.fromCoroutine(more.commit(envelope(local(alice)))))
        late = self.store.intake.begin()
        late.write(b"x" * (200 * KIB))
        await self.refused(StoreFull, late.commit(envelope(local(alice))))
        small = self.store.intake.begin().write(b"y")
        self.assertIsInstance(small, Deferred, "a small message would be refused at its end")
        self.assertFalse(pause.called)
        self.disk.open_gate.set()
        await gatherResults([pause, small])
        await gatherResults([*sending, *flood])
        self.assertEqual(self.store.database.waiting_octets, 0)
        self.assertIsNone(another.write(b"y"))
        another.abandon()

    async def test_senders_go_on_one_after_the_other(self) -> None:
        """All went on in one turn of the reactor before, and the other connections waited meanwhile."""
        alice, _bob = await self.users()
        self.disk.open_gate.clear()
        sending = self.sending(alice, 7, b"x" * (200 * KIB))
        paused = [self.store.intake.begin() for _ in range(20)]
        went_on: list[int] = []
        in_one_turn: list[int] = []
        from twisted.internet import reactor

        def go_on(number: int) -> None:
            went_on.append(number)
            if not number:
                # A client that has just arrived waits behind them.
                self.assertIsInstance(self.store.intake.begin().write(b"y" * (16 * KIB)), Deferred)
                reactor.callFromThread(lambda: in_one_turn.append(len(went_on)))  # type: ignore[attr-defined]

        pauses = []
        for number, incoming in enumerate(paused):
            pause = incoming.write(b"y" * (16 * KIB))
            assert pause is not None
            pauses.append(pause.addCallback(lambda _, number=number: go_on(number)))
        self.disk.open_gate.set()
        await gatherResults([*sending, *pauses])
        self.assertEqual(went_on, list(range(20)))
        self.assertLess(in_one_turn[0], 10)
        for incoming in paused:
            incoming.abandon()

    async def test_many_slow_senders_are_written_out_before_they_fill_memory(self) -> None:
        alice, _bob = await self.users()
        slow = [self.store.intake.begin() for _ in range(20)]
        for incoming in slow:
            pause = incoming.write(b"x" * (200 * KIB))
            if pause is not None:
                await pause
        self.assertLessEqual(self.store.intake.held_octets, self.max_waiting + 200 * KIB)
        for incoming in slow:
            await incoming.commit(envelope(local(alice)))
        self.assertEqual(self.store.intake.held_octets, 0)
        maildrop = await self.open(alice)
        for index in range(20):
            self.assertTrue((await self.fetch(maildrop, index)).endswith(b"\r\n" + b"x" * (200 * KIB)))

    async def test_waiting_jobs_are_committed_before_the_store_closes(self) -> None:
        alice, _bob = await self.users()
        self.disk.open_gate.clear()
        sending = self.sending(alice, 10)
        closing = Deferred.fromCoroutine(self.store.close())
        for refused in (
            self.send(b"late\r\n", envelope(local(alice))),
            self.store.maildrops.open(alice.account_id),
        ):
            await self.refused(StoreError, refused)
        self.disk.open_gate.set()
        await gatherResults(sending)
        await closing
        await self.store.close()
        self.store = self.open_faulty()
        self.assertEqual(await self.listed(alice), 10)

    async def test_a_cancelled_sender_does_not_undo_the_commit(self) -> None:
        alice, _bob = await self.users()
        self.disk.open_gate.clear()
        (sending,) = self.sending(alice, 1)
        cancelled = sending.addErrback(lambda failure: failure.trap(CancelledError) and None)
        sending.cancel()
        await cancelled
        self.disk.open_gate.set()
        await self.send(b"next\r\n", envelope(local(alice)))
        self.assertEqual(await self.listed(alice), 2)

    async def test_a_busy_database_is_a_passing_error(self) -> None:
        alice, _bob = await self.users()
        busy = sqlite3.OperationalError("database is locked")
        busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
        self.disk.before = raising(busy)
        await self.refused(StoreError, self.send(b"x\r\n", envelope(local(alice))))
        await self.send(b"x\r\n", envelope(local(alice)))
        self.assertEqual(await self.listed(alice), 1)

    async def test_a_failed_checkpoint_changes_no_answer(self) -> None:
        alice, _bob = await self.users()
        failures = [io_error()]

        def fail_once(connection: Connection, octets: int) -> None:
            if failures:
                raise failures.pop()

        self.patch(self.disk, "after_batch", fail_once)
        await self.send(b"x\r\n", envelope(local(alice)))
        await self.send(b"y\r\n", envelope(local(alice)))
        self.assertEqual(len(self.flushLoggedErrors(sqlite3.OperationalError)), 1)
        self.assertEqual(await self.listed(alice), 2)

    async def test_a_commit_does_not_wait_for_a_checkpoint(self) -> None:
        """A message was answered after the checkpoint before, although its commit was on disk."""
        alice, _bob = await self.users()
        answered = threading.Event()
        answered_first: list[bool] = []
        self.patch(self.disk, "after_batch", lambda connection, octets: answered_first.append(answered.wait(10)))
        await self.send(b"x\r\n", envelope(local(alice)))
        answered.set()
        self.assertEqual(await self.listed(alice), 1)
        await self.store.close()
        self.assertEqual(answered_first, [True])

    async def test_the_wal_is_emptied_when_nothing_comes(self) -> None:
        await self.store.close()
        self.store = self.open_faulty(idle_after=0.01)
        alice, _bob = await self.users()
        await self.send(b"x" * 100_000, envelope(local(alice)))
        await self.send(b"y", envelope(local(alice)))
        from twisted.internet import reactor

        wal = self.state / "mail.sqlite-wal"
        while True:
            rested: Deferred[None] = Deferred()
            # Before the look at the file, so that no rest after it is missed.
            self.disk.rested = partial(reactor.callFromThread, rested.callback, None)  # type: ignore[attr-defined]
            if not wal.stat().st_size:
                break
            await rested

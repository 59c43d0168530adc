"""A disk that goes away, comes back, and does neither: each waiter gets an answer, and the store goes on."""

from __future__ import annotations

import sqlite3
from typing import Any

from sqlalchemy import Connection
from twisted.internet.defer import Deferred

from emailsys.interfaces import StoreError
from emailsys.store.commit import writer
from tests.contract.mail import envelope, local
from tests.system.store.store_faults import FaultyCase, io_error, raising


def failing(times: int, function: Any) -> Any:
    """The function, but for its first calls, which fail."""
    left = [times]

    def call(*arguments: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise io_error()
        return function(*arguments)

    return call


class FaultTests(FaultyCase):
    """What the writer and the readers make of errors that nobody planned."""

    def setUp(self) -> Any:
        self.patch(writer, "_REOPEN_EVERY", 0.001)
        self.patch(writer, "_GIVE_UP_AFTER", 0.01)
        return super().setUp()

    async def test_a_database_that_comes_back_late_still_gives_the_true_answer(self) -> None:
        # On a busy machine, three attempts may take longer than the limit of the other tests.
        self.patch(writer, "_GIVE_UP_AFTER", 30.0)
        alice, _bob = await self.users()
        self.patch(self.disk, "connect_writer", failing(3, self.disk.connect_writer))
        self.disk.after = raising(io_error())
        await self.send(b"x\r\n", envelope(local(alice)))
        self.assertEqual(await self.listed(alice), 1)

    async def test_a_database_that_does_not_come_back_is_an_error_and_one_event(self) -> None:
        alice, _bob = await self.users()
        connect = self.disk.connect_writer
        self.patch(self.disk, "connect_writer", raising(io_error()))
        self.disk.before = raising(io_error())
        await self.refused(StoreError, self.send(b"x\r\n", envelope(local(alice))))
        self.assertEqual(len(self.flushLoggedErrors(sqlite3.OperationalError)), 1)
        await self.refused(StoreError, self.send(b"x\r\n", envelope(local(alice))))
        self.disk.connect_writer = connect  # type: ignore[method-assign]
        await self.send(b"x\r\n", envelope(local(alice)))
        self.assertEqual(await self.listed(alice), 1)

    async def test_a_defect_of_the_writer_answers_every_waiting_job(self) -> None:
        alice, _bob = await self.users()
        verdict = self.disk.verdict

        def broken(error: Exception) -> Any:
            raise RuntimeError("a defect")

        self.patch(self.disk, "verdict", broken)
        self.disk.before = raising(io_error())
        await self.refused(StoreError, self.send(b"x\r\n", envelope(local(alice))))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.disk.verdict = verdict  # type: ignore[method-assign]
        await self.send(b"x\r\n", envelope(local(alice)))

    async def test_a_job_that_is_reported_twice_is_counted_once(self) -> None:
        """A defect after a commit reports the batch again. The octets that wait would otherwise fall below 0."""
        alice, _bob = await self.users()
        [first, *_] = self.store.database._writers
        commit = first._commit

        def broken(batch: Any) -> Any:
            self.assertEqual(commit(batch), [])
            raise RuntimeError("a defect")

        self.patch(first, "_commit", broken)
        await self.send(b"x\r\n", envelope(local(alice)))
        first._commit = commit
        await self.send(b"x\r\n", envelope(local(alice)))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual((self.store.database.waiting_octets, await self.listed(alice)), (0, 2))

    async def test_failed_upkeep_fails_the_request_for_it(self) -> None:
        await self.users()

        def broken(connection: Connection) -> None:
            raise io_error()

        await self.refused(StoreError, self.store.database.upkeep("broken", broken))
        self.assertEqual(await self.store.database.upkeep("fine", lambda connection: 5), 5)

    async def test_a_rest_that_fails_is_one_event(self) -> None:
        await self.store.close()
        self.store = self.open_faulty(idle_after=0.01)
        rested: Deferred[None] = Deferred()
        from twisted.internet import reactor

        def broken() -> None:
            self.disk.rested = None
            reactor.callFromThread(rested.callback, None)  # type: ignore[attr-defined]
            raise io_error()

        self.disk.rested = broken
        alice, _bob = await self.users()
        await rested
        await self.send(b"x\r\n", envelope(local(alice)))
        self.assertEqual(len(self.flushLoggedErrors(sqlite3.OperationalError)), 1)

    async def test_a_reading_connection_that_broke_is_replaced_unseen(self) -> None:
        def flaky(connection: Connection) -> str:
            return "read"

        read = self.store.database.read
        self.assertEqual(await read("flaky", failing(1, flaky)), "read")
        await self.refused(StoreError, read("flaky", failing(2, flaky)))
        self.assertEqual(await read("flaky", flaky), "read")

    async def test_a_read_that_cannot_be_done_is_refused_at_once(self) -> None:
        def wrong(connection: Connection) -> None:
            connection.exec_driver_sql("SELECT * FROM no_such_table")

        error = await self.refused(StoreError, self.store.database.read("wrong", wrong))
        self.assertIn("no_such_table", str(error))

    async def test_a_sweep_that_fails_is_put_off(self) -> None:
        await self.users()
        sweeper = self.store.sweeper
        sweeper.start()
        read = self.store.database.read
        for error in (StoreError("busy"), ValueError("a defect")):
            asked: Deferred[None] = Deferred()

            def refuse(name: str, function: Any, error: Exception = error, asked: Deferred[None] = asked) -> Any:
                asked.callback(None)
                raise error

            self.patch(self.store.database, "read", refuse)
            self.clock.advance(5)
            await asked
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.patch(self.store.database, "read", read)
        swept: Deferred[None] = Deferred()
        step = sweeper.step

        async def stepping() -> bool:
            more = bool(await step())
            swept.callback(None)
            return more

        self.patch(sweeper, "step", stepping)
        self.clock.advance(5)
        await swept
        sweeper.stop()

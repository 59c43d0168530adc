"""Cases of a move: what is in a store is in the other one afterwards, whichever engines they have."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError
from twisted.internet.threads import deferToThread

from emailsys.interfaces import StoreMissing
from emailsys.store.moving import target as target_of
from emailsys.store.moving.changes import stop_recording
from emailsys.store.moving.copying import Copying
from emailsys.store.moving.keys import key_columns
from emailsys.store.moving.move import Move, Moved, TooBusy
from emailsys.store.moving.target import TargetInUse
from emailsys.store.open import engine_of
from emailsys.store.schema.identity import KeptIdentity
from emailsys.store.schema.move_marks import StoreMoved, StoreRetired
from tests.contract.mail import MailCase, envelope, local, remote
from tests.system.store.random_rows import TABLES, change, contents, fill

LARGE = b"Subject: large\r\n\r\n" + b"0123456789abcde\r\n" * 40_000


def nothing(step: str, table: str, done: int, of: int) -> None:
    """Ignore the progress."""


def nothing_yet(engine: Any, connection: Any) -> None:
    """Make an empty database."""


def refusal(identity: str, engine: Any, connection: Any) -> str:
    """Return why a database cannot become the copy of the store with an identity, "" if it can."""
    try:
        target_of.prepare(engine, connection, identity)
    except TargetInUse as error:
        return str(error)
    return ""


class RowsCases(MailCase):
    """The tests for all rows. `test_moving` has a subclass for each pair of engines."""

    def target_url(self) -> str:
        """Return the URL of an empty database."""
        raise AssertionError(f"{type(self).__name__} names no other database")

    async def _set_up(self) -> None:
        await super()._set_up()
        self.here: str | None = self.url.render_as_string(hide_password=False) if hasattr(self, "url") else None
        self.there = self.target_url()

    def move_between(self, here: str | None, there: str, report: Any = nothing) -> Move:
        """Return a move, which is closed after the test."""
        kept = KeptIdentity(Path(self.state))
        move = Move(engine_of(here, self.state, False), engine_of(there, self.state, True), kept, report)
        self.addCleanup(move.close)
        return move

    def moved(self, report: Any = nothing) -> Moved:
        """Move the store."""
        move = self.move_between(self.here, self.there, report)
        try:
            move.begin()
            move.copy()
            moved = move.switch()
            move.tidy()
        except BaseException:
            self.kill(move)
            raise
        move.close()
        return moved

    def kill(self, move: Move) -> None:
        """End the connections and locks of a move as the end of its process does. Changes are recorded further."""
        for _, connection in move._connections:
            connection.invalidate()
        move._is_closed = True
        move._source.close()
        move._target.close()

    def on(self, url: str | None, work: Callable[[Any, Any], Any], create: bool = False) -> Any:
        """Do something with an engine and a connection for writing."""
        engine = engine_of(url, self.state, create)
        try:
            connection = engine.connect_writer()
            try:
                return work(engine, connection)
            finally:
                connection.close()
        finally:
            engine.close()

    async def test_each_table_of_the_store_is_moved(self) -> None:
        """Also one that is added to the schema later: tables are found in the schema, and in the database."""
        draw = random.Random(1)
        self.on(self.here, lambda engine, connection: fill(engine, connection, range(3), draw))
        found = self.on(self.here, lambda _, connection: set(inspect(connection).get_table_names()))
        self.assertEqual(found - {"alembic_version"}, {table.name for table in TABLES})
        before = self.on(self.here, lambda _, connection: contents(connection))
        await self.store.close()
        moved = self.moved()
        after = self.on(self.there, lambda _, connection: contents(connection))
        self.assertEqual({name for name, rows in before.items() if not rows}, set())
        self.assertEqual(after, before)
        self.assertEqual(moved.rows, {name: len(rows) for name, rows in before.items()})
        self.assertEqual([key_columns(table) for table in TABLES if not key_columns(table)], [])

    async def test_changes_while_rows_are_copied_and_compared_are_moved_too(self) -> None:
        draw = random.Random(2)
        self.on(self.here, lambda engine, connection: fill(engine, connection, range(5), draw))
        engine = engine_of(self.here, self.state, False)
        connection = engine.connect_writer()
        self.addCleanup(engine.close)
        self.addCleanup(connection.close)

        def report(step: str, table: str, done: int, of: int) -> None:
            change(engine, connection, draw)

        move = self.move_between(self.here, self.there, report)
        move.begin()
        move.copy()
        change(engine, connection, draw)
        before = contents(connection)
        move.switch()
        move.tidy()
        self.assertEqual(self.on(self.there, lambda _, connection: contents(connection)), before)


class MoveCases(RowsCases):
    """All tests. `test_moving` has a subclass for each direction."""

    async def test_mail_and_unique_ids_are_the_same_and_later_ids_are_higher(self) -> None:
        alice, bob = await self.users()
        for number in range(5):
            await self.send(b"Subject: %d\r\n\r\nhello\r\n" % number, envelope(local(alice), local(bob)))
        await self.send(LARGE, envelope(local(bob), remote(bob.address)))
        maildrop = await self.store.maildrops.open(bob.account_id)
        before = [maildrop.getUidl(index) for index in range(6)]
        bodies = [await self.fetch(maildrop, index) for index in range(6)]
        maildrop.release()
        await self.store.close()
        self.moved()
        self.store = self.open_again(self.there, create=False)
        maildrop = await self.open(bob)
        self.assertEqual([maildrop.getUidl(index) for index in range(6)], before)
        self.assertEqual([await self.fetch(maildrop, index) for index in range(6)], bodies)
        maildrop.release()
        await self.send(b"Subject: later\r\n\r\n", envelope(local(bob)))
        maildrop = await self.open(bob)
        self.assertGreater(maildrop.getUidl(6), max(before))
        part = await self.store.verification.check(None, 60)
        self.assertEqual((part.flaws, part.cursor), ((), None))

    async def test_a_process_that_has_the_former_store_open_cannot_commit_to_it(self) -> None:
        """Nor can one that opens it later."""
        alice, _ = await self.users()
        await self.send(b"Subject: before\r\n\r\n", envelope(local(alice)))
        await deferToThread(self.moved)
        await self.refused(StoreRetired, self.send(b"Subject: after\r\n\r\n", envelope(local(alice))))
        self.assertRaises(StoreMoved, self.open_again, self.here, create=False)
        other = self.open_again(self.there, create=False)
        maildrop = await other.maildrops.open(alice.account_id)
        self.assertEqual(len(maildrop.listMessages()), 1)
        maildrop.release()

    async def test_a_move_that_ends_early_leaves_the_store_in_charge(self) -> None:
        """The next move starts afresh, and says so. Meanwhile no process opens the copy."""
        alice, _ = await self.users()
        await self.send(b"Subject: before\r\n\r\n", envelope(local(alice)))
        move = self.move_between(self.here, self.there)
        self.assertIsNone(move.begin())
        move.copy()
        await self.send(b"Subject: after\r\n\r\n", envelope(local(alice)))
        self.assertRaises(StoreMoved, self.open_again, self.there, create=False)
        self.kill(move)
        again = self.move_between(self.here, self.there)
        self.assertIn("starts afresh", again.begin() or "")
        again.copy()
        await deferToThread(again.switch)
        other = self.open_again(self.there, create=False)
        maildrop = await other.maildrops.open(alice.account_id)
        self.assertEqual(len(maildrop.listMessages()), 2)
        maildrop.release()

    async def test_after_its_time_the_store_is_not_retired(self) -> None:
        """The daemon may deliver mail again then, which would be sent once more from the copy."""
        alice, _ = await self.users()
        move = self.move_between(self.here, self.there)
        move.begin()
        move.copy()
        error = self.assertRaises(TooBusy, move.switch, time.monotonic() - 1.0)
        self.assertIn("Try again", str(error))
        await self.send(b"Subject: after\r\n\r\n", envelope(local(alice)))

    async def test_the_complete_copy_of_another_store_is_kept(self) -> None:
        """That store may be retired already, so that nothing else has its mail."""
        await self.store.close()
        patched = self.patch(target_of, "release", lambda *parts: self.fail("killed"))
        self.assertRaises(self.failureException, self.moved)
        patched.restore()
        for identity, is_kept in (("another", True), (KeptIdentity(Path(self.state)).read() or "", False)):
            refused = self.on(self.there, partial(refusal, identity))
            self.assertEqual(bool(refused), is_kept, refused)

    async def test_a_move_that_was_killed_between_its_last_commits_is_finished_by_the_next(self) -> None:
        alice, _ = await self.users()
        await self.store.close()
        patched = self.patch(target_of, "release", lambda *parts: self.fail("killed"))
        self.assertRaises(self.failureException, self.moved)
        self.assertRaises(StoreMoved, self.open_again, self.here, create=False)
        self.assertRaises(StoreMoved, self.open_again, self.there, create=False)
        patched.restore()
        self.assertTrue(self.moved().finished)
        other = self.open_again(self.there, create=False)
        self.assertEqual((await other.directory.find_address(*alice.address.key)).account_id, alice.account_id)

    async def test_a_database_that_is_not_empty_is_refused(self) -> None:
        await self.store.close()
        self.moved()
        back = self.move_between(self.there, self.here or "sqlite:///mail.sqlite")
        error = self.assertRaises(TargetInUse, back.begin)
        self.assertIn("was moved away", str(error))
        other = self.move_between(self.there, self.there)
        self.assertIn("another store", str(self.assertRaises(TargetInUse, other.begin)))

    async def test_a_database_without_a_store_is_no_source(self) -> None:
        await self.store.close()
        self.on(self.there, nothing_yet, create=True)
        move = self.move_between(self.there, "sqlite:///third.sqlite")
        self.assertRaises(StoreMissing, move.begin)

    async def test_the_start_of_a_daemon_ends_a_move(self) -> None:
        """It removes the record of changes, which would grow for ever after a move that was killed."""
        move = self.move_between(self.here, self.there)
        move.begin()
        self.open_again(self.here, sweep=True)
        self.assertFalse(self.on(self.here, stop_recording))
        self.assertRaises(SQLAlchemyError, move.copy)

    async def test_a_row_that_differs_in_the_copy_is_copied_again(self) -> None:
        """Whatever the reason, the comparison of all rows finds it."""
        alice, _ = await self.users()
        await self.send(b"Subject: one\r\n\r\n", envelope(local(alice)))
        await self.store.close()
        put = Copying._put
        lost: list[Any] = []

        def forgetful(copying: Copying, table: Any, keys: Any, rows: Any) -> None:
            if table.name == "bodies" and not lost:
                lost.extend(keys)
                rows = []
            put(copying, table, keys, rows)

        self.patch(Copying, "_put", forgetful)
        before = self.on(self.here, lambda _, connection: contents(connection))
        self.moved()
        self.assertEqual(len(lost), 1)
        self.assertEqual(self.on(self.there, lambda _, connection: contents(connection)), before)

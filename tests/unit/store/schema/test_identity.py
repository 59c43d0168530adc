"""The identity of a store, and its copy in the state folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import DATABASE_NAME, StoreSettings
from emailsys.interfaces import StoreError
from emailsys.mail.address import Address
from emailsys.store.check import find_problem
from emailsys.store.engine.sqlite import SQLite
from emailsys.store.offline import run_offline
from emailsys.store.open import Store
from emailsys.store.schema import migrate
from emailsys.store.schema.identity import IDENTITY_NAME, StoreReplaced
from emailsys.telemetry import Telemetry


async def nothing(store: Store) -> None:
    """Opening the store is the test."""


async def add_domain(store: Store) -> None:
    await store.accounts.add_domain("example.test", Address("a", "example.test"))


class IdentityTests(SynchronousTestCase):
    """A store in a state folder, and other stores in its place."""

    def setUp(self) -> None:
        self.state = Path(self.mktemp())
        self.path = self.state / DATABASE_NAME
        self.kept = self.state / IDENTITY_NAME
        self.telemetry = Telemetry()
        self.open(create=True)

    def open(self, create: bool = False, adopt: bool = False, state: Path | None = None) -> None:
        action = add_domain if create else nothing
        run_offline(StoreSettings(), state or self.state, action, self.telemetry, create=create, adopt=adopt)

    def make_older(self) -> None:
        """Put a store of revision 0006 in the place, which has a domain and no identity."""
        self.path.unlink()
        engine = SQLite(self.path)
        connection = engine.connect_writer()
        with engine.commit_lock():
            migrate.upgrade(engine, connection, Telemetry(), None, "0006")
            with connection.begin():
                connection.exec_driver_sql(
                    "INSERT INTO domains (domain_id, domain_key, name) VALUES (7, 'older.test', 'older.test')"
                )
        connection.close()
        engine.close()

    def test_the_copy_is_private_and_stays(self) -> None:
        identity = self.kept.read_text()
        self.assertRegex(identity, r"\A[0-9a-f]{32}\n\Z")
        self.assertEqual(self.kept.stat().st_mode & 0o777, 0o600)
        self.open()
        self.assertEqual(self.kept.read_text(), identity)

    def test_a_state_folder_of_an_earlier_release_gets_a_copy(self) -> None:
        """Such a folder has no copy. Its store is the right one."""
        identity = self.kept.read_text()
        self.kept.unlink()
        self.open()
        self.assertEqual(self.kept.read_text(), identity)

    def test_a_backup_from_before_the_upgrade_is_recognized(self) -> None:
        """The upgrade gives each copy of a store the same identity."""
        self.make_older()
        self.kept.unlink()
        backup = self.path.read_bytes()
        self.open()
        identity = self.kept.read_text()
        self.path.write_bytes(backup)
        self.assertIsNone(find_problem(StoreSettings(), self.state))
        self.open()
        self.assertEqual(self.kept.read_text(), identity)

    def test_another_store_is_neither_used_nor_upgraded(self) -> None:
        self.make_older()
        before = self.path.read_bytes()
        for create in (False, True):
            error = self.assertRaises(
                StoreReplaced, run_offline, StoreSettings(), self.state, nothing, Telemetry(), create=create
            )
            self.assertIn("run `emailsys init --adopt`", str(error))
        self.assertEqual(self.path.read_bytes(), before)
        self.assertEqual(list(self.state.glob("*.before-upgrade*")), [])
        self.open(adopt=True)
        self.open()

    def test_a_full_disk_does_not_keep_the_store_closed(self) -> None:
        """The copy is missing then, and is written at the next opening. Only `--adopt` needs it."""
        self.kept.unlink()
        in_the_way = self.kept.with_name(f"{IDENTITY_NAME}.{os.getpid()}.new")
        in_the_way.mkdir()
        self.open()
        self.assertEqual(self.telemetry.counters["store-identity-not-kept"], 1)
        error = self.assertRaises(
            StoreError, run_offline, StoreSettings(), self.state, nothing, Telemetry(), adopt=True
        )
        self.assertIn(f"{self.kept} cannot be written", str(error))
        in_the_way.rmdir()
        self.open()
        self.assertTrue(self.kept.exists())

    def test_a_copy_that_cannot_be_read_is_named(self) -> None:
        self.kept.unlink()
        self.kept.mkdir()
        error = self.assertRaises(StoreError, run_offline, StoreSettings(), self.state, nothing, Telemetry())
        self.assertIn(f"{self.kept} cannot be read", str(error))
        self.assertIn(f"{self.kept} cannot be read", str(find_problem(StoreSettings(), self.state)))

    def test_a_pipe_in_place_of_the_copy_is_not_waited_for(self) -> None:
        """Another user may own the state folder: commands that root runs there without a daemon would hang."""
        if sys.platform == "win32":
            raise SkipTest("Windows has no such files")
        self.kept.unlink()
        os.mkfifo(self.kept)
        error = self.assertRaises(StoreError, run_offline, StoreSettings(), self.state, nothing, Telemetry())
        self.assertIn(f"{self.kept} cannot be read: is not a regular file", str(error))

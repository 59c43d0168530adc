"""Opening the store, by URL and without a reactor."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import DATABASE_NAME, StoreSettings
from emailsys.interfaces import StoreError, StoreMissing
from emailsys.interfaces.operators import AdminError, UserRow
from emailsys.mail.address import Address
from emailsys.store.check import find_problem
from emailsys.store.offline import run_offline
from emailsys.store.open import Store
from emailsys.telemetry import Telemetry

ALICE = Address("alice", "example.test")


async def add_alice(store: Store) -> None:
    """Add a domain and its first account."""
    await store.accounts.add_domain("example.test", ALICE)
    await store.accounts.add_user(ALICE, [("argon2id", "s")])


async def users(store: Store) -> list[UserRow]:
    """List all accounts."""
    return list(await store.accounts.list_users(None))


class OpenTests(SynchronousTestCase):
    """Run an action as a command does while no daemon runs."""

    def setUp(self) -> None:
        self.state = Path(self.mktemp()) / "state"

    def test_the_state_folder_is_made_for_its_owner_alone(self) -> None:
        run_offline(StoreSettings(), self.state, add_alice, Telemetry(), create=True)
        self.assertEqual(self.state.stat().st_mode & 0o777, 0o700)
        self.assertTrue((self.state / DATABASE_NAME).exists())
        # A clean end leaves no WAL behind.
        self.assertFalse((self.state / f"{DATABASE_NAME}-wal").exists())

    def test_a_command_reads_what_an_earlier_one_wrote(self) -> None:
        run_offline(StoreSettings(), self.state, add_alice, Telemetry(), create=True)
        self.assertEqual(run_offline(StoreSettings(), self.state, users, Telemetry()), [UserRow(ALICE, True, 0, 0)])

    def test_a_refusal_reaches_the_command(self) -> None:
        run_offline(StoreSettings(), self.state, add_alice, Telemetry(), create=True)
        self.assertRaises(AdminError, run_offline, StoreSettings(), self.state, add_alice, Telemetry(), create=True)

    def test_a_sqlite_url_names_a_file_of_the_state_folder_or_elsewhere(self) -> None:
        run_offline(StoreSettings(url="sqlite:///here.sqlite"), self.state, add_alice, Telemetry(), create=True)
        self.assertTrue((self.state / "here.sqlite").exists())
        path = (self.state / "there.sqlite").resolve()
        run_offline(StoreSettings(url=f"sqlite:///{path}"), self.state, add_alice, Telemetry(), create=True)
        self.assertTrue(path.exists())

    def test_a_url_that_cannot_be_used_is_told_in_words(self) -> None:
        for url, word in (
            ("nonsense", "store.url"),
            ("sqlite://", "file"),
            ("sqlite:///:memory:", "file"),
            ("mysql://host/mail", "mysql"),
        ):
            error = self.assertRaises(StoreError, run_offline, StoreSettings(url=url), self.state, users, Telemetry())
            self.assertIn(word, str(error))

    def test_a_file_that_is_no_database_is_told_in_words(self) -> None:
        self.state.mkdir(parents=True)
        (self.state / DATABASE_NAME).write_bytes(b"this is no database, whatever it is called\n" * 100)
        error = self.assertRaises(StoreError, run_offline, StoreSettings(), self.state, users, Telemetry())
        self.assertEqual(
            str(error), f"the store {(self.state / DATABASE_NAME).absolute()} cannot be opened: file is not a database"
        )

    def test_a_database_server_that_is_not_there_is_named_in_one_line_without_the_password(self) -> None:
        url = "postgresql://mail:geheim@127.0.0.1:1/mail"
        error = self.assertRaises(StoreError, run_offline, StoreSettings(url=url), self.state, users, Telemetry())
        self.assertIn("mail@127.0.0.1:1/mail cannot be opened: ", str(error).replace(":***", ""))
        self.assertNotIn("geheim", str(error))
        self.assertNotIn("\n", str(error))

    def test_a_state_folder_that_cannot_be_made_is_told_in_words(self) -> None:
        self.state.parent.mkdir(parents=True, exist_ok=True)
        self.state.write_bytes(b"a file")
        for create in (True, False):
            error = self.assertRaises(
                StoreError, run_offline, StoreSettings(), self.state, users, Telemetry(), create=create
            )
            self.assertIn(str(self.state), str(error))

    def test_a_store_that_is_missing_is_not_made_unless_an_operator_asks(self) -> None:
        """Nothing is created or changed if the folder is missing or empty, or if the file is empty."""
        settings = StoreSettings()
        self.state.parent.mkdir(parents=True, exist_ok=True)
        for prepare in (lambda: None, self.state.mkdir, (self.state / DATABASE_NAME).touch):
            prepare()
            before = list(self.state.parent.rglob(f"{self.state.name}/**/{DATABASE_NAME}"))
            error = self.assertRaises(StoreMissing, run_offline, settings, self.state, users, Telemetry())
            self.assertIn(f"there is no store in {self.state.absolute()}. Run `emailsys init`", str(error))
            self.assertEqual(list(self.state.parent.rglob(f"{self.state.name}/**/{DATABASE_NAME}")), before)
            self.assertIn("there is no store", str(find_problem(settings, self.state)))
        self.assertEqual(run_offline(settings, self.state, users, Telemetry(), create=True), [])
        self.assertEqual(run_offline(settings, self.state, users, Telemetry()), [])

    def test_a_store_is_looked_at_without_a_change(self) -> None:
        """The check reports a missing domain, a file that is not a database, or no problem."""
        settings, path = StoreSettings(), self.state / DATABASE_NAME
        run_offline(settings, self.state, users, Telemetry(), create=True)
        before = path.read_bytes()
        self.assertIn("no domain has been added", str(find_problem(settings, self.state)))
        self.assertEqual(path.read_bytes(), before)
        run_offline(settings, self.state, add_alice, Telemetry())
        self.assertIsNone(find_problem(settings, self.state))
        self.assertIsNone(find_problem(StoreSettings(url="postgresql://mail@127.0.0.1:1/mail"), self.state))
        path.write_bytes(b"this is no database, whatever it is called\n" * 100)
        self.assertIn("not a database", str(find_problem(settings, self.state)))

    def test_neither_alembic_nor_a_postgresql_driver_is_loaded_for_sqlite(self) -> None:
        script = (
            "import sys; from pathlib import Path; from emailsys.config.settings import StoreSettings; "
            "from emailsys.store.offline import run_offline; from emailsys.telemetry import Telemetry\n"
            "async def nothing(store): pass\n"
            f"run_offline(StoreSettings(), Path({str(self.state)!r}), nothing, Telemetry(), create=True)\n"
            "print([name for name in ('alembic', 'psycopg', 'sqlalchemy.orm') if name in sys.modules])"
        )
        told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
        self.assertEqual(told.stdout.strip(), "[]")

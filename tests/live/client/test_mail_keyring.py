"""`emailsys mail account add` with backends of the package keyring: one that keeps, one that is locked, none at all."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.fakes.client.file_keyring import VARIABLE
from tests.live.programs.daemon import shared
from tests.live.programs.person import Person


class KeyringTests(SynchronousTestCase):
    """A real daemon, and programs in processes of their own, which find their keyring as any does."""

    def setUp(self) -> None:
        self.daemon = shared(type(self))
        self.user = self.daemon.user()
        self.person = Person(Path(self.mktemp()).absolute())
        self.file = self.person.home / "keyring.json"
        self.file.write_text("{}")
        self.person.environment[VARIABLE] = str(self.file)
        self.use("tests.fakes.client.file_keyring.FileKeyring")

    def use(self, backend: str) -> None:
        self.person.environment["PYTHON_KEYRING_BACKEND"] = backend

    def add(self) -> subprocess.CompletedProcess[str]:
        ports = self.daemon.ports
        done = self.person.run(
            "account", "add", self.user.address, "--pop3", f"localhost:{ports['pop3s']}", "--pop3-security", "tls",
            "--smtp", f"localhost:{ports['submissions']}", "--smtp-security", "tls", "--ca-file", str(self.daemon.ca),
            "--password-stdin", typed=f"{self.user.password}\n".encode(),
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)
        for path in self.person.home.rglob("*"):
            if path.is_file() and path != self.file:
                self.assertNotIn(self.user.password.encode(), path.read_bytes(), path)
        return done

    def test_a_password_in_the_keyring_is_never_asked_for_and_removed_with_the_account(self) -> None:
        """Add, send, fetch and remove, without a terminal: the password is in the keyring alone, then nowhere."""
        added = self.add()
        self.assertNotIn("password", added.stderr)
        self.assertEqual(list(json.loads(self.file.read_text()).values()), [self.user.password])
        self.person.json("send", self.user.address, "-s", "Kept", "-m", "x")
        (fetched,) = self.person.json("fetch")
        self.assertEqual(len(fetched["keys"]), 1)
        self.assertEqual(self.person.run("account", "remove", self.user.address, "--yes").returncode, 0)
        self.assertEqual(json.loads(self.file.read_text()), {})

    def test_a_keyring_that_is_locked_later_is_named(self) -> None:
        """Fetching says that it is locked, and what to do."""
        self.add()
        self.file.unlink()
        done = self.person.run("fetch")
        self.assertEqual(done.returncode, 69)
        self.assertIn("the keyring is locked (nobody unlocked it); unlock it and try again", done.stderr)
        self.assertIn("--password-command", done.stderr)

    def test_a_locked_keyring_keeps_nothing_and_the_account_asks_from_then_on(self) -> None:
        """The account is added, with a word on where its password will come from."""
        self.file.unlink()
        self.assertIn("could not be stored: the keyring is locked", self.add().stderr)
        (account,) = self.person.json("account", "list")
        self.assertEqual(account["account"], self.user.address)
        self.assertIn("it is asked for each time; there is no terminal", self.person.run("fetch").stderr)

    def test_a_keyring_that_keeps_nothing_is_found_out(self) -> None:
        """`keyring --disable` leaves the null backend, which takes every password and has none."""
        self.use("keyring.backends.null.Keyring")
        problem = "accepted it but does not return it; each run will ask for the password"
        self.assertIn(problem, self.add().stderr)

    def test_a_system_without_a_keyring_is_told_what_to_do(self) -> None:
        """No backend, or one that is not there."""
        self.use("keyring.backends.fail.Keyring")
        self.assertIn("this system has no keyring; let a command print the password", self.add().stderr)
        self.person.run("account", "remove", self.user.address, "--yes")
        self.use("nowhere.Keyring")
        self.assertIn("the keyring that is set up cannot be used (No module named 'nowhere')", self.add().stderr)

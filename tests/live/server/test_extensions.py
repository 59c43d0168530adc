"""Packages of other people, one for each extension point, installed by pip: one real daemon has all of them."""

from __future__ import annotations

import os
import poplib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from emailsys.platforms.users import is_root
from tests.live.outbound.test_relay import HASTE, submit
from tests.live.programs.daemon import DOMAIN, PATIENCE, Daemon, User
from tests.live.programs.lab import wait_for
from tests.live.server.test_checks import CHECKOUT, PAGE, install, send
from tests.live.server.test_logins import members

FROM: Final = f"bob@{DOMAIN}".encode()
DOORS: Final = ("checks", "deliveries", "logins", "mailboxes", "embedding")
PACKAGES: Final = tuple(CHECKOUT / "tests" / "extension" / door for door in DOORS)


class PackageTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="emailsys-doors-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        # A command that root's daemon runs has another user.
        self.folder.chmod(0o755)
        self.mail = self.folder / "mail"
        self.mail.mkdir()
        self.mail.chmod(0o777)

    def test_five_packages_extend_one_daemon(self) -> None:
        self.examples_of_the_page()
        environment = install(self.folder, *PACKAGES)
        self.own_tests(environment)
        daemon = self.start(environment)
        bob = User("bob", "bob's secret")
        # Only the web application knows bob. His first login makes the account.
        session = self.session(daemon, bob)
        self.assertEqual(session.stat(), (0, 0))
        session.quit()
        self.assertEqual(send(daemon, bob, "you win the lottery")[0], 550)
        for subject in (b"kept", b"deleted"):
            submit(daemon, bob, ["bob@folders.example"], b"From: %b\r\nSubject: %b\r\n\r\n.dot\r\n" % (FROM, subject))
        wait_for(lambda: len(self.files()) == 2)
        self.read_and_delete(daemon, bob)
        self.fail_once(daemon, bob)

    def examples_of_the_page(self) -> None:
        page = PAGE.read_text("utf-8")
        for package in PACKAGES:
            for path in package.glob("example_*.py"):
                example = path.read_text("utf-8")
                self.assertLessEqual(example.count("\n"), 40)
                if path.name != "example_faults.py":
                    self.assertIn(f"```python\n{example}```\n", page)

    def own_tests(self, environment: dict[str, str]) -> None:
        """Run the tests that the packages bring, with `emailsys.testing`."""
        command = [sys.executable, "-m", "twisted.trial", "test_example_mailboxes", "test_example_shop"]
        environment = {**os.environ, **environment}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=3 * PATIENCE
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def start(self, environment: dict[str, str]) -> Daemon:
        packages = self.folder / "packages"
        database = members(self.folder / "members.sqlite", User("bob", "bob's secret"))
        command = f"/usr/bin/env PYTHONPATH={packages} python3 {packages / 'bin' / 'deliver-to-folder'}"
        user = 'user = "nobody"' if is_root() else ""
        route = (
            f'[[routing.routes]]\nhost = "pipe:{command} {self.mail} ${{mailbox}}@{DOMAIN}"\n'
            f'recipient_domain = "folders.example"\n{user}\n'
        )
        config = (
            f'[checks]\nreceive = ["plugin:words:lottery"]\n'
            f'[login]\nauth = ["local", "plugin:members:{database}"]\ncreate_accounts = true\nauth_deadline = "60s"\n'
            f'[pop3]\nmaildrops = "plugin:folders:{self.mail}"\nmaildrop_deadline = "60s"\n'
            f"{'workers = 1' if sys.platform == 'linux' else ''}\n"
        )
        daemon = Daemon(f"{HASTE}{config}{route}", environment=environment)
        self.addCleanup(daemon.close)
        daemon.user("alice")
        return daemon

    def files(self) -> list[Path]:
        """The messages in the Maildir of bob."""
        return sorted((self.mail / f"bob@{DOMAIN}" / "new").glob("*"))

    def session(self, daemon: Daemon, user: User) -> poplib.POP3:
        """Log in by POP3, which a worker serves."""
        session = poplib.POP3("127.0.0.1", daemon.ports["pop3"], timeout=PATIENCE)
        self.addCleanup(session.close)
        session.user(user.address)
        session.pass_(user.password)
        return session

    def read_and_delete(self, daemon: Daemon, bob: User) -> None:
        """Read both messages, and delete one. The command of the other delivery may have been quicker."""
        session = self.session(daemon, bob)
        with self.assertRaisesRegex(poplib.error_proto, "IN-USE"):
            self.session(daemon, bob)
        found = {number: b"\n".join(session.retr(number)[1]) for number in (1, 2)}
        for text in found.values():
            self.assertTrue(text.startswith(b"Return-Path: <bob@"), text)
            self.assertTrue(text.endswith(b"\n\n.dot"), text)
        [deleted] = [number for number, text in found.items() if b"Subject: deleted" in text]
        session.dele(deleted)
        session.quit()
        [left] = self.files()
        self.assertIn(b"Subject: kept", left.read_bytes())

    def fail_once(self, daemon: Daemon, bob: User) -> None:
        """Remove a file under a session: the plugin raises, and the session goes on."""
        session = self.session(daemon, bob)
        [left] = self.files()
        text = left.read_bytes()
        left.unlink()
        with self.assertRaisesRegex(poplib.error_proto, r"\[SYS/TEMP\]"):
            session.retr(1)
        left.write_bytes(text)
        self.assertIn(b"Subject: kept", session.retr(1)[1])
        session.quit()
        wait_for(lambda: "FileNotFoundError" in daemon.log)
        self.assertEqual(daemon.log.count("-exception"), 1, daemon.log)

"""A real daemon whose store is missing at its start, or vanishes or is replaced while it runs: mail waits."""

from __future__ import annotations

import contextlib
import poplib
import shutil
import smtplib
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.live.programs import messages
from tests.live.programs.daemon import BIN, PATIENCE, Daemon
from tests.live.programs.installed import run
from tests.live.server.test_python_clients import reader, submitter


class MissingStoreTests(SynchronousTestCase):
    """Each test has a daemon of its own, with one account."""

    def setUp(self) -> None:
        self.daemon = Daemon()
        self.addCleanup(self.daemon.close)
        self.bob = self.daemon.user()
        self.deliver("first")

    def deliver(self, subject: str) -> None:
        """A message from outside, which must be taken."""
        with smtplib.SMTP("127.0.0.1", self.daemon.ports["smtp"]) as client:
            refused = client.sendmail(
                "a@example.org", [self.bob.address], messages.plain("a@example.org", self.bob.address, subject)
            )
        self.assertEqual(refused, {})

    def codes(self) -> list[int]:
        """The answers to recipients whom a store knows, does not know, and would not relay for."""
        with smtplib.SMTP("127.0.0.1", self.daemon.ports["smtp"]) as client:
            client.ehlo()
            client.mail("a@example.org")
            recipients = (self.bob.address, "nobody@example.test", "postmaster", "x@elsewhere.test")
            return [client.rcpt(recipient)[0] for recipient in recipients]

    def assert_all_wait(self) -> None:
        self.assertEqual(set(self.codes()), {451})
        with contextlib.suppress(smtplib.SMTPServerDisconnected):
            error = self.assertRaises(smtplib.SMTPAuthenticationError, submitter, self.daemon, self.bob)
            self.assertEqual(error.smtp_code, 454)
        error = self.assertRaises(poplib.error_proto, reader, self.daemon, self.bob)
        self.assertIn(b"[SYS/TEMP]", error.args[0])

    def command(self, *words: str, status: int | None = 0) -> str:
        """What a command prints."""
        ended = run(
            [str(BIN / "emailsys"), *words, "--state", str(self.daemon.state)], home=self.daemon.folder, status=status
        )
        return str(ended.stdout.decode())

    def fetched(self) -> int:
        session = reader(self.daemon, self.bob)
        count = int(session.stat()[0])
        session.quit()
        return count

    def test_a_store_removed_before_the_start_is_waited_for(self) -> None:
        """The volume came late: the daemon makes nothing in its place, and serves it when it is there."""
        self.daemon.stop()
        kept = self.daemon.folder / "kept"
        kept.mkdir()
        for path in self.daemon.state.glob("mail.sqlite*"):
            shutil.move(path, kept / path.name)
        self.daemon.start()
        self.assert_all_wait()
        self.assertEqual(list(self.daemon.state.glob("mail.sqlite*")), [])
        self.assertIn("there is no store in", self.command("status", status=69))
        self.assertIn("there is no store in", self.command("config", "check"))
        self.assertIn("critical] intake-suspended", self.daemon.log)
        for path in kept.iterdir():
            shutil.move(path, self.daemon.state / path.name)
        self.assertIn("queue", self.command("status"))
        self.assertEqual(self.codes(), [250, 550, 250, 550])
        self.deliver("second")
        self.assertEqual(self.fetched(), 2)

    def test_an_empty_state_folder_becomes_a_system_on_an_operators_word_only(self) -> None:
        """`init` makes the store, the daemon serves it at once, and all wait until there is a domain."""
        self.daemon.stop()
        shutil.rmtree(self.daemon.state)
        self.daemon.start()
        self.assert_all_wait()
        self.assertIn("created an empty store", self.command("init"))
        self.assertIn("there is a store already", self.command("init"))
        self.assert_all_wait()
        self.assertIn("no domain has been added", self.command("status", status=69))
        self.command("domain", "add", "example.test", "--postmaster", self.bob.address)
        self.assertEqual(self.codes(), [550, 550, 550, 550])

    def test_a_store_removed_or_replaced_while_it_is_served_answers_nothing_more(self) -> None:
        """Neither is mail accepted that a restart would not find, nor is anybody refused for good."""
        path, kept = self.daemon.state / "mail.sqlite", self.daemon.folder / "kept.sqlite"
        shutil.move(path, kept)
        self.wait_for_451()
        self.assert_all_wait()
        self.assertIn("mail.sqlite is open here", self.command("status", status=69))
        other = self.daemon.folder / "other"
        run([str(BIN / "emailsys"), "init", "--state", str(other)], home=self.daemon.folder)
        shutil.copy(other / "mail.sqlite", path)
        self.assert_all_wait()
        shutil.move(kept, path)
        self.deliver("second")
        self.assertEqual(self.fetched(), 2)
        self.assertEqual(self.codes(), [250, 550, 250, 550])

    def wait_for_451(self) -> None:
        """Answers may be a second old."""
        deadline = time.monotonic() + PATIENCE
        while set(self.codes()) != {451}:
            self.assertLess(time.monotonic(), deadline)

"""Mail without fcntl, pwd, grp and resource, without fork and Unix sockets, and with the locks of Windows."""

from __future__ import annotations

import os
import poplib
import smtplib
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.exit_status import Exit
from tests.live.programs.daemon import DOMAIN, PATIENCE, Daemon, User
from tests.live.programs.person import CHECKOUT, Person

WITHOUT: Final = (sys.executable, "-m", "tests.fakes.without_unix")
USER: Final = User("alice", "a password of five words")


def run(*words: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*WITHOUT, *words],
        input=typed,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )


class WithoutUnixTests(SynchronousTestCase):
    """What was written for Linux, where the modules and calls of Unix are missing."""

    def test_every_module_but_the_reactor_for_epoll_can_be_imported(self) -> None:
        """The daemon takes that reactor only where there is epoll."""
        done = run("all")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(
            [line.partition(":")[0] for line in done.stdout.splitlines()], ["emailsys.net.serving.reactor"]
        )

    def test_the_protocols_hold(self) -> None:
        """The tests of `wire`, in a process without Unix."""
        folder = Path(self.mktemp()).absolute()
        done = run("trial", "--temp-directory", str(folder), "tests.unit.wire")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("PASSED", done.stdout)

    def test_a_daemon_takes_mail_in_and_gives_it_out_and_the_client_sends_and_fetches(self) -> None:
        """Its operator makes the accounts before it starts, for commands do not reach it afterwards."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        daemon = Daemon(folder=folder)
        daemon.write_config()
        places = ("--config", str(daemon.config_path), "--state", str(daemon.state))
        for words in (("domain", "add", DOMAIN, "--postmaster", USER.address), ("user", "add", USER.address)):
            more = ("--password-stdin",) if words[0] == "user" else ()
            done = run("cli", *words, *more, *places, typed=f"{USER.password}\n")
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.addCleanup(daemon.close)
        daemon.start([*WITHOUT, "cli", "serve"])
        self.assertIn("this system has no Unix sockets", daemon.log)
        self.assertNotIn("Traceback", daemon.log)

        with smtplib.SMTP("localhost", daemon.ports["smtp"]) as smtp:
            smtp.sendmail("bob@elsewhere.example", [USER.address], b"Subject: In\r\n\r\nFrom outside.\r\n")
        trust = ssl.create_default_context(cafile=str(daemon.ca))
        pop = poplib.POP3_SSL("localhost", daemon.ports["pop3s"], context=trust)
        pop.user(USER.address)
        pop.pass_(USER.password)
        self.assertIn(b"From outside.", pop.retr(1)[1])
        pop.quit()

        self.check_refusals(daemon, places)
        self.make_round_trip(daemon)
        self.assertEqual(daemon.stop(), 0, daemon.log)
        self.assertNotIn("Traceback", daemon.log)

    def check_refusals(self, daemon: Daemon, places: tuple[str, ...]) -> None:
        """What cannot be had is told in a sentence."""
        second = run("cli", "serve", *places)
        self.assertEqual(second.returncode, int(Exit.UNAVAILABLE), second.stderr)
        self.assertIn(f"already runs there, as process {daemon.pid}", second.stderr)
        listed = run("cli", "user", "list", *places)
        self.assertEqual(listed.returncode, int(Exit.UNAVAILABLE), listed.stderr)
        self.assertIn("this system has no Unix sockets", listed.stderr)
        self.assertIn(f"stop process {daemon.pid} first", listed.stderr)
        config = daemon.folder / "user.toml"
        config.write_text('hostname = "localhost"\nuser = "mail"\n')
        started = run("cli", "serve", "--config", str(config), "--state", str(daemon.folder / "other"))
        self.assertEqual(started.returncode, int(Exit.CONFIG), started.stderr)
        self.assertIn("this system cannot run the daemon as another user", started.stderr)
        for told in (second, listed, started):
            self.assertNotIn("Traceback", told.stderr)

    def make_round_trip(self, daemon: Daemon) -> None:
        """The client's verbs: an account, a message out, the same in again."""
        person = Person(daemon.folder / "home", [*WITHOUT, "cli"])
        added = person.run(
            "account", "add", USER.address, "--name", "alice", "--pop3", f"localhost:{daemon.ports['pop3s']}",
            "--smtp", f"localhost:{daemon.ports['submissions']}", "--pop3-security", "tls", "--smtp-security", "tls",
            "--ca-file", str(daemon.ca), "--password-command", f"echo {USER.password}",
        )  # fmt: skip
        self.assertEqual(added.returncode, 0, added.stderr)
        sent = person.json("send", USER.address, "-s", "Round", typed=b"From pipe to disk.\n")
        self.assertEqual(sent["accepted"], [USER.address])
        (fetched,) = person.json("fetch")
        self.assertEqual(len(fetched["keys"]), 2, fetched)
        bodies = [person.json("show", key)["body"] for key in fetched["keys"]]
        self.assertIn("From pipe to disk.", "".join(bodies))
        self.assertEqual(person.json("fetch")[0]["keys"], [])
        self.assertEqual([one["subject"] for one in person.json("list", "Sent")], ["Round"])
        self.assertEqual(len(person.json("search", "pipe")), 2)
        for words in (("delete", fetched["keys"][0]), ("reindex",), ("outbox",)):
            done = person.run(*words)
            self.assertEqual(done.returncode, 0, done.stderr)

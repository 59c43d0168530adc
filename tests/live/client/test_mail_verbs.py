"""`emailsys mail` against a real daemon: verbs in processes of their own, and the full screen down to the wire."""

from __future__ import annotations

import base64
import json
import os
import pty
import select
import signal
import smtplib
import subprocess
import sys
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.live.programs.daemon import PATIENCE, Daemon, User, shared
from tests.live.programs.messages import plain
from tests.live.programs.person import CHECKOUT, PROGRAM, Person


class Case(SynchronousTestCase):
    """A person with an account on a real daemon, added by the command line."""

    def setUp(self) -> None:
        self.daemon: Daemon = shared(type(self))
        self.person = Person(Path(self.mktemp()).absolute())
        self.folder, self.environment = self.person.home, self.person.environment
        self.run_it, self.json = self.person.run, self.person.json
        self.user: User = self.daemon.user()
        self.add(self.user)

    def add(self, user: User, *words: str) -> None:
        ports = self.daemon.ports
        done = self.run_it(
            "account", "add", user.address, "--name", user.name, "--pop3", f"localhost:{ports['pop3s']}", "--smtp",
            f"localhost:{ports['submissions']}", "--pop3-security", "tls", "--smtp-security", "tls",
            "--ca-file", str(self.daemon.ca), "--password-command", f"echo {user.password}", *words,
        )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stderr)


class VerbTests(Case):
    """What a script does."""

    def test_a_message_goes_round_and_is_fetched_once(self) -> None:
        """send, waiting, fetch, show, and a second fetch that brings nothing."""
        sent = self.json("send", self.user.address, "-s", "Round", typed=b"From pipe to disk.\n")
        self.assertEqual(sent["accepted"], [self.user.address])
        self.assertEqual([one["subject"] for one in self.json("waiting")], ["Round"])
        (fetched,) = self.json("fetch")
        self.assertEqual(len(fetched["keys"]), 1)
        self.assertIn("From pipe to disk.", self.json("show", fetched["keys"][0])["body"])
        self.assertEqual(self.json("fetch")[0]["keys"], [])
        self.assertEqual([one["subject"] for one in self.json("list", "Sent")], ["Round"])

    def test_many_messages_are_kept_by_two_processes_and_each_is_there_once(self) -> None:
        """Octet by octet what was sent, found by its words, and not fetched again."""
        sent = {plain("carol@elsewhere.test", self.user.address, f"many{n}") for n in range(150)}
        with smtplib.SMTP("localhost", self.daemon.ports["smtp"], timeout=PATIENCE) as smtp:
            for octets in sent:
                smtp.sendmail("carol@elsewhere.test", [self.user.address], octets)
        (fetched,) = self.json("fetch")
        self.assertEqual((len(fetched["keys"]), fetched["problem"]), (len(sent), None))
        kept = [path.read_bytes() for path in (self.folder / "data").rglob("*.eml")]
        self.assertEqual(sorted(octets[octets.index(b"From: ") :] for octets in kept), sorted(sent))
        self.assertEqual([one["subject"] for one in self.json("search", "subject:many149")], ["many149"])
        self.assertEqual(self.json("fetch")[0]["keys"], [])

    def test_a_refused_message_stays_in_the_outbox(self) -> None:
        """Status 69 with the server's words; stop makes a draft of it."""
        done = self.run_it("send", "nobody@example.test", "-s", "x", "-m", "x")
        self.assertEqual(done.returncode, 69)
        self.assertIn("5.1.1", done.stderr)
        (waiting,) = self.json("outbox", "list")
        self.assertEqual(waiting["state"], "refused")
        self.json("outbox", "stop", waiting["key"])
        self.assertEqual(len(self.json("draft", "list")), 1)

    def test_ctrl_c_stops_what_is_held(self) -> None:
        """Status 130; it is a draft, and the server never saw it."""
        process = subprocess.Popen(
            [*PROGRAM, "mail", "send", self.user.address, "-s", "Held", "-m", "x", "--hold", "600"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self.environment,
            cwd=self.folder,
        )
        assert process.stderr is not None
        told = process.stderr.readline()
        self.assertIn(b"press Ctrl-C", told)
        # The reactor takes signals once it runs: asked again until it does.
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                continue
        process.stderr.close()
        self.assertEqual(process.returncode, 130)
        self.assertEqual([one["subject"] for one in self.json("list", "Drafts")], ["Held"])
        self.assertEqual(self.json("fetch")[0]["keys"], [])

    def test_the_wire_is_shown_and_written_and_has_no_secret(self) -> None:
        """`send --wire` explains each line, `fetch --wire-to` writes a page or JSON; the password is in none."""
        sent = self.run_it("send", self.user.address, "-s", "Seen", "-m", "whole text", "--wire")
        self.assertEqual(sent.returncode, 0, sent.stderr)
        for words in ("> ClientHello (", "> AUTH PLAIN [masked]", "> RCPT TO:<", "(RFC 5321 §4.1.1.3)", "Sent to"):
            self.assertIn(words, sent.stderr)
        page = self.folder / "wire.html"
        self.json("fetch", "--wire-to", str(page))
        (told,) = (
            self.json("account", "test", "--wire-to", "wire.json")
            and json.loads((self.folder / "wire.json").read_text("utf-8"))[:1]
        )
        self.assertEqual((told["protocol"], told["role"], told["closed"]), ("pop3", "client", True))
        self.assertIn("secured", [event["kind"] for event in told["events"]])
        written = page.read_text("utf-8")
        self.assertIn("RETR 1", written)
        refused = self.run_it("fetch", "--wire-to", str(self.folder / "no" / "such.html"))
        self.assertEqual(refused.returncode, 74, refused.stderr)
        proof = base64.b64encode(f"\0{self.user.address}\0{self.user.password}".encode()).decode()
        for text in (sent.stderr, written, json.dumps(told)):
            for secret in (self.user.password, proof, "whole text"):
                self.assertNotIn(secret, text)

    def test_an_account_that_does_not_work_is_not_added(self) -> None:
        """A wrong password is told with the step it failed at; status 69."""
        other = self.daemon.user()
        with self.assertRaisesRegex(AssertionError, "not added"):
            self.add(User(other.name, "wrong"))
        self.assertEqual([one["account"] for one in self.json("account", "list")], [self.user.name])
        self.assertEqual(self.run_it("account", "test").returncode, 0)


class InteractiveTests(Case):
    """What a person does."""

    def test_the_full_screen_writes_sends_fetches_and_reads(self) -> None:
        """By its keys, with Twisted on asyncio's loop: the message goes over the wire and is on disk."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.live.programs.screen_pilot", self.user.address],
            capture_output=True,
            env=self.environment,
            cwd=CHECKOUT,
            timeout=2 * PATIENCE,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        document = json.loads(done.stdout)
        self.assertIn("From key to wire.", document["text"])
        self.assertIn("seen", self.json("show", document["key"])["flags"])

    def test_the_shell_fetches_more_than_once_in_one_session(self) -> None:
        """At a terminal: send, fetch, list, 1, fetch, quit; the reactor runs for each."""
        if sys.platform == "win32":
            raise RuntimeError("needs Unix")
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.execve(sys.executable, [*PROGRAM, "mail", "shell"], {**self.environment, "TERM": "dumb"})
        seen = b""

        def expect(words: bytes) -> None:
            nonlocal seen
            deadline = time.monotonic() + PATIENCE
            while words not in seen:
                ready, _, _ = select.select([terminal], [], [], max(deadline - time.monotonic(), 0))
                if not ready:
                    self.fail(f"{words!r} does not come: {seen!r}")
                try:
                    octets = os.read(terminal, 65536)
                except OSError:
                    octets = b""
                if not octets:
                    self.fail(f"it ended before {words!r}: {seen!r}")
                seen += octets
            seen = seen[seen.index(words) + len(words) :]

        try:
            expect(b"mail> ")
            for line, answer in (
                (f"send {self.user.address} -s Shell -m 'line by line'", b"no longer be stopped"),
                ("fetch", b"1 new message"),
                ("list", b"Shell"),
                ("1", b"line by line"),
                ("f", b"no new mail"),
            ):
                os.write(terminal, line.encode() + b"\r")
                expect(answer)
                expect(b"mail> ")
            os.write(terminal, b"quit\r")
            _, status = os.waitpid(pid, 0)
        finally:
            os.close(terminal)
        self.assertEqual(status, 0)

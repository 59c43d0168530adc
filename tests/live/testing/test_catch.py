"""`emailsys catch` as a process: from the first line to Ctrl-C."""

from __future__ import annotations

import json
import mailbox
import os
import poplib
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress as ignoring
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.exit_status import Exit

LETTER = b"From: shop@example.com\r\nSubject: Welcome\r\n\r\nhttps://example.com/ok\r\nFrom here\r\n"


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    ends_at = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < ends_at, "it did not happen"
        time.sleep(0.01)


class CatchTests(SynchronousTestCase):
    """Free ports, and JSON lines to read them from."""

    def catch(self, *options: str, as_json: bool = True) -> subprocess.Popen[str]:
        """Start the command."""
        command = [sys.executable, "-m", "emailsys", "catch", "--smtp", "0", "--pop3", "0", "--http", "0", *options]
        process = subprocess.Popen(
            [*command, "--json"] if as_json else command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

        def end() -> None:
            # Killed, it could not remove its folder.
            process.terminate()
            for stream in (process.stdout, process.stderr):
                assert stream is not None
                stream.close()
            process.wait(60)

        self.addCleanup(end)
        return process

    def line(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """The next JSON line."""
        assert process.stdout is not None
        text = process.stdout.readline()
        assert text, process.communicate()[1]
        found: dict[str, Any] = json.loads(text)
        return found

    def test_tls_and_failures_of_pop3(self) -> None:
        """The settings name the authority. It is the same at the next start with the same folder."""
        state = str(Path(self.mktemp()).absolute())
        before = b""
        started: dict[str, Any] = {}
        for _ in range(2):
            process = self.catch(
                "--state", state, "--tls", "--name", "mail.dev.example", "--fail", "-ERR at the first PASS"
            )
            started = self.line(process)
            authority = Path(started["ca"]).read_bytes()
            self.assertIn(before, (b"", authority))
            before = authority
            trust = ssl.create_default_context(cadata=authority.decode("ascii"))
            with smtplib.SMTP("localhost", started["smtp"], timeout=60) as client:
                client.starttls(context=trust)
                client.sendmail("shop@example.com", ["bob@example.com"], LETTER)
            reader = poplib.POP3(started["host"], started["pop3"], timeout=60)
            reader.host = "mail.dev.example"
            reader.stls(trust)
            reader.user("bob@example.com")
            with self.assertRaisesRegex(poplib.error_proto, "scripted failure"):
                reader.pass_("any")
            reader.user("bob@example.com")
            reader.pass_("any")
            self.assertGreater(reader.stat()[0], 0)
            reader.quit()
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(60), Exit.OK)
        Path(started["ca"]).write_text("damaged")
        process = self.catch("--state", state, "--tls")
        self.assertEqual(process.wait(60), Exit.CONFIG)
        assert process.stderr is not None
        self.assertRegex(process.stderr.read(), r"^emailsys: .*ca\.pem: .*Remove it")

    def test_it_ends_if_nobody_reads_the_settings(self) -> None:
        """The reader has gone before the first line."""
        command = [sys.executable, "-m", "emailsys", "catch", "--smtp", "0", "--pop3", "0", "--http", "0"]
        inlet, outlet = os.pipe()
        os.close(inlet)
        with subprocess.Popen(command, stdout=outlet, stderr=subprocess.DEVNULL) as process:
            os.close(outlet)
            self.addCleanup(process.kill)
            process.wait(60)

    def test_the_newest_messages_are_kept_and_names_are_allowed(self) -> None:
        """The store gets smaller, too: POP3 and the browser no longer have the old ones."""
        started = self.line(self.catch("--keep", "3", "--name", "Mail.dev.example"))
        for number in range(8):
            self.send(started, letter=b"Subject: %d\r\n\r\n" % number)

        def count() -> int:
            client = poplib.POP3(started["host"], started["pop3"], timeout=30)
            client.user("all")
            client.pass_("any")
            found = client.stat()[0]
            client.quit()
            return found

        wait_until(lambda: count() == 3)
        with urlopen(started["api"], timeout=30) as answer:
            kept = [message["subject"] for message in json.load(answer)["messages"]]
        self.assertEqual(kept, ["5", "6", "7"])
        for name, code in (("mail.dev.example", 200), ("other.example", 421)):
            try:
                with urlopen(Request(started["api"], headers={"Host": name}), timeout=30) as answer:
                    self.assertEqual(answer.status, code)
            except HTTPError as error:
                with error:
                    self.assertEqual(error.code, code)
                    self.assertIn(b"--name", error.read())

    def send(self, started: dict[str, Any], to: str = "bob@example.com", letter: bytes = LETTER) -> None:
        """Send a message."""
        with smtplib.SMTP(started["host"], started["smtp"], timeout=30) as client:
            client.sendmail("bounces@example.com", [to], letter)

    def ended(self, process: subprocess.Popen[str], status: int) -> str:
        """The process ends by itself; what it printed to stderr."""
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, status, errors)
        return errors

    def test_from_start_to_ctrl_c(self) -> None:
        """A message is told on one line, read by POP3 and HTTP, and forgotten; the end is clean."""
        process = self.catch()
        started = self.line(process)
        self.assertEqual(started["frameworks"]["Symfony"], f"MAILER_DSN=smtp://127.0.0.1:{started['smtp']}")
        self.send(started, "someone@gmail.com")
        told = self.line(process)
        self.assertEqual(
            (told["from"], told["envelope_to"], told["subject"], told["links"]),
            ("shop@example.com", ["someone@gmail.com"], "Welcome", ["https://example.com/ok"]),
        )
        reader = poplib.POP3(started["host"], started["pop3"], timeout=30)
        reader.user("all")
        reader.pass_("any")
        self.assertEqual(reader.stat()[0], 1)
        reader.quit()
        with urlopen(started["api"], timeout=30) as answer:
            self.assertEqual(json.load(answer)["messages"][0]["id"], told["id"])
        process.send_signal(signal.SIGINT)
        self.assertEqual(self.ended(process, Exit.OK), "")

    def test_the_text_for_people(self) -> None:
        """A stranger's subject cannot act on the terminal."""
        process = self.catch("--wait", "1", as_json=False)
        assert process.stdout is not None
        lines: list[str] = []
        while not (lines and lines[-1].startswith("Ctrl-C")):
            lines.append(process.stdout.readline())
        (port,) = {int(line.rpartition("=")[2]) for line in lines if "EMAIL_PORT" in line}
        self.send({"host": "127.0.0.1", "smtp": port}, letter=b"Subject: \x1b]0;x\x07\r\n\r\n")
        text = process.stdout.read()
        self.assertNotIn("\x1b", text)
        self.assertIn("bounces@example.com -> bob@example.com  \u241b]0;x\u2407", text)
        self.ended(process, Exit.OK)

    def test_waiting_for_a_message(self) -> None:
        """Only what fits counts, and its client gets the reply."""
        process = self.catch("--wait", "1", "--to", "bob", "--subject", "Welcome", "--timeout", "60")
        started = self.line(process)
        self.send(started, "carol@example.com")
        self.assertIsNone(process.poll())
        self.send(started)
        self.ended(process, Exit.OK)

    def test_waiting_in_vain(self) -> None:
        """The status and a sentence tell it."""
        said = ""
        # The command may end before a busy machine has sent both messages: it then gets more time.
        for seconds in ("1.5", "10", "60"):
            process = self.catch("--wait", "2", "--to", "bob@example.com", "--timeout", seconds)
            started = self.line(process)
            is_sent = False
            with ignoring(OSError, smtplib.SMTPException):
                self.send(started)
                self.send(started, "carol@example.com")
                is_sent = True
            said = self.ended(process, Exit.FAILED)
            if is_sent:
                break
        self.assertEqual(said, "emailsys: 1 of 2 messages arrived that fit, and 1 other\n")

    def test_failures_from_the_command_line_and_a_file(self) -> None:
        """The file is read again when it changes; what is wrong in it is told and changes nothing."""
        path = Path(self.mktemp())
        path.write_text("# comment\n\n550 at RCPT for carol@\n", "utf-8")
        process = self.catch("--fail", "451 at the first RCPT for bob@", "--failures", str(path))
        started = self.line(process)
        for name in ("bob@example.com", "carol@example.com", "carol@example.com"):
            error = self.assertRaises(smtplib.SMTPRecipientsRefused, self.send, started, name)
            self.assertEqual(error.recipients[name][0], 451 if name.startswith("bob") else 550)
        self.send(started)

        def is_refused() -> bool:
            try:
                self.send(started, "dave@example.com")
            except smtplib.SMTPRecipientsRefused:
                return True
            return False

        path.write_text("550 sometimes\n", "utf-8")
        assert process.stderr is not None
        self.assertIn("line 1: a failure that is not understood", process.stderr.readline())
        path.write_text("552 at RCPT for dave@\n", "utf-8")
        wait_until(is_refused)
        self.send(started, "carol@example.com")

    def test_files_that_are_kept(self) -> None:
        """An mbox that Python reads, and a store in a folder of its own."""
        folder = Path(self.mktemp()).resolve()
        mbox = f"{folder}.mbox"
        for count in (1, 2):
            process = self.catch("--file", mbox, "--state", str(folder))
            started = self.line(process)
            self.send(started)
            self.line(process)
            reader = poplib.POP3(started["host"], started["pop3"], timeout=30)
            reader.user("bob@example.com")
            reader.pass_("any")
            self.assertEqual(reader.stat()[0], count)
            reader.quit()
            other = self.catch("--state", str(folder))
            self.assertIn("already runs there", self.ended(other, Exit.UNAVAILABLE))
            process.terminate()
            self.ended(process, Exit.OK)
        kept = mailbox.mbox(mbox)
        self.addCleanup(kept.close)
        self.assertEqual([one["Subject"] for one in kept], ["Welcome", "Welcome"])
        self.assertIn(b"\n>From here\n", Path(mbox).read_bytes())
        self.assertEqual(sorted(path.name for path in folder.iterdir()), ["catch"])

    def test_a_reader_that_has_gone(self) -> None:
        """As with `| head`: the message is accepted, and the command ends."""
        process = self.catch()
        started = self.line(process)
        assert process.stdout is not None
        process.stdout.close()
        self.send(started)
        self.assertEqual(process.wait(60), Exit.OK)

    def test_wrong_command_lines(self) -> None:
        """One line each, with what to do."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            for options, status, words in (
                (("--smtp", port), Exit.UNAVAILABLE, "name another port"),
                (("--fail", "451 sometimes"), Exit.USAGE, "Examples:"),
                (("--failures", "missing.txt"), Exit.IO, "missing.txt"),
                (("--file", "no/such/folder"), Exit.IO, "no/such/folder"),
                (("--to", "bob"), Exit.USAGE, "Add --wait"),
                (("--host", "192.0.2.1"), Exit.UNAVAILABLE, "192.0.2.1"),
            ):
                self.assertIn(words, self.ended(self.catch(*options), status), options)

"""The command `bench` against a real daemon, and what makes it fail."""

from __future__ import annotations

import json
import poplib
import smtplib
from collections import Counter
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from emailsys.cli.bench import load
from emailsys.cli.bench.load import Messages, Outcome, Target, digest_of, fetch, ident_of, words_of
from tests.live.programs.daemon import DOMAIN, Daemon, User, shared
from tests.live.programs.installed import run
from tests.live.programs.messages import plain
from tests.live.programs.person import PROGRAM
from tests.live.programs.wire import smtp
from tests.live.server.test_python_clients import reader


class BenchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.daemon = shared(BenchTests, Daemon)
        self.user: User = self.daemon.user()

    def bench(self, *words: str, status: int = 0, password: str | None = None, pop3: str = "pop3") -> Any:
        """Run the command; returns its process."""
        ports = self.daemon.ports
        service = "submission" if "--submit" in words else "smtp"
        places = ["--smtp", f"localhost:{ports[service]}", "--pop3", f"localhost:{ports[pop3]}"]
        secret = (self.user.password if password is None else password).encode()
        command = [*PROGRAM, "bench", self.user.address, *places, "--password-stdin", *words]
        return run(command, stdin=secret + b"\n", status=status)

    def test_each_message_arrives_unchanged_and_is_deleted_again(self) -> None:
        """With TLS and with a login, one in a connection and several. What was in the maildrop before stays there."""
        other = plain("a@example.org", self.user.address, "before")
        with smtp(self.daemon) as wire:
            for line in (b"MAIL FROM:<a@example.org>", f"RCPT TO:<{self.user.address}>".encode(), b"DATA"):
                wire.code(line)
            wire.say(other.replace(b"\r\n.", b"\r\n..") + b".\r\n")
            self.assertTrue(wire.reply().startswith(b"250"))
        ca = ("--ca", str(self.daemon.ca))
        for words in (
            (*ca, "--messages", "20", "--connections", "4"),
            (*ca, "--submit", "--messages", "9", "--each", "3"),
        ):
            found = json.loads(self.bench(*words, "--json").stdout)
            self.assertEqual(found["accepted"], found["sent"])
            self.assertEqual((found["lost"], found["changed"], found["doubled"], found["errors"]), (0, 0, 0, {}))
            self.assertGreater(found["latency_ms"]["p99"], 0)
        printed = self.bench("--tls", "none", "--messages", "5").stdout.decode()
        self.assertIn("accepted   5 of 5 messages", printed)
        self.assertIn("compared   0 lost, 0 changed, 0 doubled", printed)
        session = reader(self.daemon, self.user)
        self.assertEqual(session.stat()[0], 1)
        session.quit()

    def test_refusals_say_what_is_wrong(self) -> None:
        """A wrong password, a port without a server, an unknown certificate, a host elsewhere without TLS."""
        plain_text = ("--tls", "none", "--messages", "1")
        self.assertIn(b": -ERR [AUTH]", self.bench(*plain_text, status=69, password="wrong").stdout)
        self.assertIn(b"Connection refused", self.bench(*plain_text, "--smtp", "localhost:1", status=69).stdout)
        self.assertIn(b"certificate verify failed", self.bench("--messages", "1", status=69).stdout)
        elsewhere = ("--smtp", "mx.example.net:25", *plain_text)
        self.assertIn(b"others would read the password", self.bench(*elsewhere, status=64).stdout)
        self.assertIn(b"a host and a port", self.bench("--smtp", "localhost", status=64).stdout)

    def test_a_lost_a_changed_and_a_doubled_message_are_noticed(self) -> None:
        """The maildrop has one message twice, one with another letter, and one not at all."""
        sent = Messages(4, 500, "a@bench.invalid", f"a@{DOMAIN}")
        made = {sent.ident(number): sent.text(number) for number in range(sent.count)}
        whole, twice, other, _ = made
        texts = [made[whole], made[twice], made[twice], made[other][:-3] + b"?\r\n", b"Subject: mine\r\n\r\n"]
        # The client has not heard that this one was accepted.
        texts.append(sent.text(4))
        texts = [b"Received: by mx\r\n" + text for text in texts]
        deleted: list[int] = []

        class Maildrop:
            """What poplib returns."""

            def uidl(self) -> tuple[bytes, list[bytes], int]:
                return b"+OK", [b"%d uid%d" % (number, number) for number in range(len(texts) + 1)], 0

            def retr(self, number: int) -> tuple[bytes, list[bytes], int]:
                return b"+OK", texts[number - 1].split(b"\r\n")[:-1], 0

            def dele(self, number: int) -> None:
                deleted.append(number)

            def quit(self) -> None:
                """Nothing is left to do."""

        self.patch(load.Target, "reader", lambda target: Maildrop())
        outcome = Outcome()
        target = Target(("", 0), ("", 0), "", "", None, False)
        fetch(target, {b"uid0"}, sent, {ident: digest_of(text) for ident, text in made.items()}, outcome)
        self.assertEqual((outcome.lost, outcome.changed, outcome.doubled, outcome.fetched), (1, 1, 1, 4))
        self.assertEqual(deleted, [1, 2, 3, 4, 6])
        self.assertFalse(outcome.is_good)
        self.assertEqual(len({digest_of(text) for text in made.values()}), 4)
        self.assertEqual([ident_of(text) for text in made.values()], list(made))
        for error, said in (
            (poplib.error_proto(b"-ERR no\x1b[2J"), "-ERR no\\x1b[2J"),
            (smtplib.SMTPResponseException(421, b"4.3.2 busy"), "421 4.3.2 busy"),
            (smtplib.SMTPRecipientsRefused({"a@example.test": (550, b"5.1.1 nobody")}), "550 5.1.1 nobody"),
            (TimeoutError(), "TimeoutError"),
        ):
            self.assertEqual(words_of(error), said)
        self.assertFalse(Outcome(errors=Counter(["421 busy"])).is_good)
        self.assertTrue(Outcome().is_good)

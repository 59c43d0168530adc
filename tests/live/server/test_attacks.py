"""What stock twisted.mail falls for, tried against a real daemon on real sockets."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.live.programs.daemon import shared
from tests.live.programs.wire import Wire, pop3, smtp
from tests.live.server.test_python_clients import fetched, reader

HEADER = b"Subject: s\r\n\r\n"


class AttackTests(SynchronousTestCase):
    """Each against a daemon that stays up for the next."""

    def setUp(self) -> None:
        self.daemon = shared(type(self))
        self.bob = self.daemon.user()
        self.rcpt = f"RCPT TO:<{self.bob.address}>".encode()

    def tearDown(self) -> None:
        """Whatever was done to it, the daemon still answers, and has met no exception."""
        with smtp(self.daemon) as wire:
            self.assertEqual(wire.code(b"NOOP"), 250)
        self.assertNotIn("Traceback", self.daemon.log)

    def count(self) -> int:
        session = reader(self.daemon, self.bob)
        try:
            return session.stat()[0]
        finally:
            session.quit()

    def begin_data(self, wire: Wire) -> None:
        self.assertEqual(wire.code(b"MAIL FROM:<a@example.org>"), 250)
        self.assertEqual(wire.code(self.rcpt), 250)
        self.assertEqual(wire.code(b"DATA"), 354)

    def test_pipelined_rset_and_quit_wait_for_the_reply_to_data(self) -> None:
        """The replies come in the order of the commands (RFC 2920 §3.1)."""
        with smtp(self.daemon) as wire:
            self.begin_data(wire)
            wire.say(HEADER + b"x\r\n.\r\nRSET\r\nNOOP\r\nQUIT\r\n")
            self.assertEqual([wire.reply()[:9] for _ in range(4)], [b"250 2.0.0"] * 3 + [b"221 2.0.0"])
        self.assertEqual(self.count(), 1)

    def test_a_pipelined_envelope_is_answered_in_order(self) -> None:
        """MAIL, RCPT and DATA in one segment, as many clients send them."""
        with smtp(self.daemon) as wire:
            wire.say(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<nobody@example.test>\r\n" + self.rcpt + b"\r\nDATA\r\n")
            self.assertEqual([wire.reply()[:3] for _ in range(4)], [b"250", b"550", b"250", b"354"])
            self.assertEqual(wire.ask(HEADER + b"x\r\n.")[:3], b"250")

    def test_commands_in_the_segment_of_starttls_are_ignored(self) -> None:
        """STARTTLS injection: commands in the same segment never run inside TLS, and nothing said before holds."""
        with smtp(self.daemon) as wire:
            self.assertEqual(wire.code(b"MAIL FROM:<before@example.org>"), 250)
            wire.say(b"STARTTLS\r\nNOOP\r\nMAIL FROM:<injected@example.org>\r\n")
            first = wire.reply()
            if not first.startswith(b"220"):
                # Refusing the command and its company is as good as dropping what came with it.
                self.assertRegex(first, rb"^[45]\d\d")
                return
            try:
                wire.encrypt(self.daemon.ca)
            except OSError:
                return
            self.assertEqual(wire.code(self.rcpt), 503)
            self.assertEqual(wire.code(b"MAIL FROM:<a@example.org>"), 503)
            self.assertEqual(wire.code(b"EHLO again.example.org"), 250)

    def test_commands_in_the_segment_of_stls_are_ignored(self) -> None:
        """The same on the POP3 side: a USER said before, or along with STLS, is forgotten."""
        with Wire(self.daemon, "pop3") as wire:
            self.assertTrue(wire.line().startswith(b"+OK"))
            wire.say(f"USER {self.bob.address}\r\nSTLS\r\nPASS {self.bob.password}\r\n".encode())
            self.assertTrue(wire.line().startswith(b"+OK"))
            if not wire.line().startswith(b"+OK"):
                return
            try:
                wire.encrypt(self.daemon.ca)
            except OSError:
                return
            wire.say(f"PASS {self.bob.password}\r\n".encode())
            self.assertTrue(wire.line().startswith(b"-ERR"))

    def test_a_long_line_of_data_stays_data(self) -> None:
        """Past 16,384 octets stock takes what follows for commands."""
        with smtp(self.daemon) as wire:
            self.begin_data(wire)
            wire.say(HEADER + b"x" * 20_000 + b"\r\nQUIT\r\nMAIL FROM:<evil@example.org>\r\n.\r\n")
            self.assertIn(wire.reply()[:3], {b"250", b"500", b"552", b"554"})
            self.assertEqual(wire.code(b"NOOP"), 250)

    def smuggle(self, ending: bytes) -> None:
        """A second message hidden behind an end of data that is none."""
        before = self.count()
        with smtp(self.daemon) as wire:
            self.begin_data(wire)
            hidden = b"MAIL FROM:<ceo@example.test>\r\n" + self.rcpt + b"\r\nDATA\r\nSubject: hidden\r\n\r\npay\r\n"
            wire.say(HEADER + b"first" + ending + hidden + b".\r\n")
            self.assertRegex(wire.reply(), rb"^5\d\d ")
            self.assertEqual(wire.code(b"NOOP"), 250)
        self.assertEqual(self.count(), before)

    def test_lf_dot_lf_ends_no_message(self) -> None:
        """SMTP smuggling by bare line feeds."""
        self.smuggle(b"\n.\n")

    def test_lf_dot_crlf_ends_no_message(self) -> None:
        """The form that Postfix took until 2023."""
        self.smuggle(b"\n.\r\n")

    def test_cr_dot_cr_ends_no_message(self) -> None:
        """The form by bare carriage returns."""
        self.smuggle(b"\r.\r")

    def test_crlf_dot_cr_ends_no_message(self) -> None:
        """Half an end of data."""
        self.smuggle(b"\r\n.\r")

    def test_a_bare_line_feed_in_a_command_is_named(self) -> None:
        """The reply tells the person at s_client what to type."""
        with smtp(self.daemon) as wire:
            wire.say(b"NOOP\n")
            wire.say(b"\r\n")
            self.assertIn(b"-crlf", wire.reply())

    def test_sixty_four_megabytes_without_a_line_end(self) -> None:
        """They are passed over, not collected, and answered once."""
        before = self.resident()
        with smtp(self.daemon) as wire:
            for _ in range(64):
                wire.say(b"A" * 1_048_576)
            wire.say(b"\r\n")
            self.assertEqual(wire.reply()[:3], b"500")
            self.assertEqual(wire.code(b"NOOP"), 250)
        self.assertLess(self.resident() - before, 16 * 1024)

    def resident(self) -> int:
        """KiB of memory the daemon holds, 0 where the system does not tell."""
        try:
            with open(f"/proc/{self.daemon.pid}/status") as status:
                return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
        except OSError:
            return 0

    def test_dele_abc_is_answered(self) -> None:
        """Numbers that are none, out of range, signed or in other digits: -ERR each, and the session goes on."""
        for argument in ("abc", "", "0", "-1", "+1", "1_0", "99999999999999999999", "1 2", "\u0661"):
            # A session each, for one that makes ten mistakes is closed.
            with pop3(self.daemon, self.bob) as wire:
                for verb in ("DELE", "RETR", "LIST", "UIDL", "TOP"):
                    if argument == "" and verb in {"LIST", "UIDL"}:
                        continue
                    wire.say(f"{verb} {argument}\r\n".encode())
                    self.assertTrue(wire.line().startswith(b"-ERR"), f"{verb} {argument}")
                wire.say(b"QUIT\r\n")
                self.assertTrue(wire.line().startswith(b"+OK"))

    def test_malformed_auth_keeps_the_connection(self) -> None:
        """No argument, no base64, no such mechanism; `*` cancels (RFC 4954 §4)."""
        with smtp(self.daemon, "submission") as wire:
            wire.say(b"STARTTLS\r\n")
            self.assertTrue(wire.reply().startswith(b"220"))
            wire.encrypt(self.daemon.ca)
            self.assertEqual(wire.code(b"EHLO client.example.org"), 250)
            self.assertEqual(wire.code(b"AUTH"), 501)
            self.assertEqual(wire.code(b"AUTH X-NONE"), 504)
            self.assertEqual(wire.code(b"AUTH PLAIN !!!!"), 501)
            self.assertEqual(wire.code(b"AUTH PLAIN"), 334)
            self.assertEqual(wire.code(b"*"), 501)
            self.assertEqual(wire.code(b"NOOP"), 250)

    def test_a_control_octet_in_an_address_reaches_nothing(self) -> None:
        """NUL and line feeds inside quotes would write header fields."""
        with smtp(self.daemon) as wire:
            self.assertRegex(wire.ask(b'MAIL FROM:<"a\0b"@example.org>'), rb"^5\d\d ")
            # Two lines, for a line feed ends one, if badly; neither does anything.
            self.assertRegex(wire.ask(b'MAIL FROM:<"a\nX: y"@example.org>'), rb"^5\d\d ")
            self.assertRegex(wire.reply(), rb"^5\d\d ")
            self.assertEqual(wire.code(b"NOOP"), 250)

    def test_a_browser_that_posts_is_dropped(self) -> None:
        """A form sent to a mail port runs no command (cross-protocol scripting)."""
        body = b"\r\nMAIL FROM:<a@example.org>\r\n" + self.rcpt + b"\r\nDATA\r\n" + HEADER + b".\r\nQUIT\r\n"
        with Wire(self.daemon, "smtp") as wire:
            wire.say(b"POST / HTTP/1.1\r\nHost: localhost\r\n" + body)
            self.assertNotIn(b"354", wire.until_end())
        self.assertEqual(self.count(), 0)

    def test_no_relay_for_strangers(self) -> None:
        """Nor for those who write the other domain in a clever way."""
        with smtp(self.daemon) as wire:
            self.assertEqual(wire.code(b"MAIL FROM:<a@example.test>"), 550)
            self.assertEqual(wire.code(b"MAIL FROM:<a@elsewhere.example>"), 250)
            for path in (
                b"b@example.org",
                b"@example.test:b@example.org",
                b"b%example.org@example.net",
                b'"b@example.org"@[192.0.2.1]',
            ):
                self.assertRegex(wire.ask(b"RCPT TO:<" + path + b">"), rb"^550 5\.")

    def test_submission_wants_tls_and_a_login(self) -> None:
        """530 before both (RFC 6409 §4.3)."""
        with smtp(self.daemon, "submission") as wire:
            self.assertEqual(wire.code(b"MAIL FROM:<a@example.test>"), 530)

    def test_the_octets_of_a_hostile_message_come_back(self) -> None:
        """A message that looks like commands is a message."""
        text = HEADER + b"QUIT\r\nRSET\r\n" + b"MAIL FROM:<x@example.org>\r\n" * 3
        with smtp(self.daemon) as wire:
            self.begin_data(wire)
            self.assertEqual(wire.ask(text + b".")[:3], b"250")
        session = reader(self.daemon, self.bob)
        self.assertTrue(fetched(session).endswith(text))
        session.quit()

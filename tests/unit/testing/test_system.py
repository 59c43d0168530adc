"""MailSystem: smtplib and poplib against it, failures, waiting."""

from __future__ import annotations

import poplib
import re
import smtplib
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from emailsys.testing import FailureSyntaxError, MailSystem, NoSuchMail


def letter(subject: str = "Welcome", **fields: str) -> EmailMessage:
    """A message with two texts and an attachment."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Shop <shop@example.com>", "bob@example.com", subject
    for name, value in fields.items():
        message[name] = value
    message.set_content("Grüße: https://example.com/plain.\n")
    message.add_alternative('<p><a href="https://example.com/confirm?t=1&amp;u=2">Confirm</a></p>', subtype="html")
    message.add_attachment(b"\x00\xff", maintype="application", subtype="pdf", filename="bill.pdf")
    return message


class SystemTestCase(SynchronousTestCase):
    """One mail system for each test."""

    def setUp(self) -> None:
        """Start it."""
        self.system = MailSystem()
        self.addCleanup(self.system.close)

    @contextmanager
    def client(self) -> Iterator[smtplib.SMTP]:
        """A client that is connected."""
        with smtplib.SMTP(self.system.host, self.system.port, timeout=10) as client:
            yield client

    def send(self, message: EmailMessage | None = None, to: str = "bob@example.com") -> dict[str, tuple[int, bytes]]:
        """Send a message as an application does."""
        with self.client() as client:
            return client.send_message(message or letter(), "bounces@example.com", [to])


class ArrivalTests(SystemTestCase):
    """Mail that arrives."""

    def tearDown(self) -> None:
        """Nothing unexpected was logged."""
        self.assertEqual([line for line in self.system.log if "Traceback" in line], [])

    def test_a_message_with_its_parts_and_links(self) -> None:
        """All that a test asks for is at hand, decoded."""
        self.send()
        message = self.system.mailbox("bob").wait_for(subject="Welcome", sender="SHOP@example.com")
        self.assertEqual(message.text, "Grüße: https://example.com/plain.\n")
        self.assertEqual(message.links, ["https://example.com/confirm?t=1&u=2", "https://example.com/plain"])
        self.assertEqual(message.link("confirm"), message.links[0])
        self.assertRaises(AssertionError, message.link, "elsewhere")
        (attached,) = message.attachments
        self.assertEqual((attached.name, attached.content), ("bill.pdf", b"\x00\xff"))
        self.assertEqual([part.content_type for part in message.parts], ["text/plain", "text/html", "application/pdf"])
        self.assertEqual((message.envelope_from, message.envelope_to), ("bounces@example.com", ("bob@example.com",)))
        self.assertEqual((message.sender, message.to), ("shop@example.com", ["bob@example.com"]))
        self.assertEqual(message.email["Subject"], "Welcome")

    def test_links_of_hostile_html(self) -> None:
        """Found in linear time; each once."""
        html = "<" * 500_000 + "<a href=x>" * 20_000 + "<!--" * 50_000 + "--><area href='y'>"
        message = EmailMessage()
        message.set_content(html, subtype="html", cte="base64")
        self.send(message)
        began = time.process_time()
        self.assertEqual(self.system.mailbox("bob").wait_for().links, ["x", "y"])
        # Half a second here; what takes quadratic time takes minutes.
        self.assertLess(time.process_time() - began, 15)

    def test_the_octets_are_those_that_were_sent(self) -> None:
        """No trace field is added, dots are unstuffed."""
        raw = b"Subject: x\r\n\r\n.\r\n..\r\n.a\r\n"
        with self.client() as client:
            client.sendmail("", ["x@example.com"], raw)
        self.assertEqual([one.raw for one in self.system.messages], [raw])

    def test_any_login_and_none(self) -> None:
        """Every password is accepted; the message tells the name."""
        with self.client() as client:
            client.sendmail("a@example.com", ["x@example.com"], b"Subject: 1\r\n\r\n")
        with self.client() as client:
            client.login("alice", "secret")
            client.sendmail("a@example.com", ["x@example.com"], b"Subject: 2\r\n\r\n")
            client.sendmail("someone@else.example", ["x@example.com"], b"Subject: 3\r\n\r\n")
        self.assertEqual([one.login for one in self.system.messages], ["", "alice", "alice"])

    def test_pop3_opens_the_mail_of_one_address_or_all(self) -> None:
        """abuse@ and postmaster@ are names as any other; a bare postmaster has no maildrop of his own."""
        for name in (
            "bob@example.com",
            "abuse@example.com",
            "postmaster@example.com",
            "carol@[192.0.2.1]",
            "bob@b.example",
        ):
            self.send(to=name)
        with self.client() as client:
            client.sendmail("", ["postmaster"], b"\r\n")
        counts = []
        for user in ("bob@example.com", "bob@b.example", "nobody@example.com", "anything"):
            reader = poplib.POP3(self.system.host, self.system.pop3_port, timeout=10)
            reader.user(user)
            reader.pass_("any")
            counts.append(reader.stat()[0])
            reader.quit()
        self.assertEqual(counts, [1, 1, 0, 6])

    def pop3(self, user: str = "bob@example.com") -> poplib.POP3:
        """A session that has logged in."""
        reader = poplib.POP3(self.system.host, self.system.pop3_port, timeout=30)
        self.addCleanup(reader.close)
        reader.user(user)
        reader.pass_("any")
        return reader

    def test_pop3_fails_as_scripted(self) -> None:
        """Refusals and drops, for one user, and as often as the sentence says."""
        self.send(to="bob@example.com")
        self.send(to="carol@example.com")
        self.system.fail('-ERR "[SYS/TEMP] later" at the first PASS for bob@', "-ERR at the first RETR", "-ERR at UIDL")
        with self.assertRaisesRegex(poplib.error_proto, r"-ERR \[SYS/TEMP\] later"):
            self.pop3()
        self.assertEqual(self.pop3("carol@example.com").stat()[0], 1)
        reader = self.pop3()
        with self.assertRaisesRegex(poplib.error_proto, "-ERR scripted failure"):
            reader.retr(1)
        self.assertIn(b"Subject: ", b" ".join(reader.retr(1)[1]))
        for _ in range(2):
            with self.assertRaises(poplib.error_proto):
                reader.uidl()
        # A refused QUIT removes nothing, a lost reply to it does.
        for sentence, left in (("-ERR at the first QUIT", 1), ("drop after the first QUIT", 0)):
            reader.dele(1)
            self.system.fail(sentence)
            with self.assertRaises((poplib.error_proto, OSError)):
                reader.quit()
            reader = self.pop3()
            self.assertEqual(reader.stat()[0], left, sentence)
        self.system.fail("drop at STAT", "-ERR at the first POP3")
        with self.assertRaises((poplib.error_proto, OSError)):
            reader.stat()
        with self.assertRaisesRegex(poplib.error_proto, "-ERR scripted failure"):
            self.pop3()
        self.assertEqual(len(self.system.failed), 8)

    def test_tls_with_an_authority_of_its_own(self) -> None:
        """Clients that trust it get in, others do not; without `tls` nothing is offered."""
        with self.client() as client:
            client.ehlo()
            self.assertFalse(client.has_extn("STARTTLS"))
        self.assertIsNone(self.system.ca)
        with MailSystem(tls=True) as system:
            trust = ssl.create_default_context(cafile=str(system.ca))
            with smtplib.SMTP("localhost", system.port, timeout=30) as client:
                client.starttls(context=trust)
                client.sendmail("a@example.com", ["bob@example.com"], b"Subject: sealed\r\n\r\n")
            self.assertIn("TLS", system.messages[0].tls)
            reader = poplib.POP3("127.0.0.1", system.pop3_port, timeout=30)
            reader.stls(trust)
            reader.user("bob@example.com")
            reader.pass_("any")
            self.assertEqual(reader.stat()[0], 1)
            reader.quit()
            stranger = smtplib.SMTP("localhost", system.port, timeout=30)
            self.addCleanup(stranger.close)
            with self.assertRaises(ssl.SSLCertVerificationError):
                stranger.starttls(context=ssl.create_default_context())

    def test_a_large_message_with_many_recipients(self) -> None:
        """5 MiB to 100 names, of which some meet for the first time in two sessions at once."""
        raw = b"Subject: large\r\n\r\n" + b"x" * 76 + b"\r\n"
        raw += (b"y" * 76 + b"\r\n") * (5 * 1024 * 1024 // 78)
        names = [f"user{number}@many.example" for number in range(100)]

        def send() -> None:
            with self.client() as client:
                client.sendmail("a@example.com", names, raw)

        others = [threading.Thread(target=send) for _ in range(2)]
        for one in others:
            one.start()
        for one in others:
            one.join()
        self.assertEqual([one.raw == raw for one in self.system.messages], [True, True])

    def test_nothing_has_a_way_out(self) -> None:
        """Mail for a host of the real world stays here: the process opens no connection and asks no name server."""
        used: set[str] = set()

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto") and is_on:
                used.add(f"{event} {arguments[1:]}")

        is_on = True
        sys.addaudithook(watch)
        try:
            self.send(to="someone@gmail.com")
            reader = poplib.POP3(self.system.host, self.system.pop3_port, timeout=10)
            reader.user("someone@gmail.com")
            reader.pass_("x")
            self.assertEqual(reader.stat()[0], 1)
            reader.quit()
        finally:
            is_on = False
        ours = {str(self.system.port), str(self.system.pop3_port)}
        self.assertEqual([line for line in used if not any(port in line for port in ours)], [])
        self.assertTrue(used)


class WaitingTests(SystemTestCase):
    """`wait_for`."""

    def test_it_waits_until_the_message_comes(self) -> None:
        """The message is sent from another thread, as web applications do."""
        sending = threading.Timer(0.05, self.send)
        sending.start()
        self.addCleanup(sending.join)
        self.assertEqual(self.system.mailbox("bob@example.com").wait_for(timeout=10).subject, "Welcome")

    def test_the_error_says_what_arrived(self) -> None:
        """And which failures the test itself had scripted."""
        self.system.fail("451 at the first RCPT for carol@")
        self.send(letter("Welcom"))
        self.assertRaises(smtplib.SMTPRecipientsRefused, self.send, to="carol@example.com")
        error = self.assertRaises(
            NoSuchMail, self.system.mailbox("carol").wait_for, subject="Welcome", sender="a@b", timeout=0.01
        )
        self.assertEqual(
            str(error).splitlines(),
            [
                "no message for 'carol' with subject 'Welcome' from 'a@b' arrived within 0.01 s. "
                "1 other message arrived:",
                "  1. from shop@example.com to bob@example.com, subject 'Welcom'",
                "scripted failures that happened:",
                '  451 4.0.0 "scripted failure" at the first RCPT for carol@ (carol@example.com)',
            ],
        )
        self.system.reset()
        error = self.assertRaises(NoSuchMail, self.system.wait_for, subject=re.compile("x+"), timeout=0)
        self.assertEqual(
            str(error), "no message with subject matching 'x+' arrived within 0 s. No message arrived at all."
        )

    def test_criteria(self) -> None:
        """All of them have to fit."""
        for subject in ("first", "second"):
            self.send(letter(subject))
        box = self.system.mailbox("bob")
        first = box.wait_for(subject=re.compile("^f.rst$"), sender=re.compile("@example"), timeout=1)
        self.assertEqual(box.wait_for(after=first, timeout=1).subject, "second")
        self.assertEqual(box.wait_for(where=lambda one: "second" in one.subject, timeout=1).subject, "second")
        self.assertRaises(NoSuchMail, box.wait_for, subject="first", after=first, timeout=0)
        self.assertEqual(box.address, "bob@example.test")
        self.assertEqual((len(box), len(self.system.mailbox("bob@other.example"))), (2, 0))


class FailureTests(SystemTestCase):
    """Scripted failures, as smtplib meets them."""

    def test_a_refused_recipient(self) -> None:
        """Only the first one for that name; the session goes on."""
        self.system.fail('451 4.2.1 "busy" at the first RCPT for x@')
        with self.client() as client:
            refused = client.sendmail("a@example.com", ["x@example.com", "y@example.com"], b"\r\n")
            self.assertEqual(refused, {"x@example.com": (451, b"4.2.1 busy")})
            self.assertEqual(client.sendmail("a@example.com", ["x@example.com"], b"\r\n"), {})
        self.assertEqual([one.envelope_to for one in self.system.messages], [("y@example.com",), ("x@example.com",)])

    def test_refusals_at_each_step(self) -> None:
        """A refused step has no effect, and the next transaction of the same session works."""
        for step, error in (
            ("MAIL", smtplib.SMTPSenderRefused),
            ("RCPT", smtplib.SMTPRecipientsRefused),
            ("DATA", smtplib.SMTPDataError),
            ("the dot", smtplib.SMTPDataError),
        ):
            self.system.reset()
            self.system.fail(f"552 at {step} from a@example.com")
            with self.client() as client:
                self.assertRaises(error, client.sendmail, "a@example.com", ["x@example.com"], b"\r\n")
                client.rset()
                self.assertEqual(client.sendmail("b@example.com", ["x@example.com"], b"Subject: b\r\n\r\n"), {})
            self.assertEqual([one.subject for one in self.system.messages], ["b"], step)

    def test_refused_before_the_transaction(self) -> None:
        """Greeting, EHLO and login."""
        self.system.fail("554 at the first connect")
        self.assertRaises(smtplib.SMTPConnectError, smtplib.SMTP, self.system.host, self.system.port, timeout=10)
        self.system.fail("502 at the first EHLO", "535 at AUTH")
        with self.client() as client:
            client.ehlo_or_helo_if_needed()
            self.assertFalse(client.does_esmtp)
        with self.client() as client:
            self.assertRaises(smtplib.SMTPAuthenticationError, client.login, "a", "b")
            self.assertEqual(client.sendmail("a@example.com", ["x@example.com"], b"\r\n"), {})

    def test_421_closes(self) -> None:
        """RFC 5321 §3.8."""
        self.system.fail("421 at the first MAIL")
        with socket.create_connection((self.system.host, self.system.port), 10) as raw, raw.makefile("rb") as replies:
            raw.sendall(b"EHLO x\r\nMAIL FROM:<a@example.com>\r\nNOOP\r\n")
            heard = replies.read().splitlines()
        self.assertEqual(heard[-1], b"421 4.0.0 scripted failure")

    def test_a_drop_at_the_dot_keeps_nothing(self) -> None:
        """The message did not arrive."""
        self.system.fail("drop at the first dot")
        self.assertRaises((smtplib.SMTPServerDisconnected, ConnectionError), self.send)
        self.assertEqual(self.system.messages, [])
        self.send()
        self.assertEqual(len(self.system.messages), 1)

    def test_a_drop_after_the_dot_keeps_the_message(self) -> None:
        """The client does not know, and sends it again: two copies, as with a real lost reply (RFC 1047)."""
        self.system.fail("drop after the first dot")
        self.assertRaises((smtplib.SMTPServerDisconnected, ConnectionError), self.send)
        self.system.wait_for(timeout=5)
        self.send()
        self.assertEqual(len(self.system.messages), 2)

    def test_slow(self) -> None:
        """The reply waits; a client without patience gives up."""
        self.system.fail("slow by 0.2 s")
        began = time.monotonic()
        self.send()
        self.assertGreaterEqual(time.monotonic() - began, 0.2)
        self.system.fail("slow by 60 s at connect")
        error = self.assertRaises(OSError, smtplib.SMTP, self.system.host, self.system.port, timeout=0.05)
        self.assertIn("timed out", str(error))

    def test_chunking(self) -> None:
        """A refused BDAT is answered at the chunk's end, and its octets are no commands."""
        self.system.fail("451 at the first DATA")
        with socket.create_connection((self.system.host, self.system.port), 10) as raw, raw.makefile("rb") as replies:
            mail = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nBDAT 6 LAST\r\nNOOP\r\n"
            raw.sendall(b"EHLO x\r\n" + mail + mail + b"QUIT\r\n")
            codes = [line[:3] for line in replies if line[3:4] == b" "]
        self.assertEqual(codes, [b"220", b"250", b"250", b"250", b"451", b"250", b"250", b"250", b"221"])

    def test_a_sentence_that_is_not_understood(self) -> None:
        """It is refused at once, and nothing of it is in force."""
        self.assertRaises(FailureSyntaxError, self.system.fail, "451 sometimes")
        self.assertEqual(self.system.failures, ())

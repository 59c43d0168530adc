"""smtplib and poplib against a real daemon: what is submitted comes back octet for octet."""

from __future__ import annotations

import poplib
import smtplib
import ssl
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from tests.live.programs import messages
from tests.live.programs.daemon import Daemon, User, shared

TIMEOUT = 60.0


def trusting(daemon: Daemon) -> ssl.SSLContext:
    """A context that trusts the development CA and checks names, as a client should."""
    return ssl.create_default_context(cafile=str(daemon.ca))


def submitter(daemon: Daemon, user: User) -> smtplib.SMTP:
    """A session on the submission port, encrypted and logged in."""
    session = smtplib.SMTP("localhost", daemon.ports["submission"], timeout=TIMEOUT)
    session.starttls(context=trusting(daemon))
    session.login(user.address, user.password)
    return session


def reader(daemon: Daemon, user: User) -> poplib.POP3_SSL:
    """A session on the POP3S port, logged in."""
    session = poplib.POP3_SSL("localhost", daemon.ports["pop3s"], context=trusting(daemon), timeout=TIMEOUT)
    session.user(user.address)
    session.pass_(user.password)
    return session


def fetched(session: poplib.POP3, number: int = 1) -> bytes:
    """A message as RETR gives it, with its octets counted against the server's."""
    status, lines, _ = session.retr(number)
    text = b"".join(line + b"\r\n" for line in lines)
    announced = int(status.split()[1])
    assert announced == len(text), f"{announced} octets announced, {len(text)} sent"
    return text


class PythonClientTests(SynchronousTestCase):
    """The standard library's clients, which check the certificate and its name."""

    def setUp(self) -> None:
        self.daemon = shared(type(self))
        self.alice, self.bob = self.daemon.user(), self.daemon.user()

    def check(self, text: bytes, options: tuple[str, ...] = ()) -> None:
        with submitter(self.daemon, self.alice) as session:
            session.sendmail(self.alice.address, [self.bob.address], text, mail_options=options)
        session_in = reader(self.daemon, self.bob)
        try:
            self.assertEqual(session_in.stat()[0], 1)
            got = fetched(session_in)
            self.assertEqual(session_in.stat()[1], len(got))
        finally:
            session_in.quit()
        self.assertTrue(messages.as_sent(got, text), f"fetched: {got[:2000]!r}")

    def make(self, builder: Callable[..., bytes]) -> bytes:
        return builder(self.alice.address, self.bob.address, "live")

    def test_dots_and_empty_lines_come_back_as_they_went(self) -> None:
        """A text full of lines that begin with dots."""
        self.check(self.make(messages.plain))

    def test_an_attachment_longer_than_a_row_comes_back(self) -> None:
        """400 KB of base64."""
        self.check(self.make(messages.with_attachment))

    def test_utf8_text_comes_back(self) -> None:
        """8BITMIME: nothing is re-encoded."""
        self.check(self.make(messages.eight_bit), ("BODY=8BITMIME",))

    def test_implicit_tls_on_submissions(self) -> None:
        """Port 465 begins with TLS (RFC 8314)."""
        text = self.make(messages.plain)
        with smtplib.SMTP_SSL(
            "localhost", self.daemon.ports["submissions"], context=trusting(self.daemon), timeout=TIMEOUT
        ) as session:
            session.login(self.alice.address, self.alice.password)
            session.sendmail(self.alice.address, [self.bob.address], text)
        incoming = reader(self.daemon, self.bob)
        self.assertTrue(messages.as_sent(fetched(incoming), text))
        incoming.quit()

    def test_stls_then_top_uidl_and_dele(self) -> None:
        """The clear-text POP3 port, after STLS; what is deleted is gone at the next login, and not before QUIT."""
        texts = [messages.plain(self.alice.address, self.bob.address, f"n{number}") for number in range(3)]
        with submitter(self.daemon, self.alice) as outgoing:
            for text in texts:
                outgoing.sendmail(self.alice.address, [self.bob.address], text)
        session = poplib.POP3("localhost", self.daemon.ports["pop3"], timeout=TIMEOUT)
        session.stls(context=trusting(self.daemon))
        session.user(self.bob.address)
        session.pass_(self.bob.password)
        uids = [line.split()[1] for line in session.uidl()[1]]
        self.assertEqual(len(set(uids)), 3)
        top = b"\r\n".join(session.top(1, 2)[1])
        self.assertIn(b"Subject: n0", top)
        self.assertTrue(top.endswith(messages.DOTS[: len(b".\r\n..")]), top[-80:])
        session.dele(2)
        self.assertEqual(session.stat()[0], 2)
        session.rset()
        session.dele(2)
        session.quit()
        later = reader(self.daemon, self.bob)
        self.assertEqual([line.split()[1] for line in later.uidl()[1]], [uids[0], uids[2]])
        self.assertTrue(messages.as_sent(fetched(later, 2), texts[2]))
        later.quit()

    def test_a_connection_that_breaks_deletes_nothing(self) -> None:
        """Only QUIT commits (RFC 1939 §6)."""
        with submitter(self.daemon, self.alice) as outgoing:
            outgoing.sendmail(self.alice.address, [self.bob.address], self.make(messages.plain))
        session = reader(self.daemon, self.bob)
        session.dele(1)
        session.close()
        # The lock goes when the daemon has seen the end; a login before that is told so.
        for _ in range(100):
            try:
                later = reader(self.daemon, self.bob)
                break
            except poplib.error_proto as error:
                self.assertIn(b"[IN-USE]", error.args[0])
        else:
            self.fail("the maildrop stays locked")
        self.assertEqual(later.stat()[0], 1)
        later.quit()

    def test_a_wrong_password_is_refused_on_both_sides(self) -> None:
        """535 and [AUTH], and the session goes on."""
        stranger = User(self.alice.name, "wrong")
        with self.assertRaises(smtplib.SMTPAuthenticationError) as refused:
            submitter(self.daemon, stranger)
        self.assertEqual(refused.exception.smtp_code, 535)
        with self.assertRaises(poplib.error_proto) as closed:
            reader(self.daemon, stranger)
        self.assertIn(b"[AUTH]", closed.exception.args[0])

    def test_an_unknown_recipient_is_refused_while_the_other_is_served(self) -> None:
        """One refused recipient of two costs the other nothing."""
        text = self.make(messages.plain)
        with submitter(self.daemon, self.alice) as session:
            refused = session.sendmail(self.alice.address, [self.bob.address, "nobody@example.test"], text)
        self.assertEqual(refused["nobody@example.test"][0], 550)
        self.assertIn(b"5.1.1", refused["nobody@example.test"][1])
        incoming = reader(self.daemon, self.bob)
        self.assertEqual(incoming.stat()[0], 1)
        incoming.quit()

    def test_a_subaddress_reaches_its_account(self) -> None:
        """bob+tag is bob."""
        text = self.make(messages.plain)
        with submitter(self.daemon, self.alice) as session:
            session.sendmail(self.alice.address, [self.bob.address.replace("@", "+list@")], text)
        incoming = reader(self.daemon, self.bob)
        self.assertTrue(messages.as_sent(fetched(incoming), text))
        incoming.quit()

"""How a client logs in at a submission server."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.wire.smtp.client import SMTPClientSession
from emailsys.wire.smtp.client_commands import login_lines
from emailsys.wire.smtp.client_events import LoggedIn, Unusable


def session(auth: bytes, tls: str = "TLSv1.3") -> SMTPClientSession:
    """A session after EHLO."""
    made = SMTPClientSession("localhost", "smtp.test")
    made.tls = tls
    made.feed(b"220 hi\r\n250-smtp.test\r\n250 AUTH " + auth + b"\r\n")
    made.next_event()
    made.take()
    return made


class LoginTests(SynchronousTestCase):
    """PLAIN, LOGIN and XOAUTH2."""

    def test_a_token_goes_by_xoauth2_with_its_command(self) -> None:
        client = session(b"PLAIN XOAUTH2")
        client.login("a", "t", token=True)
        self.assertEqual(client.take(), b"AUTH XOAUTH2 dXNlcj1hAWF1dGg9QmVhcmVyIHQBAQ==\r\n")
        client.feed(b"235 2.7.0 welcome\r\n")
        self.assertIsInstance(client.next_event(), LoggedIn)

    def test_a_token_that_is_refused_is_answered_by_an_empty_line_and_the_refusal_is_told(self) -> None:
        client = session(b"XOAUTH2")
        client.login("a", "t", token=True)
        client.take()
        client.feed(b"334 eyJzdGF0dXMiOiI0MDEifQ==\r\n")
        self.assertIsNone(client.next_event())
        self.assertEqual(client.take(), b"\r\n")
        client.feed(b"535 5.7.8 expired\r\n")
        event = client.next_event()
        assert isinstance(event, Unusable)
        self.assertEqual(event.reply.text, "expired")

    def test_a_server_without_the_mechanism_is_told_by_its_name(self) -> None:
        for token, said in ((True, "XOAUTH2"), (False, "PLAIN or LOGIN")):
            client = session(b"SCRAM-SHA-256")
            client.login("a", "t", token=token)
            event = client.next_event()
            assert isinstance(event, Unusable)
            self.assertIn(said, event.reply.text)
            self.assertEqual(client.take(), b"")

    def test_in_the_clear_a_login_goes_only_where_that_is_allowed(self) -> None:
        client = session(b"PLAIN", tls="")
        client.login("a", "b")
        self.assertIsInstance(client.next_event(), Unusable)
        client = session(b"PLAIN", tls="")
        client.login("a", "b", in_clear=True)
        self.assertEqual(client.take(), b"AUTH PLAIN AGEAYg==\r\n")

    def test_login_is_taken_where_there_is_nothing_better(self) -> None:
        self.assertEqual(
            login_lines(frozenset({"LOGIN"}), "a", "b", False), [b"AUTH LOGIN\r\n", b"YQ==\r\n", b"Yg==\r\n"]
        )

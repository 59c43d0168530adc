"""A maildrop that cannot be opened leaves no open connection."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.accounts.blocking_secrets import CommandSecrets
from emailsys.client.accounts.values import Account, SecretKind, SecretSource, Security, Server
from emailsys.client.fetch.login import open_maildrop
from emailsys.client.fetch.values import FetchError
from emailsys.mail.address import parse
from tests.fakes.client.scripted_stream import ScriptedStream, is_a_stream

ALICE = parse("alice@example.test")
KNOWN = SecretSource(SecretKind.FILE, value="secret")


class OpeningTests(SynchronousTestCase):
    """A scripted server."""

    def refused(self, server: Server, *heard: bytes) -> tuple[str, ScriptedStream]:
        stream = ScriptedStream(*heard)
        account = Account("alice", ALICE, pop3=server)
        error = self.assertRaises(FetchError, open_maildrop, is_a_stream(stream), account, CommandSecrets())
        return str(error), stream

    def test_without_a_password_no_connection_is_made(self) -> None:
        server = Server("pop.test", 995, Security.TLS, str(ALICE), secret=SecretSource(SecretKind.PROMPT))
        said, stream = self.refused(server)
        self.assertIn("no password for alice@example.test", said)
        self.assertEqual(stream.steps, ["close"])

    def test_authorities_that_cannot_be_read_are_told_before_anybody_is_called(self) -> None:
        server = Server("pop.test", 995, Security.TLS, str(ALICE), secret=KNOWN, ca_file=Path("none.pem"))
        said, stream = self.refused(server)
        self.assertIn("none.pem", said)
        self.assertEqual(stream.steps, ["close"])

    def test_a_password_goes_in_the_clear_to_nobody_else(self) -> None:
        server = Server("127.0.0.1", 110, Security.NONE, str(ALICE), secret=KNOWN)
        answers = (b"+OK\r\n", b"-ERR\r\n", b"+OK\r\n", b"-ERR [AUTH] no\r\n")
        said, stream = self.refused(server, *answers)
        self.assertIn("refused the login", said)
        stream = ScriptedStream(*answers)
        stream.peer_host = "192.0.2.1"
        account = Account("alice", ALICE, pop3=replace(server, host="pop.test"))
        error = self.assertRaises(FetchError, open_maildrop, is_a_stream(stream), account, CommandSecrets())
        self.assertIn("in the clear", str(error))
        self.assertEqual((stream.said, stream.steps[-1]), (b"CAPA\r\n", "close"))

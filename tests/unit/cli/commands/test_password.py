"""The command with which users change their own password: which server it asks, and what it does with the answers."""

from __future__ import annotations

import base64
import socket
from dataclasses import replace

from emailsys.client.accounts.secrets import Secrets
from emailsys.client.accounts.values import Account, AccountError, SecretKind, SecretSource, Security, Server
from emailsys.config.exit_status import Exit
from emailsys.mail.address import parse
from tests.fakes.net.toy_server import ToyServer
from tests.unit.cli.mail.mail_case import Case

ADDRESS = "alice@example.org"
TYPED = b"old words\nnew words\n"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class PasswordTests(Case):
    def setUp(self) -> None:
        super().setUp()
        self.heard: list[str] = []
        self.replies = {"AUTH": "235 2.7.0 welcome", "XPASSWORD": "250 2.0.0 changed"}
        self.kept: dict[str, str] = {}
        self.patch(Secrets, "keep", self.keep)

    async def keep(self, account: Account, server: Server, secret: str) -> None:
        self.kept[str(server)] = secret

    def serve(self, connection: socket.socket) -> None:
        """Speak SMTP, with the replies that a test has chosen."""
        lines = connection.makefile("rwb")
        answer = "220 toy"
        while answer:
            lines.write(f"{answer}\r\n".encode())
            lines.flush()
            line = lines.readline().decode().rstrip()
            self.heard.append(line)
            answer = "" if line in ("", "QUIT") else self.replies.get(line.split()[0], "250 fine")

    def has_account(self, kind: SecretKind = SecretKind.KEYRING) -> None:
        """Alice's account has a server on this machine, without TLS."""
        server = ToyServer(self.serve)
        self.addCleanup(server.close)
        here = Server("127.0.0.1", server.port, Security.NONE, username=ADDRESS, secret=SecretSource(kind))
        self.mailbox.accounts_file.put(Account("alice", parse(ADDRESS), "", replace(here, port=1), here))

    def change(self, status: int, *words: str, typed: bytes = TYPED) -> str:
        ended, _, said = self.run_command("password", ADDRESS, "--passwords-stdin", *words, typed=typed)
        self.assertEqual(ended, status, said)
        self.assertNotIn("Traceback", said)
        return said

    def test_the_server_of_the_mail_client_is_asked_and_the_keyring_gets_the_new_password(self) -> None:
        self.has_account()
        self.assertIn(f"changed the password of {ADDRESS}", self.change(Exit.OK))
        login, order = (line for line in self.heard if line.startswith(("AUTH", "XPASSWORD")))
        self.assertEqual(login, f"AUTH PLAIN {encoded(f'{chr(0)}{ADDRESS}{chr(0)}old words')}")
        self.assertEqual(order, f"XPASSWORD {encoded('old words')} {encoded('new words')}")
        self.assertEqual(sorted(set(self.kept.values())), ["new words"])
        self.assertEqual(len(self.kept), 2)

    def test_a_password_that_the_user_keeps_elsewhere_stays_there(self) -> None:
        self.has_account(SecretKind.PROMPT)
        self.change(Exit.OK)
        self.assertEqual(self.kept, {})

    def test_a_keyring_that_fails_is_told_and_the_password_is_changed(self) -> None:
        async def fail(secrets: Secrets, account: Account, server: Server, secret: str) -> None:
            raise AccountError("the keyring is locked")

        self.patch(Secrets, "keep", fail)
        self.has_account()
        said = self.change(Exit.OK)
        self.assertIn(f"changed the password of {ADDRESS}", said)
        self.assertIn("the keyring is locked. emailsys mail will ask for it.", said)

    def test_refusals_of_the_server_change_nothing_here(self) -> None:
        self.has_account()
        for verb, reply, status in (
            ("AUTH", "535 5.7.8 wrong", Exit.NO_PERMISSION),
            ("AUTH", "454 4.7.0 later", Exit.TEMPORARY),
            ("XPASSWORD", "554 5.7.0 too easy to guess", Exit.DATA),
            ("EHLO", "421 4.3.2 going down", Exit.UNAVAILABLE),
        ):
            before = dict(self.replies)
            self.replies[verb] = reply
            said = self.change(status)
            self.assertIn(reply.split(" ", 2)[2], said)
            self.replies = before
        self.assertEqual(self.kept, {})

    def test_what_cannot_be_is_refused_before_anything_is_sent(self) -> None:
        self.assertIn("two lines", self.change(Exit.USAGE, "--server", "localhost", typed=b"old words\n"))
        self.assertIn("not UTF-8", self.change(Exit.DATA, "--server", "localhost", typed=b"\xff\n\xff\n"))
        for server in ("host:0", "host:65536", "host:x", ":25"):
            self.assertIn(f"{server!r} is not HOST or HOST:PORT", self.change(Exit.USAGE, "--server", server))
        there = Server("mail.example.org", 587, Security.NONE, username=ADDRESS)
        for smtp, words in (
            (there, "without TLS"),
            (replace(there, security=Security.TLS, fingerprint="00" * 32), "trusts one certificate only"),
            (None, "has no account"),
        ):
            self.mailbox.accounts_file.put(Account("alice", parse(ADDRESS), smtp=smtp))
            self.assertIn(words, self.change(Exit.USAGE))

"""The mail client against Dovecot's POP3, under STLS and implicit TLS, where that is installed. Prints its banner."""

from __future__ import annotations

import os
import shutil
import tempfile
import unittest
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from emailsys import pki
from emailsys.client.accounts.values import Account, Keep, KeepKind, SecretKind, SecretSource, Security, Server
from emailsys.client.fetch.fetcher import FetchOptions
from emailsys.mail.address import parse
from tests.fakes.client.client_house import ClientHouse, numbered
from tests.live.programs.dovecot import Dovecot, why_not


@unittest.skipIf(bool(why_not()), why_not())
class DovecotTests(TestCase):
    """A server of its own for each test, in the foreground."""

    timeout = 60

    async def setUp(self) -> None:  # type: ignore[override]
        folder = Path(tempfile.mkdtemp(prefix="emailsys-dovecot-"))
        os.chmod(folder, 0o755)
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        made = pki.ensure_development_ca(folder / "certs")
        self.ca = made.authority
        files = made.certificates[0]
        self.server = Dovecot(folder / "server", files.chain, files.key, {"alice": "secret"})
        for number, octets in enumerate(numbered(50)):
            (self.server.maildir / "alice" / "new" / f"{number:04}.test").write_bytes(octets)
        self.server.own()
        print(f"\n    peer: {await self.server.start(reactor)!r}", end=" ")
        self.addCleanup(self.server.stop)
        self.client = ClientHouse(reactor)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.client.close()))

    def account(self, security: Security) -> Account:
        port = self.server.pop3s if security is Security.TLS else self.server.pop3
        secret = SecretSource(SecretKind.FILE, value="secret")
        address = parse("alice@example.test")
        return Account(
            "alice", address, pop3=Server("localhost", port, security, "alice", secret=secret, ca_file=self.ca)
        )

    async def fetch(self, security: Security, wanted: FetchOptions) -> None:
        account = self.account(security)
        result = await deferToThread(self.client.fetcher.fetch, account, wanted)
        self.assertIsNone(result.problem)
        self.assertEqual(self.client.messages(), sorted(numbered(50)))

    async def test_messages_are_fetched_once_by_implicit_tls_and_stay(self) -> None:
        await self.fetch(Security.TLS, FetchOptions())
        result = await deferToThread(self.client.fetcher.fetch, self.account(Security.TLS))
        self.assertEqual((result.keys, result.on_server, result.problem), ((), 50, None))

    async def test_messages_are_fetched_by_stls_and_deleted(self) -> None:
        await self.fetch(Security.STARTTLS, FetchOptions(keep=Keep(KeepKind.DELETE)))
        self.assertEqual([path for path in self.server.maildir.rglob("*.test*") if path.is_file()], [])

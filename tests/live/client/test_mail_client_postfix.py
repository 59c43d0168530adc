"""The mail client submits through a real Postfix: STARTTLS verified, recipients settled one by one."""

from __future__ import annotations

import shutil
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from emailsys import pki
from emailsys.client.accounts.values import Account, Auth, Security, Server
from emailsys.client.compose.message_builder import OutgoingMessage
from emailsys.client.trial.smtp import try_smtp
from emailsys.mail.address import parse
from tests.fakes.client.client_house import ClientHouse
from tests.live.programs.postfix import Postfix, why_not

ALICE = parse("alice@example.org")


@unittest.skipIf(bool(why_not()), why_not())
class PostfixTests(TestCase):
    """One Postfix for each test. It has no accounts: whom it relays for is for the daemon's own tests to show."""

    timeout = 90

    async def setUp(self) -> None:  # type: ignore[override]
        folder = Path(tempfile.mkdtemp(prefix="emailsys-client-"))
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        made = pki.ensure_development_ca(folder)
        issued = pki.make_variant(folder, "expired")[-1]
        services = {
            "good": (made.certificates[-1].chain, made.certificates[-1].key),
            "expired": (issued.chain, issued.key),
        }
        self.postfix = Postfix(reactor, services)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.postfix.stop()))
        await self.postfix.start()
        self.client = ClientHouse(reactor, folder / "client")
        self.addCleanup(lambda: Deferred.fromCoroutine(self.client.close()))
        self.server = Server(
            "localhost", self.postfix.ports["good"], Security.STARTTLS, auth=Auth.NONE, ca_file=made.authority
        )
        self.account = Account("work", ALICE, smtp=self.server)

    def put(self, *recipients: str) -> str:
        octets = b"From: alice@example.org\r\nSubject: to Postfix\r\nMessage-ID: <1@example.org>\r\n\r\n.dot\r\n"
        message = OutgoingMessage(octets, ALICE, tuple(parse(one) for one in recipients), "1@example.org", False, False)
        return self.client.outbox.put("work", message)

    async def test_a_message_is_queued_there(self) -> None:
        sent = await self.client.sender.send(self.account, self.put("bob@example.net", "carol@example.net"))
        self.assertIsNone(sent.problem)

    async def test_a_recipient_who_is_unknown_is_reported(self) -> None:
        sent = await self.client.sender.send(self.account, self.put("bob@example.net", "nobody@example.net"))
        self.assertIn("nobody@example.net", str(sent))
        self.assertIn("5.1.1", str(sent))

    async def test_settings_are_tried(self) -> None:
        result = await try_smtp(reactor, self.account, self.client.secrets)
        self.assertIsNone(result.problem)
        self.assertIn("PIPELINING", result.offers)
        self.assertTrue(result.tls.startswith("TLSv1."))

    async def test_an_expired_certificate_is_refused_and_the_message_waits(self) -> None:
        bad = replace(self.account, smtp=replace(self.server, port=self.postfix.ports["expired"]))
        sent = await self.client.sender.send(bad, self.put("bob@example.net"))
        self.assertIn("expired", str(sent.problem))

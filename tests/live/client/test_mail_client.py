"""The mail client against a real daemon and real TLS: what is sent arrives, what is fetched is kept."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from emailsys.client.accounts.values import Account, Keep, KeepKind, SecretKind, SecretSource, Security, Server
from emailsys.client.compose.message_builder import OutgoingMessage
from emailsys.client.fetch.fetcher import FetchOptions
from emailsys.client.trial.pop3 import try_pop3
from emailsys.client.trial.smtp import first_working_server, try_smtp
from emailsys.mail.address import parse
from tests.fakes.client.client_house import ClientHouse
from tests.live.programs.daemon import Daemon, User, shared

BODY = b"Subject: live\r\nMessage-ID: <live@example.test>\r\nDate: Mon, 2 Mar 2026 10:00:00 +0000\r\n\r\n.dot\r\n"


class MailClientTests(TestCase):
    """One daemon for all tests, an account for each."""

    timeout = 120

    def setUp(self) -> None:
        self.daemon: Daemon = shared(MailClientTests)
        self.user = self.daemon.user()
        self.client = ClientHouse(reactor, Path(tempfile.mkdtemp(prefix="emailsys-client-")))
        self.addCleanup(lambda: Deferred.fromCoroutine(self.client.close()))

    def account(self, user: User, security: Security, **options: Any) -> Account:
        ports = self.daemon.ports
        implicit = security is Security.TLS
        pop3 = Server(
            "localhost",
            ports["pop3s" if implicit else "pop3"],
            security,
            user.address,
            secret=SecretSource(SecretKind.FILE, value=user.password),
            ca_file=self.daemon.ca,
        )
        pop3 = replace(pop3, **options)
        smtp = replace(pop3, port=ports["submissions" if implicit else "submission"])
        return Account(user.name, parse(user.address), pop3=pop3, smtp=smtp)

    async def round_trip(self, security: Security) -> None:
        account = self.account(self.user, security)
        address = parse(self.user.address)
        octets = f"From: {address}\r\nTo: {address}\r\n".encode() + BODY
        message = OutgoingMessage(octets, address, (address,), "live@example.test", False, False)
        key = self.client.outbox.put(account.name, message)
        sent = await self.client.sender.send(account, key)
        self.assertIsNone(sent.problem)
        result = await deferToThread(self.client.fetcher.fetch, account, FetchOptions(keep=Keep(KeepKind.DELETE)))
        self.assertIsNone(result.problem)
        (fetched,) = self.client.messages(account.name)
        self.assertTrue(fetched.endswith(octets))
        self.assertEqual((result.deleted, result.on_server), (1, 0))

    async def test_a_message_goes_round_under_implicit_tls(self) -> None:
        await self.round_trip(Security.TLS)

    async def test_a_message_goes_round_under_starttls_and_stls(self) -> None:
        await self.round_trip(Security.STARTTLS)

    async def test_settings_that_hold_are_reported_with_what_the_servers_offer(self) -> None:
        account = self.account(self.user, Security.TLS)
        for result in (
            await try_pop3(reactor, account, self.client.secrets),
            await try_smtp(reactor, account, self.client.secrets),
        ):
            self.assertIsNone(result.problem)
            self.assertTrue(result.logged_in)
            self.assertTrue(result.tls.startswith("TLSv1."))
            self.assertIn("PIPELINING", result.offers)

    async def test_an_unknown_authority_is_refused_and_its_certificate_can_be_pinned(self) -> None:
        for security in (Security.TLS, Security.STARTTLS):
            account = self.account(self.user, security, ca_file=None)
            for attempt, name in ((try_pop3, "pop3"), (try_smtp, "smtp")):
                refused = await attempt(reactor, account, self.client.secrets)
                self.assertIn("not trusted", str(refused.problem))
                self.assertIn("pin", refused.advice)
                server = getattr(account, name)
                pinned = replace(account, **{name: replace(server, fingerprint=refused.fingerprint)})
                self.assertIsNone((await attempt(reactor, pinned, self.client.secrets)).problem)
                wrong = replace(account, **{name: replace(server, fingerprint="0" * 64)})
                self.assertIn("not the pinned one", str((await attempt(reactor, wrong, self.client.secrets)).problem))

    async def test_a_certificate_for_another_name_is_refused(self) -> None:
        account = self.account(self.user, Security.TLS, host="127.0.0.2")
        result = await try_pop3(reactor, account, self.client.secrets)
        self.assertIsNotNone(result.problem)

    async def test_a_wrong_password_is_reported_by_both_servers(self) -> None:
        wrong = SecretSource(SecretKind.FILE, value="wrong")
        account = self.account(self.user, Security.TLS, secret=wrong)
        for attempt in (try_pop3, try_smtp):
            result = await attempt(reactor, account, self.client.secrets)
            self.assertIn("password", result.advice)
            self.assertFalse(result.logged_in)

    async def test_servers_are_tried_until_one_answers(self) -> None:
        account = self.account(self.user, Security.TLS)
        assert account.pop3 is not None
        results = await first_working_server(
            reactor, "pop3", [replace(account.pop3, port=1), account.pop3, account.pop3]
        )
        self.assertEqual([result.problem is None for result in results], [False, True])

"""Our client against a real Postfix: STARTTLS, good and bad certificates, greylisting. Prints its banner."""

from __future__ import annotations

import unittest
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from emailsys import pki
from emailsys.config.settings import OutboundSettings
from emailsys.mail.next_hop import Host, NextHop, TLSPolicy
from emailsys.mail.transmission import Outcome, OutcomeKind, Transmission
from emailsys.net.outbound.pool import ConnectionPool
from emailsys.net.tls.client import client_tls
from tests.fakes.net.memory_hosts import pieces_of, quiet, transmission
from tests.live.programs.postfix import Postfix, why_not

reactor: Any = _reactor


@unittest.skipIf(bool(why_not()), why_not())
class PostfixTests(TestCase):
    """One Postfix for each test, with a service for each certificate."""

    timeout = 90

    def folder(self) -> Path:
        """A folder of the test's own, by its full name."""
        return Path(self.mktemp()).resolve()

    async def setUp(self) -> None:  # type: ignore[override]
        folder = self.folder()
        made = pki.ensure_development_ca(folder)
        services = {"good": (made.certificates[-1].chain, made.certificates[-1].key)}
        for variant in ("expired", "wrong-name", "untrusted"):
            issued = pki.make_variant(folder, variant)[-1]
            services[variant] = (issued.chain, issued.key)
        self.postfix = Postfix(reactor, services)
        self.addCleanup(lambda: Deferred.fromCoroutine(self.postfix.stop()))
        print(f"\n    peer: {await self.postfix.start()!r}", end=" ")
        self.pool = ConnectionPool(
            reactor,
            OutboundSettings(connections_per_host=4),
            "client.example",
            lambda expected: client_tls(expected, made.authority),
            quiet(),
        )
        self.addCleanup(lambda: Deferred.fromCoroutine(self.pool.close(1.0)))

    async def send(self, service: str, policy: TLSPolicy, message: Transmission | None = None) -> Sequence[Outcome]:
        """The outcomes for a message to one of its services."""
        port = self.postfix.ports[service]
        hop = NextHop("localhost", port, by_mx=False, tls=policy)
        return await self.pool.send(hop, Host("localhost", "127.0.0.1", port), message or transmission())

    async def test_good_and_bad_certificates(self) -> None:
        """Verified: only the good one. Required and opportunistic: any, by TLS."""
        [outcome] = await self.send("good", TLSPolicy.VERIFIED)
        self.assertEqual(outcome.kind, OutcomeKind.DELIVERED)
        self.assertIn("TLSv1.3", outcome.tls)
        self.assertRegex(outcome.reply.text, "queued as")
        words = {"expired": "expired on", "wrong-name": "is for wrong.example.test", "untrusted": "is not trusted"}
        for service, said in words.items():
            [outcome] = await self.send(service, TLSPolicy.VERIFIED)
            self.assertEqual((outcome.kind, outcome.reply.enhanced), (OutcomeKind.DELAYED, "4.7.5"))
            self.assertIn(said, outcome.reply.text)
            for policy in (TLSPolicy.REQUIRED, TLSPolicy.OPPORTUNISTIC):
                [outcome] = await self.send(service, policy)
                self.assertEqual(outcome.kind, OutcomeKind.DELIVERED)
                self.assertIn("TLSv1.3", outcome.tls)

    async def test_each_recipient_has_its_outcome(self) -> None:
        """Taken, greylisted, unknown, not relayed; and 8-bit, internationalized and large messages are taken."""
        names = ("bob@example.net", "grey@example.net", "nobody@example.net", "bob@elsewhere.example")
        outcomes = await self.send("good", TLSPolicy.OPPORTUNISTIC, transmission(*names, eight_bit=True))
        kinds = [OutcomeKind.DELIVERED, OutcomeKind.DELAYED, OutcomeKind.FAILED, OutcomeKind.FAILED]
        self.assertEqual([outcome.kind for outcome in outcomes], kinds)
        self.assertIn("greylisted", outcomes[1].reply.text)
        self.assertEqual(outcomes[2].reply.enhanced, "5.1.1")
        large = transmission(pieces=pieces_of(*[b".2345678\r\n" * 20000] * 20), body=b"x" * 4_000_000)
        for message in (transmission("bøb@example.net", smtputf8=True), large):
            [outcome] = await self.send("good", TLSPolicy.REQUIRED, message)
            self.assertEqual(outcome.kind, OutcomeKind.DELIVERED, outcome.reply)

    async def test_hundreds_of_messages_share_few_connections(self) -> None:
        """Each is queued once."""
        sends = [Deferred.fromCoroutine(self.send("good", TLSPolicy.OPPORTUNISTIC)) for _ in range(300)]
        outcomes = await gatherResults(sends)
        ids = {outcome.reply.text for each in outcomes for outcome in each}
        self.assertEqual(len(ids), 300)
        self.assertEqual(self.pool.telemetry.counters["outbound-connected"], 4)

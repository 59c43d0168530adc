"""Outbound delivery over real sockets, DNS and TLS on loopback: choice of the host, and reasons of failures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.trial.unittest import TestCase

from emailsys import pki
from emailsys.config.settings import OutboundSettings, OutboundTimeouts
from emailsys.delivery.relay import Relay
from emailsys.mail.next_hop import HostLogin, NextHop, TLSPolicy
from emailsys.mail.transmission import Outcome, OutcomeKind, Transmission
from emailsys.net.dns.name_servers import NameServers
from emailsys.net.dns.own_host import OwnHost
from emailsys.net.dns.resolver import Resolver
from emailsys.net.outbound.pool import ConnectionPool
from emailsys.net.tls.client import client_tls
from emailsys.net.tls.server import ServerTLS
from tests.fakes.net.loopback_host import LoopbackHost
from tests.fakes.net.memory_dns import Zone, ZoneServer
from tests.fakes.net.memory_hosts import BODY, quiet, transmission
from tests.fakes.net.tls_pipe import development_tls, served

reactor: Any = _reactor


class OutboundTests(TestCase):
    """Relay, resolver and connection pool together, with a real clock and real sockets."""

    def setUp(self) -> None:
        self.zone = Zone()
        port = reactor.listenUDP(0, ZoneServer(self.zone), "127.0.0.1")
        self.addCleanup(port.stopListening)
        self.name_servers = NameServers(reactor, [("127.0.0.1", port.getHost().port)])
        self.authority: Path | None = None
        self.relay = self.make_relay(OutboundSettings(allow_private=True))

    def make_relay(self, settings: OutboundSettings) -> Relay:
        """Return a relay that is put together as in the daemon."""
        pool = ConnectionPool(
            reactor,
            settings,
            "client.example",
            lambda expected: client_tls(expected, self.authority),
            quiet(),
        )
        self.addCleanup(pool.close, 1.0)
        own_host = OwnHost(["client.example"], [])
        resolver = Resolver(reactor, self.name_servers, settings, own_host, lambda hosts: None)
        return Relay(resolver, pool, settings, quiet())

    def listen(self, host: LoopbackHost, address: str = "127.0.0.1", port: int = 0) -> int:
        """Return the port of the host."""
        listening = reactor.listenTCP(port, host, interface=address)
        self.addCleanup(listening.stopListening)
        return int(listening.getHost().port)

    async def attempt(self, next_hop: NextHop, message: Transmission | None = None) -> Outcome:
        """Return the outcome of one recipient."""
        [outcome] = await self.relay.relay(next_hop, message or transmission())
        return outcome

    def served(self, variant: str = "") -> LoopbackHost:
        """Start a host with a certificate of the development CA for localhost, or with a faulty one."""
        folder = Path(self.mktemp())
        good, self.authority = development_tls(folder)
        if not variant:
            return LoopbackHost(good)
        issued = pki.make_variant(folder, variant)
        middle = pki.certificate_facts(issued[0].chain).not_after - timedelta(days=1)
        return LoopbackHost(ServerTLS(served(*issued), lambda: middle))

    async def test_mail_goes_to_the_host_that_dns_names(self) -> None:
        """The hosts come from MX, then A records. The message arrives octet for octet."""
        host = LoopbackHost()
        port = self.listen(host)
        self.zone.add("example.net", "MX", "10 mx.example.net")
        self.zone.add("mx.example.net", "A", "127.0.0.1")
        outcome = await self.attempt(NextHop("example.net", port))
        self.assertEqual((outcome.kind, outcome.reply.text), (OutcomeKind.DELIVERED, "taken"))
        self.assertEqual(outcome.remote, f"mx.example.net [127.0.0.1]:{port}")
        self.assertEqual(host.messages, [(BODY, False)])

    async def test_a_host_that_is_down_is_followed_by_the_next_in_order(self) -> None:
        """127.0.0.2 refuses connections, because no host listens there. 127.0.0.3 replies 4xx."""
        port = self.listen(LoopbackHost())
        later = LoopbackHost()
        later.replies["RCPT"] = "450 4.2.0 greylisted"
        self.listen(later, "127.0.0.3", port)
        for preference, address in ((10, "127.0.0.2"), (20, "127.0.0.3"), (30, "127.0.0.1")):
            self.zone.add("example.net", "MX", f"{preference} mx{preference}.example.net")
            self.zone.add(f"mx{preference}.example.net", "A", address)
        outcome = await self.attempt(NextHop("example.net", port))
        self.assertEqual((outcome.kind, outcome.remote[:4]), (OutcomeKind.DELIVERED, "mx30"))

    async def test_a_large_message_streams(self) -> None:
        """A message of 8 MiB is sent in pieces. Each of its lines begins with a dot."""
        host = LoopbackHost()
        piece = b".2345678\r\n" * 26214
        read = 0

        async def pieces() -> AsyncIterator[bytes]:
            nonlocal read
            for _ in range(32):
                read += 1
                yield piece

        message = transmission(pieces=pieces)
        outcome = await self.attempt(NextHop("[127.0.0.1]", self.listen(host)), message)
        self.assertEqual((outcome.kind, read), (OutcomeKind.DELIVERED, 32))
        [(body, _)] = host.messages
        self.assertEqual(body, piece * 32)

    async def test_a_verified_route_is_served_by_a_good_certificate(self) -> None:
        """The outcome has the TLS version."""
        host = self.served()
        hop = NextHop("localhost", self.listen(host), by_mx=False, tls=TLSPolicy.VERIFIED)
        self.zone.add("localhost", "A", "127.0.0.1")
        outcome = await self.attempt(hop)
        self.assertEqual(outcome.kind, OutcomeKind.DELIVERED)
        self.assertRegex(outcome.tls, r"TLSv1\.[23] \w+")
        self.assertEqual(host.messages, [(BODY, True)])

    async def _refused(self, variant: str, text: str) -> None:
        host = self.served(variant)
        hop = NextHop("localhost", self.listen(host), by_mx=False, tls=TLSPolicy.VERIFIED)
        outcome = await self.attempt(hop)
        self.assertEqual((outcome.kind, outcome.reply.enhanced), (OutcomeKind.DELAYED, "4.7.5"))
        self.assertIn(text, outcome.reply.text)
        self.assertEqual(host.messages, [])

    async def test_a_verified_route_waits_for_an_expired_certificate_to_be_renewed(self) -> None:
        """The reason has the date of expiry."""
        await self._refused("expired", "the certificate of localhost expired on ")

    async def test_a_verified_route_refuses_a_certificate_of_another_name(self) -> None:
        """The reason has the names in the certificate."""
        await self._refused("wrong-name", "the certificate of localhost is for wrong.example.test")

    async def test_a_verified_route_refuses_an_unknown_authority(self) -> None:
        """The reason names the problem of the authority."""
        await self._refused("untrusted", "an authority that nobody trusts")

    async def test_a_login_goes_to_no_host_whose_certificate_is_not_valid(self) -> None:
        """A password for one host would go to whoever answers in its place, whatever TLS policy the route has."""
        for tls in (TLSPolicy.REQUIRED, TLSPolicy.OPPORTUNISTIC):
            host = self.served("untrusted")
            hop = NextHop("localhost", self.listen(host), by_mx=False, tls=tls, login=HostLogin("we", "secret"))
            outcome = await self.attempt(hop)
            self.assertEqual((outcome.kind, outcome.reply.enhanced), (OutcomeKind.DELAYED, "4.7.5"))
            self.assertEqual([verb for verb in host.verbs if verb == "AUTH"], [])

    async def test_a_pinned_certificate_is_as_good_as_a_verified_one(self) -> None:
        """A host that has signed its own certificate gets the password, and another certificate gets nothing."""
        host = self.served("untrusted")
        host.replies.update(EHLO="250-loopback\r\n250-STARTTLS\r\n250 AUTH PLAIN", AUTH="235 2.7.0 welcome")
        port = self.listen(host)
        hop = NextHop("localhost", port, by_mx=False, tls=TLSPolicy.REQUIRED, login=HostLogin("we", "secret"))
        other = await self.attempt(replace(hop, certificate_fingerprint="0" * 64))
        self.assertEqual((other.kind, other.reply.enhanced), (OutcomeKind.DELAYED, "4.7.5"))
        self.assertEqual([verb for verb in host.verbs if verb == "AUTH"], [])
        fingerprint = other.reply.text.rpartition(" ")[2]
        outcome = await self.attempt(replace(hop, certificate_fingerprint=fingerprint))
        self.assertEqual((outcome.kind, host.messages), (OutcomeKind.DELIVERED, [(BODY, True)]))

    async def test_a_required_route_takes_any_certificate(self) -> None:
        """The route requires TLS, but no verified name."""
        host = self.served("expired")
        hop = NextHop("localhost", self.listen(host), by_mx=False, tls=TLSPolicy.REQUIRED)
        self.assertEqual((await self.attempt(hop)).kind, OutcomeKind.DELIVERED)
        self.assertEqual(host.messages, [(BODY, True)])

    async def test_a_host_that_speaks_tls_badly_gets_opportunistic_mail_in_the_clear(self) -> None:
        """Delivery in plaintext is better than no delivery (RFC 7435)."""
        host = LoopbackHost(offers_tls=True)
        outcome = await self.attempt(NextHop("[127.0.0.1]", self.listen(host)))
        self.assertEqual((outcome.kind, outcome.tls), (OutcomeKind.DELIVERED, ""))
        self.assertEqual(host.messages, [(BODY, False)])

    async def test_a_host_that_speaks_tls_badly_gets_no_mail_that_must_go_by_tls(self) -> None:
        """Mail on a route that requires TLS is never sent in plaintext."""
        host = LoopbackHost(offers_tls=True)
        outcome = await self.attempt(NextHop("[127.0.0.1]", self.listen(host), tls=TLSPolicy.REQUIRED))
        self.assertEqual((outcome.kind, outcome.reply.enhanced), (OutcomeKind.DELAYED, "4.7.5"))
        self.assertEqual(host.messages, [])

    async def test_implicit_tls_is_spoken_from_the_first_octet_on(self) -> None:
        """A smart host on port 465. A plaintext greeting there is not valid TLS."""
        host = LoopbackHost()
        outcome = await self.attempt(NextHop("[127.0.0.1]", self.listen(host), implicit_tls=True))
        self.assertEqual((outcome.kind, outcome.reply.enhanced), (OutcomeKind.DELAYED, "4.7.5"))

    async def test_a_host_that_drops_the_connection_behind_the_dot_leaves_doubt(self) -> None:
        """RFC 1047: no other host is tried."""
        host = LoopbackHost()
        host.replies["."] = "drop"
        outcome = await self.attempt(NextHop("[127.0.0.1]", self.listen(host)))
        self.assertEqual((outcome.kind, outcome.in_doubt), (OutcomeKind.DELAYED, True))

    async def test_a_host_that_accepts_and_never_answers_is_left_in_time(self) -> None:
        """Each step of the session has a time limit."""
        timeouts = OutboundTimeouts(greeting=0.05, command=0.05, data=0.05, final=0.05)
        self.relay = self.make_relay(OutboundSettings(timeouts=timeouts, allow_private=True))
        for verb in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "."):
            host = LoopbackHost()
            host.replies[verb] = "silence"
            outcome = await self.attempt(NextHop("[127.0.0.1]", self.listen(host)))
            self.assertEqual((outcome.kind, outcome.reply.enhanced), (OutcomeKind.DELAYED, "4.4.2"), verb)
            self.assertEqual(outcome.in_doubt, verb == ".")

    async def test_a_host_that_drops_the_connection_delays_at_each_step(self) -> None:
        """The reason names the step."""
        for verb, step in (("CONNECT", "greeting"), ("EHLO", "EHLO"), ("MAIL", "MAIL"), ("DATA", "")):
            host = LoopbackHost()
            host.replies[verb] = "drop"
            outcome = await self.attempt(NextHop("[127.0.0.1]", self.listen(host)))
            self.assertEqual(outcome.kind, OutcomeKind.DELAYED, verb)
            self.assertIn(step, outcome.reply.text)

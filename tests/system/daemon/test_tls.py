"""TLS over real sockets, end to end: verification by the client, session data on the server, and reload."""

from __future__ import annotations

from pathlib import Path

from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from emailsys import pki
from emailsys.net.tls.client import client_context
from emailsys.net.tls.peer import PeerCertificateError
from emailsys.net.tls.server import ServerTLS, describe
from tests.fakes.net.tls_house import TLSHouse
from tests.fakes.net.tls_pipe import served


@implementer(IHandshakeListener)
class Caller(Protocol):
    """A client that connects, begins TLS and verifies the server. `outcome` is the negotiated TLS, or a failure."""

    def __init__(self, host: str, ca_file: Path) -> None:
        self._context = client_context(host, ca_file)
        self.outcome: Deferred[str | None] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self._asked = 0

    def connectionMade(self) -> None:
        self.ask(b"HELO client\r\nSTARTTLS\r\n")

    def ask(self, octets: bytes) -> None:
        assert self.transport is not None
        self.transport.write(octets)

    def dataReceived(self, data: bytes) -> None:
        if b"220 2.0.0" in data:
            self.transport.startTLS(self._context)  # type: ignore[union-attr]

    def handshakeCompleted(self) -> None:
        self.outcome.callback(describe(self.transport))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.outcome.called:
            self.outcome.errback(reason)
        self.ended.callback(None)


class EndToEndTests(TestCase):
    """An SMTP server, and a client that verifies it."""

    def setUp(self) -> None:
        self.house = TLSHouse(reactor)
        self.addCleanup(self.house.close)

    async def call(self, host: str = "localhost") -> str | None:
        """Return the TLS that a client negotiates with the expected host name.

        @raise PeerCertificateError: the client refuses the certificate of the server.
        """
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", await self.house.port(self.house.receive))
        caller: Caller = await connectProtocol(endpoint, Caller(host, self.house.authority))
        negotiated = await caller.outcome
        assert caller.transport is not None
        caller.transport.loseConnection()
        await caller.ended
        return negotiated

    async def test_a_verifying_client_gets_tls_1_3(self) -> None:
        """The certificate is valid for the name and for the address."""
        for host in ("localhost", "127.0.0.1"):
            self.assertRegex(str(await self.call(host)), r"^TLSv1\.3 TLS_(AES|CHACHA20)")

    async def test_a_refused_certificate_is_the_reason_of_the_lost_connection(self) -> None:
        """The reason is a text for users, and the server's log has no traceback."""
        with self.assertRaisesRegex(PeerCertificateError, "the certificate of mail.example.test is for localhost"):
            await self.call("mail.example.test")
        for variant, words in (
            ("untrusted", "its issuer, an authority that nobody trusts, is not among the trusted authorities"),
            ("wrong-name", "the certificate of localhost is for wrong.example.test"),
        ):
            self.house.tls.reload(served(*pki.make_variant(self.house.authority.parent, variant)))
            with self.assertRaisesRegex(PeerCertificateError, words):
                await self.call()
        self.assertEqual(self.house.telemetry.exceptions, [])

    async def test_a_client_of_another_protocol_is_refused_and_the_log_says_what_it_offered(self) -> None:
        """On ports with TLS from the first octet, and after STARTTLS and STLS."""
        house = self.house
        browser = SSL.Context(SSL.TLS_METHOD)
        browser.set_alpn_protos([b"h2", b"http/1.1"])
        for factory, command, event in (
            (house.submission, b"", "smtp-connection-failed"),
            (house.receive, b"EHLO client\r\nSTARTTLS\r\n", "smtp-connection-failed"),
            (house.pop3, b"", "pop3-connection-failed"),
            (house.pop3, b"STLS\r\n", "pop3-connection-failed"),
        ):
            before = house.telemetry.counters[event]
            attacker = await house.attack(factory, implicit_tls=not command)
            if command:
                attacker.say(command)
                await attacker.hears(b"begin TLS" if factory is house.pop3 else b"220 2.0.0")
            attacker.begin_tls(context=browser)
            attacker.heard = b""
            self.assertNotIn(b"ready", await attacker.gone())
            await house.close()
            self.assertEqual(house.telemetry.counters[event], before + 1)
            failed = house.telemetry.of(event)[-1]
            self.assertIn("other protocols by ALPN: b'h2', b'http/1.1'", failed["why"])
            self.assertTrue(failed["ip"], event)
        self.assertEqual(house.telemetry.exceptions, [])

    async def test_a_reload_serves_the_next_connection(self) -> None:
        """The listening service keeps the same context object."""
        self.assertIsInstance(self.house.tls, ServerTLS)
        made = pki.ensure_development_ca(self.house.authority.parent, ["mail.example.test"])
        self.house.tls.reload(served(*made.certificates))
        self.assertIsNotNone(await self.call("mail.example.test"))

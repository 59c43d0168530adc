"""POP3 under real TLS: OpenSSL on both sides, octets carried in memory."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.internet import ssl
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.test.iosim import FakeTransport, IOPump, connect
from twisted.trial.unittest import SynchronousTestCase

from emailsys import pki
from tests.fakes.net.pop3_house import LOGIN, POP3House


class Listener(Protocol):
    """A client that keeps what it receives."""

    def __init__(self) -> None:
        self.heard = b""

    def dataReceived(self, data: bytes) -> None:
        self.heard += data


class TLSTests(SynchronousTestCase):
    """Port 995. STLS is shown by the dialogue scripts over real sockets."""

    def setUp(self) -> None:
        made = pki.ensure_development_ca(Path(self.mktemp()), ["localhost"], now=datetime.now(UTC))
        files = next(files for files in made.certificates if files.kind == "ecdsa")
        certificate = ssl.PrivateCertificate.loadPEM(files.key.read_bytes() + files.chain.read_bytes())
        self.context = certificate.options()
        self.house = POP3House()
        self.trust = ssl.optionsForClientTLS(
            "localhost", ssl.Certificate.loadPEM(made.authority.read_bytes()), extraCertificateOptions={}
        )

    def connect(self, tls: bool = True) -> tuple[Listener, IOPump]:
        """Returns a client of the TLS port, with or without TLS, and the pump that carries the octets."""
        client = Listener()
        clock = self.house.clock
        server = TLSMemoryBIOFactory(self.context, False, self.house.factory, clock).buildProtocol(None)
        outer: Any = client
        if tls:
            outer = TLSMemoryBIOFactory(self.trust, True, Factory.forProtocol(lambda: client), clock).buildProtocol(
                None
            )
        pump = connect(
            server,
            FakeTransport(server, isServer=True),
            outer,
            FakeTransport(outer, isServer=False),
            clock=clock,
        )
        self.carry(pump)
        return client, pump

    def talk(self, client: Listener, pump: IOPump, octets: bytes) -> None:
        assert client.transport is not None
        client.transport.write(octets)
        self.carry(pump)

    def carry(self, pump: IOPump) -> None:
        pump.flush()
        while any(call.getTime() <= self.house.clock.seconds() for call in self.house.clock.getDelayedCalls()):
            self.house.clock.advance(0)
            pump.flush()

    def test_a_big_message_comes_whole_over_implicit_tls(self) -> None:
        body = b"".join(b".%078d\r\n" % n for n in range(40_000))
        self.house.store.put(self.house.alice, body)
        client, pump = self.connect()
        self.assertEqual(client.heard, b"+OK mx.example.test POP3 server ready\r\n")
        self.talk(client, pump, LOGIN + b"RETR 4\r\nQUIT\r\n")
        wire = client.heard.partition(b"+OK %d octets\r\n" % len(body))[2]
        self.assertEqual(wire, body.replace(b".", b"..") + b".\r\n+OK bye, 0 messages removed\r\n")

    def test_the_login_is_given_the_negotiated_tls(self) -> None:
        client, pump = self.connect()
        self.talk(client, pump, LOGIN)
        self.assertRegex(self.house.logins.asked[1].tls, r"^TLSv1\.3 TLS_")
        self.assertIn("tls='TLSv1.3", "\n".join(self.house.log.lines))

    def test_a_peer_without_a_handshake_is_disconnected_in_time(self) -> None:
        silent, pump = self.connect(tls=False)
        self.assertEqual(len(self.house.factory.sessions), 1)
        self.house.clock.advance(31)
        pump.flush()
        self.assertEqual(len(self.house.factory.sessions), 0)
        self.assertEqual(silent.heard, b"")

    def test_plaintext_to_a_tls_port_is_never_acted_on(self) -> None:
        plain, pump = self.connect(tls=False)
        self.talk(plain, pump, LOGIN)
        self.assertEqual(self.house.logins.asked, [])
        self.assertEqual(len(self.house.factory.sessions), 0)
        self.assertNotIn(b"+OK", plain.heard)
        self.assertEqual(self.house.telemetry.counters["pop3-connection-failed"], 1)
        self.assertEqual(self.house.telemetry.counters["exception"], 0)

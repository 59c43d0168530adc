"""Octets that are encrypted and written at once, through the private names of Twisted's TLS layer."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet import ssl
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from emailsys import pki
from emailsys.upstream import encrypt_at_once, unsent
from tests.unit.test_upstream import CHANGED


class Descriptor(FileDescriptor):
    """Writes to a kernel that accepts everything."""

    TLS = False

    def __init__(self) -> None:
        super().__init__(MemoryReactorClock())
        self.connected = 1
        self.sent: list[bytes] = []

    @override
    def writeSomeData(self, data: bytes) -> int:
        self.sent.append(bytes(data))
        return len(data)


class StartedTLS:
    """What a transport is after `startTLS`."""

    TLS = True

    def __init__(self, layer: Any) -> None:
        self.protocol = layer


class EncryptionTests(SynchronousTestCase):
    """Octets for a TLS layer reach the socket at once, in their order."""

    def setUp(self) -> None:
        made = pki.ensure_development_ca(Path(self.mktemp()), ["localhost"], now=datetime.now(UTC))
        files = next(files for files in made.certificates if files.kind == "ecdsa")
        certificate = ssl.PrivateCertificate.loadPEM(files.key.read_bytes() + files.chain.read_bytes())
        self.certificate = certificate
        self.begin()
        self.shake_hands()

    def begin(self) -> None:
        """Connect a client to a new layer."""
        self.clock = Clock()
        factory: Any = TLSMemoryBIOFactory(self.certificate.options(), False, Factory.forProtocol(Protocol), self.clock)
        self.layer = factory.buildProtocol(None)
        self.socket = Descriptor()
        self.layer.makeConnection(self.socket)
        self.client = SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)
        self.client.set_connect_state()

    def shake_hands(self) -> None:
        """Do the handshake."""
        is_done = False
        while not is_done:
            with contextlib.suppress(SSL.WantReadError):
                self.client.do_handshake()
                is_done = True
            self.layer.dataReceived(self.client.bio_read(1 << 16))
            self.socket.doWrite()
            self.client.bio_write(self.taken())

    def taken(self) -> bytes:
        """Return what the socket was given since the last call."""
        octets, self.socket.sent = b"".join(self.socket.sent), []
        return octets

    def heard(self) -> bytes:
        """Return what the client can decrypt."""
        octets = self.taken()
        heard = b""
        if octets:
            self.client.bio_write(octets)
            with contextlib.suppress(SSL.WantReadError):
                while True:
                    heard += self.client.recv(1 << 16)
        return heard

    def test_a_reply_is_sent_without_another_turn(self) -> None:
        encrypt_at_once(self.layer, b"+OK\r\n")
        self.assertEqual(self.heard(), b"+OK\r\n", CHANGED)
        self.assertEqual((self.clock.getDelayedCalls(), unsent(self.layer)), ([], 0), CHANGED)

    def test_a_reply_of_several_records_is_sent_as_a_whole(self) -> None:
        octets = bytes(range(256)) * 400
        encrypt_at_once(StartedTLS(self.layer), octets)
        self.assertEqual(self.heard(), octets, CHANGED)

    def test_octets_never_overtake_those_that_the_layer_gathers(self) -> None:
        self.layer.write(b"first ")
        encrypt_at_once(self.layer, b"second")
        self.clock.advance(0)
        self.socket.doWrite()
        self.assertEqual(self.heard(), b"first second", CHANGED)

    def test_octets_never_overtake_those_that_openssl_has_not_accepted(self) -> None:
        self.begin()
        self.layer.write(b"first ")
        self.clock.advance(0)
        encrypt_at_once(self.layer, b"second")
        self.shake_hands()
        self.clock.advance(0)
        self.socket.doWrite()
        self.assertEqual(self.heard(), b"first second", CHANGED)

    def test_octets_for_a_connection_that_was_closed_are_dropped_as_in_the_layer(self) -> None:
        """They neither end it with an error of TLS before the peer has read what came before, nor raise anything."""
        encrypt_at_once(self.layer, b"bye")
        self.layer.loseConnection()
        encrypt_at_once(self.layer, b"late")
        self.clock.advance(0)
        self.socket.doWrite()
        self.assertFalse(self.socket.disconnecting, CHANGED)
        self.assertEqual(unsent(self.layer), 0)
        self.client.bio_write(self.taken())
        self.assertEqual(self.client.recv(1 << 16), b"bye")
        self.assertRaises(SSL.ZeroReturnError, self.client.recv, 1)
        self.layer.connectionLost(Failure(ConnectionDone()))
        encrypt_at_once(self.layer, b"late")
        self.assertEqual(self.socket.sent, [])

    def test_a_failure_of_openssl_ends_the_connection_as_in_the_layer(self) -> None:
        self.layer.getHandle().shutdown()
        encrypt_at_once(self.layer, b"lost")
        self.assertTrue(self.socket.disconnecting, CHANGED)
        self.assertEqual(self.socket.sent, [])

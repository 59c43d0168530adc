"""A client of a Twisted protocol in memory: no socket, and time only by its clock."""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet import error
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IProtocol,
    ISSLTransport,
    ITCPTransport,
    ITLSTransport,
)
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer

#: Addresses that a client may have: one from outside, and those of loopback.
STRANGER = IPv4Address("TCP", "192.0.2.7", 40000)
LOOPBACK = IPv4Address("TCP", "127.0.0.1", 40000)
LOOPBACK_6 = IPv6Address("TCP", "::1", 40000)


class MemoryHandle(SSL.Connection):
    """The OpenSSL connection of a TLS transport, with the methods that the server calls."""

    def __init__(self) -> None:
        """There is no connection behind it."""

    def get_protocol_version_name(self) -> str:
        return "TLSv1.3"

    def get_cipher_name(self) -> str:
        return "TLS_AES_256_GCM_SHA384"

    def get_group_name(self) -> str:
        return "X25519MLKEM768"

    def get_alpn_proto_negotiated(self) -> bytes:
        return b""

    def get_servername(self) -> bytes:
        return b"mx.example.test"

    def get_peer_cert_chain(self, **options: bool) -> None:
        return None

    def get_certificate(self, **options: bool) -> None:
        return None


@implementer(ITLSTransport, ITCPTransport)
class MemoryTransport(StringTransport):
    """A transport in memory that records the calls to it. TLS is only pretended: octets stay plain."""

    def __init__(self, peer: IAddress = STRANGER, tls: bool = False) -> None:
        super().__init__(hostAddress=IPv4Address("TCP", "192.0.2.1", 25), peerAddress=peer, lenient=True)
        self.aborted = False
        self.handshaking = False
        self.TLS = False
        if tls:
            self._begin_tls()

    def _begin_tls(self) -> None:
        self.TLS = True
        alsoProvides(self, ISSLTransport)

    def startTLS(self, contextFactory: Any, normal: bool = True) -> bool:  # type: ignore[override]
        self.handshaking = True
        self._begin_tls()
        return True

    def getHandle(self) -> MemoryHandle:
        return MemoryHandle()

    def getPeerCertificate(self) -> None:
        return None

    def abortConnection(self) -> None:
        self.aborted = True
        super().abortConnection()

    def loseWriteConnection(self) -> None:
        self.loseConnection()

    def getTcpNoDelay(self) -> bool:
        return True

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def getTcpKeepAlive(self) -> bool:
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None:
        pass


class MemoryPeer:
    """A client of a protocol in this process: no sockets, time only by its clock."""

    def __init__(
        self, protocol: IProtocol, clock: Clock | None = None, peer: IAddress = STRANGER, tls: bool = False
    ) -> None:
        """
        @param protocol: what a factory's `buildProtocol` returned. It gets its connection now.
        @param clock: the clock of the protocol; without one, no time passes.
        @param tls: the connection begins with TLS, as on ports 465 and 995.
        """
        self.transport = MemoryTransport(peer, tls)
        self.clock = clock if clock is not None else Clock()
        self.protocol = protocol
        self.lost = False
        self._unread = b""
        self._held: list[bytes] = []
        protocol.makeConnection(self.transport)
        if tls:
            self._handshake()
        self._settle()

    def _handshake(self) -> None:
        if IHandshakeListener.providedBy(self.protocol):
            self.protocol.handshakeCompleted()

    def _settle(self) -> None:
        while self._held and self.transport.producerState == "producing" and not self._closing:
            self.protocol.dataReceived(self._held.pop(0))
        while (producer := self.transport.producer) is not None and not self.transport.streaming:
            written = self.transport.io.tell()
            producer.resumeProducing()
            if self.transport.io.tell() == written and self.transport.producer is producer:
                break
        self._unread += self.transport.value()
        self.transport.clear()
        if self._closing and not self.lost:
            self.lose(error.ConnectionAborted() if self.transport.aborted else error.ConnectionDone())

    @property
    def _closing(self) -> bool:
        return bool(self.transport.disconnecting or self.transport.disconnected)

    def lose(self, reason: Exception | None = None) -> None:
        """Lose the connection, as the server sees it."""
        self.lost = True
        self.transport.connected = False
        self.protocol.connectionLost(Failure(reason if reason is not None else error.ConnectionLost()))

    def say(self, octets: bytes) -> None:
        """Send one segment. While the server has paused reading, it waits, as it would in the kernel."""
        if not self.lost:
            self._held.append(octets)
        self._settle()

    def heard(self) -> bytes:
        """Return all that the server has sent and the test has not read yet."""
        self._settle()
        unread, self._unread = self._unread, b""
        return unread

    async def send(self, octets: bytes) -> None:
        """Send one segment, as `say` does."""
        self.say(octets)

    async def line(self) -> bytes | None:
        """Return the next line of the server without CRLF; None if it has closed the connection.

        @raise AssertionError: the server is silent.
        """
        self._settle()
        line, found, rest = self._unread.partition(b"\r\n")
        if not found:
            if self.lost and not self._unread:
                return None
            raise AssertionError(f"the server is silent, after {self._unread!r}")
        self._unread = rest
        return line

    async def silence(self) -> None:
        """Check that the server has sent nothing."""
        self._settle()
        assert not self._unread, f"the server sent {self._unread!r}"

    async def hang_up(self) -> None:
        """Close the connection."""
        self.lose(error.ConnectionDone())
        self._unread = b""

    async def starttls(self) -> None:
        """Complete the TLS handshake, which is only pretended: octets stay plain."""
        assert self.transport.handshaking, "the server did not begin TLS"
        self.transport.handshaking = False
        self._handshake()

    async def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.clock.advance(seconds)
        self._settle()

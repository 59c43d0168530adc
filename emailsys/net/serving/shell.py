"""Base of the server protocols: forwards Twisted's callbacks to a Connection."""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from emailsys.net.serving.connection import Connection


@implementer(IHandshakeListener, IHalfCloseableProtocol)
class ConnectionShell(Protocol):
    """A protocol whose input, output and timing are those of `connection`.

    Place it before a protocol of twisted.mail among the base classes: that protocol's own input is then never reached.
    """

    #: The names by which ALPN knows the protocol (RFC 7301). A TLS client that offers other names only is refused.
    application_protocols: ClassVar[frozenset[bytes]] = frozenset()

    connection: Connection[Any]

    @override
    def connectionMade(self) -> None:
        self.connection.makeConnection(self.transport)

    @override
    def dataReceived(self, data: bytes) -> None:
        self.connection.dataReceived(data)

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.connection.connectionLost(reason)

    def handshakeCompleted(self) -> None:
        self.connection.handshakeCompleted()

    def readConnectionLost(self) -> None:
        """The peer has ended its side of the connection."""
        self.connection.readConnectionLost()

    def writeConnectionLost(self) -> None:
        """Our side of the connection has ended."""
        self.connection.writeConnectionLost()

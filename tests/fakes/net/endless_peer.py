"""A server of somebody else that never comes to an end: it answers for ever, or never."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer


@implementer(IPullProducer)
class EndlessAnswer(Protocol):
    """One connection: at the first octets, the beginning of an answer, then the same piece until it is lost."""

    def __init__(self, factory: EndlessPeer) -> None:
        self._factory = factory
        self._is_answering = False

    @override
    def dataReceived(self, data: bytes) -> None:
        if self._is_answering:
            return
        self._is_answering = True
        transport: Any = self.transport
        transport.write(self._factory.beginning)
        if self._factory.piece:
            transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """Write the piece once more."""
        transport: Any = self.transport
        self._factory.octets += len(self._factory.piece)
        transport.write(self._factory.piece)

    def stopProducing(self) -> None:
        """Do nothing: the connection is lost."""

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._factory.was_lost()


class EndlessPeer(Factory):
    """The server. It stops when a test ends."""

    def __init__(self, test: Any, reactor: Any, beginning: bytes, piece: bytes = b"") -> None:
        """@param piece: what follows for ever; b"" if nothing does."""
        self.beginning, self.piece = beginning, piece
        #: Octets that were written in pieces.
        self.octets = 0
        #: Fires when a connection was lost.
        self.lost: Deferred[None] = Deferred()
        listening = reactor.listenTCP(0, self, interface="127.0.0.1")
        test.addCleanup(listening.stopListening)
        self.port: int = listening.getHost().port

    @override
    def buildProtocol(self, addr: Any) -> EndlessAnswer:
        return EndlessAnswer(self)

    def was_lost(self) -> None:
        """Note that a connection was lost."""
        if not self.lost.called:
            self.lost.callback(None)

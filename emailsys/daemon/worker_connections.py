"""Connections from the daemon to a worker: accepted here, passed on as open descriptors, and adopted there."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from emailsys.platforms.descriptors import take_connection
from emailsys.supervisor import Bound
from emailsys.telemetry import Telemetry

# Connections that are accepted, or adopted, in one turn of the reactor. Those who are connected get the next turn.
_AT_ONCE: Final = 50
# Seconds until the next accept() after one has failed.
_ACCEPT_AGAIN_AFTER: Final = 1.0
# Octets of the words that go with a descriptor: a service and an IP address.
_MAX_WORDS: Final = 256


@implementer(IReadDescriptor)
class Acceptor:
    """Accepts the connections of a listening socket.

    @param accepted: called with the service, the connection and the IP address of the client; it closes the connection.
    """

    def __init__(
        self,
        reactor: Any,
        bound: Bound,
        accepted: Callable[[str, socket.socket, str], None],
        telemetry: Telemetry,
    ) -> None:
        self._reactor = reactor
        self._bound = bound
        self._accepted = accepted
        self._telemetry = telemetry
        self._is_listening = False

    def start(self) -> None:
        """Start to accept connections."""
        self._is_listening = True
        self._reactor.addReader(self)

    def stopListening(self) -> None:
        """Stop accepting. The socket stays open."""
        if self._is_listening:
            self._is_listening = False
            self._reactor.removeReader(self)

    def fileno(self) -> int:
        return self._bound.socket.fileno()

    def doRead(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, address = self._bound.socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError:
                # Usually for lack of descriptors: the reactor would call again at once.
                self._reactor.removeReader(self)
                self._reactor.callLater(_ACCEPT_AGAIN_AFTER, self._again)
                return
            connection.setblocking(False)
            try:
                self._accepted(self._bound.service, connection, _host(address))
            except Exception:
                # It costs this connection: the reactor would never call again if it saw the exception.
                connection.close()
                self._telemetry.exception("worker-exception", Failure())

    def _again(self) -> None:
        if self._is_listening:
            self._reactor.addReader(self)

    def connectionLost(self, reason: Failure) -> None:
        self.stopListening()

    def logPrefix(self) -> str:
        return "acceptor"


def _host(address: Any) -> str:
    """Return the IP address as Twisted names it in a session: a link-local one with its interface."""
    if len(address) == 2:
        return str(address[0])
    return socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]


@implementer(IReadDescriptor)
class Receiver:
    """Takes the connections that the daemon passes on.

    @param took: called with the service, the IP address of the client and the connection, None if it was lost; it
        closes the connection.
    @param ended: called when no more come.
    """

    def __init__(
        self,
        reactor: Any,
        channel: socket.socket,
        took: Callable[[str, str, socket.socket | None], None],
        ended: Callable[[], None],
        telemetry: Telemetry,
    ) -> None:
        self._reactor = reactor
        self._channel = channel
        self._took = took
        self._ended = ended
        self._telemetry = telemetry

    def start(self) -> None:
        """Start to take connections."""
        self._reactor.addReader(self)

    def fileno(self) -> int:
        return self._channel.fileno()

    def doRead(self) -> None:
        for _ in range(_AT_ONCE):
            connection = None
            try:
                words, connection = take_connection(self._channel, _MAX_WORDS)
            except BlockingIOError:
                return
            except OSError:
                words = b""
            if not words:
                self._reactor.removeReader(self)
                self._channel.close()
                self._ended()
                return
            service, ip = words.decode().split(" ")
            try:
                self._took(service, ip, connection)
            except Exception:
                if connection is not None:
                    connection.close()
                self._telemetry.exception("worker-exception", Failure())

    def connectionLost(self, reason: Failure) -> None:
        self._reactor.removeReader(self)

    def logPrefix(self) -> str:
        return "receiver"

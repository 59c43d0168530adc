"""A network in memory: a reactor whose TCP connections lead to factories and whose name server is a zone, by one clock.

Octets pass in turns of the clock, as over sockets. TLS is taken on trust: it comes about once both ends began it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.names import dns
from twisted.python.failure import Failure

from emailsys.testing.memory_peer import MemoryTransport
from tests.fakes.net.memory_dns import Zone

NAME_SERVER = ("192.0.2.53", 53)


class End(MemoryTransport):
    """One end of a connection."""

    def __init__(self, net: MemoryNet, own: IPv4Address, peer: IPv4Address) -> None:
        super().__init__(peer)
        self._net = net
        self._own = own
        self._waiting: deque[bytes] = deque()
        self._goodbye: BaseException | None = None
        self.other: End
        self.connection: Any = None
        self.over = False

    def getHost(self) -> IPv4Address:
        return self._own

    def write(self, data: bytes) -> None:
        # What is said behind loseConnection goes nowhere.
        if data and not self.disconnecting and not self.over:
            self.other.arrive(data)

    def arrive(self, octets: bytes) -> None:
        """Octets for this end."""
        self._waiting.append(octets)
        self._net.soon(self._deliver)

    def _deliver(self) -> None:
        while self._waiting and self.producerState == "producing" and not self.over:
            self.connection.dataReceived(self._waiting.popleft())
        if self._goodbye is not None and not self._waiting:
            self.lose(self._goodbye)

    def resumeProducing(self) -> None:
        super().resumeProducing()
        self._net.soon(self._deliver)

    def startTLS(self, contextFactory: Any, normal: bool = True) -> bool:
        super().startTLS(contextFactory, normal)
        if self.other.handshaking:
            for end in (self, self.other):
                end.handshaking = False
                self._net.soon(end.shake)
        return True

    def shake(self) -> None:
        """TLS has come about."""
        if not self.over:
            self.connection.handshakeCompleted()

    def loseConnection(self) -> None:
        if not self.disconnecting:
            self.disconnecting = True
            self.other.hear_goodbye(error.ConnectionDone())
            self._net.soon(self.lose, error.ConnectionDone())

    def abortConnection(self) -> None:
        self.other.hear_goodbye(error.ConnectionLost())
        self._net.soon(self.lose, error.ConnectionAborted())

    def hear_goodbye(self, reason: BaseException) -> None:
        """The other end is closed; what it sent before still arrives."""
        self._goodbye = reason
        self._net.soon(self._deliver)

    def lose(self, reason: BaseException) -> None:
        """The connection is gone at this end."""
        if not self.over:
            self.over = True
            self.connected = False
            self.connection.connectionLost(Failure(reason))
            self.other.hear_goodbye(error.ConnectionDone())


class _Datagrams:
    """The socket of a resolver."""

    def __init__(self, net: MemoryNet, protocol: Any) -> None:
        self._net = net
        self._protocol = protocol
        self._open = True

    def write(self, datagram: bytes, addr: tuple[str, int] | None = None) -> None:
        query = dns.Message()
        query.fromStr(datagram)
        answer = self._net.zone.answer(query) if addr == NAME_SERVER else None
        if answer is not None:
            self._net.soon(self._receive, self._net.zone.bend(answer.toStr()))

    def _receive(self, octets: bytes) -> None:
        if self._open:
            self._protocol.datagramReceived(octets, NAME_SERVER)

    def stopListening(self) -> None:
        if self._open:
            self._open = False
            self._protocol.doStop()


class Threadless:
    """In place of a thread pool: calls are made at once."""

    def callInThreadWithCallback(self, onResult: Callable[[bool, Any], object], func: Callable[[], Any]) -> None:
        """As thread pools do. No function that it gets fails."""
        onResult(True, func())


class MemoryNet(Clock):
    """Hosts by address and port; `zone` is what the name server at NAME_SERVER knows.

    To a host in `silent` no packet comes through; all other addresses refuse connections.
    """

    def __init__(self) -> None:
        super().__init__()
        self.zone = Zone()
        self.hosts: dict[tuple[str, int], Any] = {}
        self.silent: set[str] = set()
        self.connections = 0

    def listen(self, address: str, factory: Any, port: int = 25) -> None:
        """A factory takes what comes to an address."""
        self.hosts[address, port] = factory

    def getThreadPool(self) -> Threadless:
        """As reactors do."""
        return Threadless()

    def callFromThread(self, callable: Callable[..., object], *args: object) -> None:
        """As reactors do, at once."""
        callable(*args)

    def soon(self, call: Callable[..., Any], *arguments: Any) -> None:
        """In the clock's next turn."""
        self.callLater(0, call, *arguments)

    def settle(self) -> None:
        """Let happen what happens at this moment."""
        self.advance(0)

    def pass_time(self, seconds: float) -> None:
        """Go from one thing that happens to the next, for so long."""
        end = self.seconds() + seconds
        while self.calls and self.calls[0].getTime() <= end:
            self.advance(max(self.calls[0].getTime() - self.seconds(), 0))
        self.advance(end - self.seconds())

    def connectTCP(self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None) -> None:
        """As reactors do."""
        if host in self.silent:
            self.callLater(timeout, factory.clientConnectionFailed, None, Failure(error.TimeoutError()))
        else:
            self.soon(self._connect, host, port, factory)

    def _connect(self, host: str, port: int, factory: Any) -> None:
        listening = self.hosts.get((host, port))
        if listening is None:
            factory.clientConnectionFailed(None, Failure(error.ConnectionRefusedError()))
            return
        self.connections += 1
        here, there = IPv4Address("TCP", "192.0.2.200", 40000 + self.connections), IPv4Address("TCP", host, port)
        client, server = End(self, here, there), End(self, there, here)
        client.other, server.other = server, client
        server.connection, client.connection = listening.buildProtocol(here), factory.buildProtocol(there)
        server.connection.makeConnection(server)
        client.connection.makeConnection(client)

    def listenUDP(self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192) -> Any:
        """A socket of the resolver."""
        socket = _Datagrams(self, protocol)
        protocol.makeConnection(socket)
        return socket

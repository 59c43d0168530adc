"""Other hosts in memory: a pool whose connections a test answers line by line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import ILogObserver, LogEvent, Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from emailsys.config.settings import OutboundSettings
from emailsys.interfaces.wiretap import IWiretap
from emailsys.mail.address import parse
from emailsys.mail.dsn_request import (
    MessageRequest,
    RecipientRequest,
    parse_envid,
    parse_notify,
    parse_orcpt,
    parse_ret,
)
from emailsys.mail.envelope import BodyType, MailParameters
from emailsys.mail.next_hop import ExpectedTLS, Host, NextHop
from emailsys.mail.transmission import Forward, Outcome, Transmission
from emailsys.net.outbound.connection import TLSFor
from emailsys.net.outbound.pool import ConnectionPool
from emailsys.net.tls.server import TLSConfigError
from emailsys.telemetry import Telemetry
from emailsys.testing.memory_peer import MemoryTransport

BODY = b"Subject: a test\r\n\r\n.dotted\r\nlast line\r\n"
HOP = NextHop("example.net")
HOST = Host("mx.example.net", "192.0.2.25")


@implementer(ILogObserver)
class _Nowhere:
    def __call__(self, event: LogEvent) -> None:
        """Nothing is kept."""


_nowhere = _Nowhere()


def quiet() -> Telemetry:
    """A telemetry that logs nowhere."""
    return Telemetry(Logger(namespace="test", observer=_nowhere))


def pieces_of(*pieces: bytes, fail: Exception | None = None) -> Callable[[], AsyncIterator[bytes]]:
    """A body in those pieces, and what is raised behind the last."""

    async def read() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece
        if fail is not None:
            raise fail

    return read


def transmission(
    *recipients: str,
    sender: str | None = "alice@example.test",
    queue_id: str = "Q1",
    body: bytes = BODY,
    eight_bit: bool = False,
    smtputf8: bool = False,
    ret: str = "",
    envid: str = "",
    notify: str = "",
    orcpt: str = "",
    pieces: Callable[[], AsyncIterator[bytes]] | None = None,
) -> Transmission:
    """A message to those, or to bob@example.net. DSN parameters are given as they stand in a command."""
    asked = RecipientRequest(parse_notify(notify) if notify else None, parse_orcpt(orcpt) if orcpt else None)
    return Transmission(
        queue_id=queue_id,
        reverse_path=None if sender is None else parse(sender),
        recipients=tuple(Forward(parse(each), asked) for each in recipients or ("bob@example.net",)),
        octets=len(body),
        pieces=pieces or pieces_of(body),
        parameters=MailParameters(
            BodyType.EIGHT_BIT_MIME if eight_bit else BodyType.SEVEN_BIT,
            smtputf8,
            MessageRequest(parse_ret(ret) if ret else None, parse_envid(envid) if envid else None),
        ),
    )


class MemoryServer:
    """The far end of a connection that our client made."""

    def __init__(self, client: Any, clock: Clock) -> None:
        self.client = client
        self.clock = clock
        self.transport = MemoryTransport(IPv4Address("TCP", "192.0.2.25", 25))
        self.lost = False
        self._unread = b""
        client.makeConnection(self.transport)
        #: Whom the transport asks to pause.
        self.producer: Any = self.transport.producer
        self.settle()

    def settle(self) -> None:
        """Read what the client sent, and close where it closed."""
        self._unread += self.transport.value()
        self.transport.clear()
        if (self.transport.disconnecting or self.transport.disconnected) and not self.lost:
            self.lose(error.ConnectionDone())

    def lose(self, reason: Exception) -> None:
        """The connection is gone."""
        self.lost = True
        self.transport.connected = False
        self.client.connectionLost(Failure(reason))

    def say(self, octets: bytes) -> None:
        """Send octets to the client."""
        if not self.lost:
            self.client.dataReceived(octets)
        self.settle()

    def reply(self, *lines: str) -> None:
        """Send lines."""
        self.say("".join(f"{line}\r\n" for line in lines).encode())

    def heard(self) -> bytes:
        """All that the client sent and nobody has read."""
        self.settle()
        unread, self._unread = self._unread, b""
        return unread

    def line(self) -> bytes | None:
        """The client's next line; None once it has closed."""
        self.settle()
        line, found, rest = self._unread.partition(b"\r\n")
        if not found:
            if self.lost and not self._unread:
                return None
            raise AssertionError(f"the client is silent, after {self._unread!r}")
        self._unread = rest
        return line

    def handshake(self) -> None:
        """TLS comes about."""
        assert self.transport.handshaking, "the client did not begin TLS"
        self.transport.handshaking = False
        self.client.handshakeCompleted()
        self.settle()


class MemoryHosts:
    """ConnectionPool over a reactor in memory. `tls` notes the names and demands of verification of each handshake."""

    def __init__(self, settings: OutboundSettings | None = None, wiretap: IWiretap | None = None) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.tls: list[tuple[str, bool]] = []
        #: Whether the last handshake offered X25519 only.
        self.x25519_only = False
        self.settings = settings or OutboundSettings()
        self.telemetry = quiet()
        self.pool = ConnectionPool(
            self.reactor, self.settings, "client.example", self._tls_for, self.telemetry, wiretap
        )
        self._taken = 0

    @property
    def _tls_for(self) -> TLSFor:
        def tls_for(expected: ExpectedTLS) -> Any:
            if "_" in expected.name:
                raise TLSConfigError(f"{expected.name!r} is not the name of a server")
            self.tls.append((expected.name, expected.is_verified))
            self.x25519_only = expected.x25519_only
            return object()

        return tls_for

    def send(self, message: Transmission, next_hop: NextHop = HOP, host: Host = HOST) -> Deferred[Sequence[Outcome]]:
        """Ask the pool."""
        return Deferred.fromCoroutine(self.pool.send(next_hop, host, message))

    @property
    def attempts(self) -> int:
        """How many connections were asked for and neither taken nor refused yet."""
        return len(self.reactor.tcpClients) - self._taken

    def _next(self) -> Any:
        attempt = self.reactor.tcpClients[self._taken]
        self._taken += 1
        return attempt[2]

    def connect(self) -> MemoryServer:
        """The next connection that was asked for comes about."""
        factory = self._next()
        return MemoryServer(factory.buildProtocol(None), self.reactor)

    def refuse(self, reason: Exception | None = None) -> None:
        """The next connection that was asked for does not."""
        factory = self._next()
        factory.clientConnectionFailed(None, Failure(reason or error.ConnectionRefusedError()))


EHLO = ("250-mx.example.net", "250-PIPELINING", "250 8BITMIME")
CHUNKING = ("250-mx.example.net", "250-PIPELINING", "250 CHUNKING")


def greet(server: MemoryServer, ehlo: Sequence[str] = EHLO) -> None:
    """Greeting and EHLO; what the client says to that is left to be read."""
    server.reply("220 mx.example.net")
    assert server.line() == b"EHLO client.example"
    server.reply(*ehlo)


def take(server: MemoryServer, final: str = "250 taken") -> bytes:
    """Take one message for one recipient, by DATA; what was said behind the dot."""
    heard = server.heard()
    assert heard.endswith(b"DATA\r\n"), heard
    server.reply("250 ok", "250 ok", "354 go")
    body, dot, rest = server.heard().partition(b"\r\n.\r\n")
    assert dot, body
    server.reply(final)
    return rest

"""Webhooks that answer for ever, slowly or with a redirection: the attempt ends, and no turn of the reactor is long."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorPluggableNameResolver, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from typing_extensions import override
from zope.interface import implementer

from emailsys.config.settings import OutboundSettings
from emailsys.mail.next_hop import NextHop
from emailsys.mail.transmission import Outcome
from emailsys.mail.webhook import Webhook
from emailsys.net.outbound.webhook import WebhookRelay
from tests.fakes.net.endless_peer import EndlessPeer
from tests.fakes.net.memory_hosts import quiet, transmission
from tests.fakes.reactor_turns import LONGEST, Turns

reactor: Any = _reactor

LONG = 65_536


@implementer(IReactorTime, IReactorPluggableNameResolver)
class StoppedReactor:
    """The reactor of the test with a clock that stands still."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.callLater = self.clock.callLater
        self.seconds = self.clock.seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)


class WebhookAnswers(TestCase):
    def setUp(self) -> None:
        self.reactor = StoppedReactor()
        self.relay = WebhookRelay(self.reactor, OutboundSettings(), quiet(), lambda: datetime(2026, 11, 30, tzinfo=UTC))
        self.addCleanup(lambda: Deferred.fromCoroutine(self.relay.close()))
        self.turns = Turns(reactor)
        self.turns.begin()
        self.addCleanup(self.turns.end)

    async def send(self, port: int) -> Outcome:
        webhook = Webhook(f"http://127.0.0.1:{port}/mail", "")
        [outcome] = await self.relay.relay(NextHop(webhook.host, webhook=webhook), transmission())
        return outcome

    async def test_a_header_section_without_end_ends_the_attempt(self) -> None:
        """Nothing but the connection's end stops the other side: no clock does."""
        for piece in (b"X-More: 1\r\n" * 6_000, b"x" * LONG, b" folded\r\n" * 8_000):
            peer = EndlessPeer(self, reactor, b"HTTP/1.1 200 OK\r\nX: y\r\n", piece)
            outcome = await self.send(peer.port)
            self.assertEqual(
                (outcome.kind.value, outcome.in_doubt, outcome.route_at_fault), ("delayed", True, True), outcome
            )
            await peer.lost
        self.assertLess(self.turns.longest, LONGEST)

    async def test_informational_answers_without_end_end_the_attempt(self) -> None:
        peer = EndlessPeer(self, reactor, b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2_000)
        outcome = await self.send(peer.port)
        self.assertEqual((outcome.kind.value, outcome.in_doubt), ("delayed", True))
        self.assertIn("its answer has no end within 8192 octets", outcome.reply.text)
        await peer.lost
        self.assertLess(self.turns.longest, LONGEST)

    async def test_of_a_body_without_end_only_the_status_counts(self) -> None:
        """The outcome does not wait for the body, and the connection does not live on for it."""
        chunk = b"%x\r\n%b\r\n" % (LONG, b"x" * LONG)
        for head, piece in (
            (b"Content-Length: 10000000000\r\n\r\n", b"x" * LONG),
            (b"Transfer-Encoding: chunked\r\n\r\n", chunk),
            (b"Connection: close\r\n\r\n", b"x" * LONG),
        ):
            peer = EndlessPeer(self, reactor, b"HTTP/1.1 200 OK\r\n" + head, piece)
            self.assertEqual((await self.send(peer.port)).kind.value, "delivered")
            await peer.lost
        self.assertLess(self.turns.longest, LONGEST)

    async def test_what_comes_octet_by_octet_wins_no_time(self) -> None:
        """Sixty seconds after the request, whatever has come of the answer; and the same for its body."""
        head = b"HTTP/1.1 200 OK\r\n"
        for beginning, is_answered in ((head, False), (head + b"Content-Length: 9999\r\n\r\n", True)):
            peer = Trickle(beginning)
            listening = reactor.listenTCP(0, peer, interface="127.0.0.1")
            self.addCleanup(listening.stopListening)
            attempt = Deferred.fromCoroutine(self.send(listening.getHost().port))
            await peer.asked
            if is_answered:
                self.assertEqual((await attempt).kind.value, "delivered")
            self.reactor.clock.advance(40)
            await peer.writes(20)
            self.reactor.clock.advance(20)
            if not is_answered:
                self.assertIn("it did not answer within 60 s", (await attempt).reply.text)
            await peer.lost

    async def test_no_redirection_is_followed(self) -> None:
        """It could lead to a service that only this machine may reach."""
        private = Counting()
        listening = reactor.listenTCP(0, private, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        target = b"http://127.0.0.1:%d/admin" % listening.getHost().port
        for status in (301, 302, 303, 307, 308):
            answer = b"HTTP/1.1 %d Elsewhere\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % (status, target)
            outcome = await self.send(EndlessPeer(self, reactor, answer).port)
            self.assertEqual(outcome.kind.value, "delayed")
            self.assertIn(f"answered {status}", outcome.reply.text)
        self.assertEqual(private.connections, 0)


class Trickle(Factory):
    """Answers one request octet by octet, with a turn of the reactor after each."""

    def __init__(self, beginning: bytes) -> None:
        self.beginning = beginning
        #: Fires when the request has come and the beginning of the answer is written.
        self.asked: Deferred[None] = Deferred()
        self.lost: Deferred[None] = Deferred()
        self.transport: Any = None

    @override
    def buildProtocol(self, addr: Any) -> Protocol:
        return TrickleProtocol(self)

    async def writes(self, count: int) -> None:
        """Write some more octets."""
        for _ in range(count):
            self.transport.write(b"x")
            await deferLater(reactor, 0)


class TrickleProtocol(Protocol):
    def __init__(self, factory: Trickle) -> None:
        self._trickle = factory
        self._request = b""

    @override
    def dataReceived(self, data: bytes) -> None:
        self._request += data
        # The last line of a form.
        if self._request.endswith(b"--\r\n") and not self._trickle.asked.called:
            transport: Any = self.transport
            self._trickle.transport = transport
            transport.write(self._trickle.beginning)
            self._trickle.asked.callback(None)

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._trickle.lost.callback(None)


class Counting(Factory):
    """Counts connections, and ends them."""

    connections = 0

    @override
    def buildProtocol(self, addr: Any) -> None:
        self.connections += 1

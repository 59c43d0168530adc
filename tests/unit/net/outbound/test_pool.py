"""Outbound connections are cancelled, shared, kept idle and closed."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Sequence
from typing import Any

from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from emailsys.config.settings import OutboundSettings
from emailsys.interfaces import IConnectionPool
from emailsys.mail.next_hop import Host, NextHop, TLSPolicy
from emailsys.mail.transmission import Outcome, OutcomeKind
from tests.fakes.net.memory_hosts import (
    CHUNKING,
    HOP,
    HOST,
    MemoryHosts,
    greet,
    pieces_of,
    take,
    transmission,
)


class ConnectionPoolTests(SynchronousTestCase):
    """A ConnectionPool over a reactor in memory."""

    def setUp(self) -> None:
        self.hosts = MemoryHosts()

    def outcomes(self, sent: Deferred[Sequence[Outcome]]) -> list[tuple[OutcomeKind, int]]:
        """What was decided by now."""
        return [(outcome.kind, outcome.reply.code) for outcome in self.successResultOf(sent)]

    def test_it_implements_the_interface_of_the_pool(self) -> None:
        """The seam of emailsys.interfaces."""
        verifyObject(IConnectionPool, self.hosts.pool)

    def test_a_store_that_is_slow_while_the_host_goes_leaves_nothing_open(self) -> None:
        """The body is closed by whoever reads it, when the store answers."""
        slow: Deferred[None] = Deferred()
        closed: list[bool] = []

        async def pieces() -> AsyncIterator[bytes]:
            try:
                yield b"a"
                yield b"b"
                await slow
                yield b"c"
            finally:
                closed.append(True)

        sent = self.hosts.send(transmission(pieces=pieces))
        server = self.hosts.connect()
        greet(server)
        server.heard()
        server.reply("250 ok", "250 ok", "354 go")
        server.lose(error.ConnectionLost())
        self.assertEqual(self.outcomes(sent), [(OutcomeKind.DELAYED, 451)])
        self.assertEqual(closed, [])
        slow.callback(None)
        self.assertEqual(closed, [True])

    def test_an_idle_connection_that_the_host_closed_meanwhile_leaves_no_doubt(self) -> None:
        """The body went with no MAIL; the message goes by another connection."""
        first = self.hosts.send(transmission())
        server = self.hosts.connect()
        greet(server, CHUNKING)
        self.assertIn(b"BDAT", server.heard())
        server.reply("250 ok", "250 ok", "250 taken")
        self.assertEqual(self.outcomes(first), [(OutcomeKind.DELIVERED, 250)])
        second = self.hosts.send(transmission())
        self.assertNotIn(b"BDAT", server.heard())
        server.lose(error.ConnectionDone())
        self.assertNoResult(second)
        greet(self.hosts.connect())

    def test_a_message_that_is_cancelled_while_it_waits_is_never_sent(self) -> None:
        """It leaves no trace on the connection."""
        self.hosts = MemoryHosts(OutboundSettings(connections_per_host=1))
        senders = ("s0@x.test", "s1@x.test", "s2@x.test")
        first, second, third = (self.hosts.send(transmission(sender=sender)) for sender in senders)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        server = self.hosts.connect()
        greet(server)
        self.assertIn(b"<s2@x.test>", take(server))
        self.assertEqual(self.outcomes(first), [(OutcomeKind.DELIVERED, 250)])
        third.cancel()
        self.failureResultOf(third, CancelledError)
        self.assertTrue(server.transport.aborted)

    def test_a_cancelled_message_that_was_read_ahead_is_dropped(self) -> None:
        """Its body was loaded, its MAIL was not sent."""
        self.hosts = MemoryHosts(OutboundSettings(connections_per_host=1))
        first = self.hosts.send(transmission())
        second = self.hosts.send(transmission(pieces=pieces_of(b"a", b"b", b"c")))
        server = self.hosts.connect()
        greet(server)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        self.assertEqual(take(server), b"")
        self.assertEqual(self.outcomes(first), [(OutcomeKind.DELIVERED, 250)])

    def test_many_messages_open_connections_up_to_the_limit(self) -> None:
        """Each takes in turn what waits."""
        self.hosts = MemoryHosts(OutboundSettings(connections_per_host=2))
        sends = [self.hosts.send(transmission(queue_id=f"Q{n}")) for n in range(5)]
        self.assertEqual(self.hosts.attempts, 2)
        servers = [self.hosts.connect(), self.hosts.connect()]
        for server in servers:
            greet(server)
        for _ in range(3):
            for server in servers:
                if server.transport.value() or server._unread:
                    rest = take(server)
                    server._unread = rest + server._unread
        self.assertEqual([self.outcomes(sent) for sent in sends], [[(OutcomeKind.DELIVERED, 250)]] * 5)
        self.assertEqual(self.hosts.attempts, 0)

    def test_a_refused_connection_does_not_fail_what_another_can_take(self) -> None:
        """A host with a limit on connections refuses the second one."""
        sends = [self.hosts.send(transmission(queue_id=f"Q{n}")) for n in range(2)]
        server = self.hosts.connect()
        greet(server)
        self.hosts.refuse()
        server._unread = take(server) + server._unread
        take(server)
        self.assertEqual([self.outcomes(sent) for sent in sends], [[(OutcomeKind.DELIVERED, 250)]] * 2)

    def test_a_host_that_cannot_be_reached_delays_all_that_wait_for_it(self) -> None:
        """With the reason, and as the host's fault."""
        sends = [self.hosts.send(transmission(queue_id=f"Q{n}")) for n in range(2)]
        self.hosts.refuse(error.TimeoutError())
        self.hosts.refuse(error.NoRouteError(113, "No route to host"))
        for sent in sends:
            [outcome] = self.successResultOf(sent)
            self.assertTrue(outcome.host_at_fault)
            self.assertEqual(outcome.reply.text, f"no connection to {HOST}: No route to host")

    def test_an_open_connection_is_told_of_until_it_closes(self) -> None:
        """So that its next hop need not be looked up."""
        _ = self.hosts.send(transmission())
        self.assertIsNone(self.hosts.pool.connected(HOP))
        server = self.hosts.connect()
        greet(server)
        self.assertEqual(self.hosts.pool.connected(HOP), HOST)
        self.assertIsNone(self.hosts.pool.connected(NextHop("other.example")))
        take(server)
        server.lose(error.ConnectionDone())
        self.assertIsNone(self.hosts.pool.connected(HOP))

    def test_once_a_minute_a_message_is_not_told_of_the_open_connection(self) -> None:
        """So that mail leaves a backup host for the first one when that is there again, which is then told of."""
        _ = self.hosts.send(transmission())
        backup = self.hosts.connect()
        greet(backup)
        pool, first = self.hosts.pool, Host("first", "192.0.2.1")
        self.hosts.reactor.advance(59)
        self.assertEqual(pool.connected(HOP), HOST)
        self.hosts.reactor.advance(2)
        self.assertEqual([pool.connected(HOP) for _ in range(2)], [None, HOST])
        _ = self.hosts.send(transmission(), HOP, first)
        greet(self.hosts.connect())
        self.assertEqual(pool.connected(HOP), first)

    def test_an_idle_connection_is_used_again(self) -> None:
        """Many messages, one connection."""
        sends = [self.hosts.send(transmission())]
        server = self.hosts.connect()
        greet(server)
        take(server)
        for _ in range(2):
            sends.append(self.hosts.send(transmission()))
            take(server)
        self.assertEqual([self.outcomes(sent) for sent in sends], [[(OutcomeKind.DELIVERED, 250)]] * 3)
        self.assertEqual(self.hosts.attempts, 0)

    def test_an_idle_connection_goes_sooner_when_nothing_more_waits(self) -> None:
        """Two seconds in place of ten."""
        _ = self.hosts.send(transmission())
        server = self.hosts.connect()
        greet(server)
        take(server)
        self.hosts.pool.idle(HOP)
        self.hosts.reactor.advance(2.1)
        self.assertEqual(server.heard(), b"QUIT\r\n")
        server.reply("221 bye")
        self.assertTrue(server.lost)

    def test_of_too_many_idle_connections_the_oldest_ends(self) -> None:
        """Over all hosts."""
        self.hosts = MemoryHosts(OutboundSettings(idle_connections=1))
        servers = []
        for name in ("one", "two"):
            _ = self.hosts.send(transmission(), HOP, Host(name, "192.0.2.1"))
            servers.append(self.hosts.connect())
            greet(servers[-1])
            take(servers[-1])
        self.assertEqual([server.heard() for server in servers], [b"QUIT\r\n", b""])

    def test_with_no_idle_connections_allowed_each_ends_with_its_last_message(self) -> None:
        """The one that ends is the one that has just become idle."""
        self.hosts = MemoryHosts(OutboundSettings(idle_connections=0))
        sent = self.hosts.send(transmission())
        server = self.hosts.connect()
        greet(server)
        self.assertEqual(take(server), b"")
        self.assertEqual(self.outcomes(sent), [(OutcomeKind.DELIVERED, 250)])
        self.assertEqual(server.heard(), b"QUIT\r\n")
        server.reply("221 bye")
        self.assertTrue(server.lost)

    def test_a_connection_that_has_said_quit_is_given_no_more_mail(self) -> None:
        """Mail that comes before the host has closed goes by a new connection at once."""
        _ = self.hosts.send(transmission())
        server = self.hosts.connect()
        greet(server)
        take(server)
        self.hosts.reactor.advance(OutboundSettings().idle_timeout)
        self.assertEqual(server.heard(), b"QUIT\r\n")
        again = self.hosts.send(transmission())
        other = self.hosts.connect()
        greet(other)
        take(other)
        self.assertEqual(self.outcomes(again), [(OutcomeKind.DELIVERED, 250)])
        self.assertEqual(server.heard(), b"")

    def test_closing_lets_a_whole_message_be_answered_and_hangs_up(self) -> None:
        """What waits is delayed, what is idle says goodbye, what begins later is refused."""
        self.hosts = MemoryHosts(OutboundSettings(connections_per_host=1))
        under_way, waiting, more = (self.hosts.send(transmission(queue_id=f"Q{n}")) for n in range(3))
        server = self.hosts.connect()
        greet(server)
        server.reply("250 ok", "250 ok", "354 go")
        self.assertTrue(
            server.heard().endswith(b"\r\n.\r\nMAIL FROM:<alice@example.test>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n")
        )
        closed = Deferred.fromCoroutine(self.hosts.pool.close(20))
        self.assertEqual(self.outcomes(more), [(OutcomeKind.DELAYED, 451)])
        self.assertNoResult(under_way)
        server.reply("250 taken")
        self.assertEqual(self.outcomes(under_way), [(OutcomeKind.DELIVERED, 250)])
        self.assertEqual(self.outcomes(waiting), [(OutcomeKind.DELAYED, 451)])
        late = self.hosts.send(transmission())
        self.assertEqual(self.outcomes(late), [(OutcomeKind.DELAYED, 451)])
        server.settle()
        self.successResultOf(closed)
        self.assertEqual(self.hosts.reactor.getDelayedCalls(), [])

    def test_idle_connections_send_quit_at_the_stop(self) -> None:
        """And is closed when that is answered."""
        sent = self.hosts.send(transmission())
        server = self.hosts.connect()
        greet(server)
        take(server)
        self.successResultOf(sent)
        closed = Deferred.fromCoroutine(self.hosts.pool.close(20))
        self.assertNoResult(closed)
        self.assertEqual(server.heard(), b"QUIT\r\n")
        server.reply("221 bye")
        self.successResultOf(closed)
        self.assertEqual(self.hosts.reactor.getDelayedCalls(), [])

    def test_the_stop_ends_transmissions_that_cannot_have_arrived(self) -> None:
        """Whatever the host was asked last: nobody has the message, so that nothing is won by waiting."""
        large = pieces_of(*[b"x" * 998 + b"\r\n"] * 3)
        for replies in ((), ("250 ok",), ("250 ok", "250 ok"), ("250 ok", "250 ok", "354 go")):
            self.hosts = MemoryHosts()
            stuck: Deferred[None] = Deferred()

            async def pieces(stuck: Deferred[None] = stuck) -> AsyncIterator[bytes]:
                async for piece in large():
                    yield piece
                await stuck

            sent = self.hosts.send(transmission(pieces=pieces))
            server = self.hosts.connect()
            greet(server)
            if replies:
                server.reply(*replies)
            closed = Deferred.fromCoroutine(self.hosts.pool.close(20))
            [outcome] = self.successResultOf(sent)
            self.assertTrue(outcome.cut_short, outcome)
            server.settle()
            self.successResultOf(closed)
            self.assertNotIn(b"\r\n.\r\n", server.heard())
            stuck.callback(None)

    def test_a_host_that_does_not_even_take_the_connection_is_given_up_at_once_at_the_end(self) -> None:
        """That is our decision, and nothing that the host has done."""
        sent = self.hosts.send(transmission())
        self.hosts.pool.shut_down(20)
        [outcome] = self.successResultOf(sent)
        self.assertTrue(outcome.cut_short, outcome)

    def test_closing_with_nothing_open_is_done_at_once(self) -> None:
        """No timer stays."""
        self.successResultOf(Deferred.fromCoroutine(self.hosts.pool.close(20)))
        self.assertEqual(self.hosts.reactor.getDelayedCalls(), [])

    def test_closing_hangs_up_on_what_takes_too_long(self) -> None:
        """One connection is being opened, another waits for the reply to the dot, and leaves doubt."""
        sent = self.hosts.send(transmission())
        server = self.hosts.connect()
        greet(server)
        server.reply("250 ok", "250 ok", "354 go")
        opening = self.hosts.send(transmission(), HOP, Host("other", "192.0.2.9"))
        greeted = self.hosts.connect()
        closed = Deferred.fromCoroutine(self.hosts.pool.close(20))
        greeted.settle()
        self.assertEqual(self.outcomes(opening), [(OutcomeKind.DELAYED, 451)])
        self.hosts.reactor.advance(19)
        self.assertNoResult(sent)
        self.hosts.reactor.advance(1)
        server.settle()
        [outcome] = self.successResultOf(sent)
        self.assertEqual((outcome.reply.code, outcome.in_doubt, outcome.cut_short), (451, True, False))
        self.successResultOf(closed)
        self.assertEqual(self.hosts.reactor.getDelayedCalls(), [])

    def test_connections_are_made_from_the_address_that_was_set(self) -> None:
        """By family."""
        self.hosts = MemoryHosts(OutboundSettings(source_ipv4="192.0.2.7"))
        _ = self.hosts.send(transmission())
        _ = self.hosts.send(transmission(), HOP, Host("six", "2001:db8::1"))
        self.assertEqual([attempt[4] for attempt in self.hosts.reactor.tcpClients], [("192.0.2.7", 0), None])

    def test_a_socket_that_cannot_be_made_delays(self) -> None:
        """No descriptors left, say."""

        def fail(*args: Any) -> None:
            raise OSError(24, "Too many open files")

        self.hosts.reactor.connectTCP = self.hosts.reactor.connectUNIX = fail
        for hop, host in ((HOP, HOST), (NextHop("/run/lmtp", lmtp=True), Host("", "/run/lmtp"))):
            [outcome] = self.successResultOf(self.hosts.send(transmission(), hop, host))
            self.assertIn("Too many open files", outcome.reply.text)

    def test_tls_is_asked_for_by_the_hosts_name_and_verified_where_the_route_says_so(self) -> None:
        """By the certificate name of the route first, by the address where there is no name."""
        hops = [
            (HOP, HOST),
            (dataclasses.replace(HOP, tls=TLSPolicy.VERIFIED), HOST),
            (dataclasses.replace(HOP, tls=TLSPolicy.REQUIRED, certificate_name="mail.example"), HOST),
            (HOP, Host("", "192.0.2.3")),
        ]
        for hop, host in hops:
            _ = self.hosts.send(transmission(), hop, host)
            server = self.hosts.connect()
            greet(server, ("250-mx", "250 STARTTLS"))
            server.reply("220 go")
        wanted = [("mx.example.net", False), ("mx.example.net", True), ("mail.example", False), ("192.0.2.3", False)]
        self.assertEqual(self.hosts.tls, wanted)

    def test_no_tls_is_asked_for_where_the_route_says_none(self) -> None:
        """A printer, say."""
        _ = self.hosts.send(transmission(), dataclasses.replace(HOP, tls=TLSPolicy.NONE))
        server = self.hosts.connect()
        greet(server, ("250-mx", "250 STARTTLS"))
        self.assertTrue(server.heard().startswith(b"MAIL FROM"))

    def test_a_name_that_tls_cannot_use_counts_as_a_failed_handshake(self) -> None:
        """The reason is told."""
        hop = dataclasses.replace(HOP, tls=TLSPolicy.VERIFIED, certificate_name="no_name")
        sent = self.hosts.send(transmission(), hop)
        server = self.hosts.connect()
        greet(server, ("250-mx", "250 STARTTLS"))
        server.reply("220 go")
        [outcome] = self.successResultOf(sent)
        self.assertIn("is not the name of a server", outcome.reply.text)

    def test_the_log_tells_of_connections_and_of_hosts_out_of_reach(self) -> None:
        """Counted by name."""
        _ = self.hosts.send(transmission())
        greet(self.hosts.connect())
        _ = self.hosts.send(transmission(), HOP, Host("other", "192.0.2.9"))
        self.hosts.refuse()
        counters = self.hosts.telemetry.counters
        self.assertEqual((counters["outbound-connected"], counters["outbound-unreachable"]), (1, 1))

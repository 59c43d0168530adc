"""A connection ends correctly when its peer reads slowly or sends no more, and deletes no unread mail."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys.net.base.socket_writes import progress, taken
from emailsys.testing.memory_peer import LOOPBACK, MemoryPeer
from emailsys.upstream import unsent
from tests.fakes.net.held_transport import HeldTransport
from tests.fakes.net.pop3_house import LOGIN, SECOND, THIRD, POP3House
from tests.fakes.net.smtp_house import SMTPHouse


class OutputProducerTests(SynchronousTestCase):
    """What became of the octets that were written."""

    def setUp(self) -> None:
        self.clock = Clock()

    def test_what_the_peer_acknowledged_is_progress(self) -> None:
        """Octets that lie in the kernel for long say nothing of a peer that reads slowly."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        ours = socket.create_connection(listener.getsockname())
        self.addCleanup(ours.close)
        theirs, _ = listener.accept()
        self.addCleanup(theirs.close)
        held: Any = HeldTransport(0)
        held.socket = ours
        before = progress(held)
        ours.sendall(b"12345")
        self.assertEqual(theirs.recv(5), b"12345")
        while progress(held) == before:
            """Loopback acknowledges within a moment."""
        self.assertEqual(progress(held)[1] - before[1], 5)

    def test_the_wait_lasts_until_the_kernel_has_all_octets(self) -> None:
        held = HeldTransport(3000)
        reads: list[int] = []
        waiting = Deferred.fromCoroutine(taken(held, self.clock, lambda: False, lambda: reads.append(unsent(held))))
        for _ in range(2):
            self.clock.advance(1)
            self.assertNoResult(waiting)
            held.takes(1500)
        self.clock.advance(1)
        self.successResultOf(waiting)
        self.assertEqual(reads, [1500, 0])

    def test_the_wait_ends_if_the_peer_has_gone(self) -> None:
        gone: list[bool] = []
        waiting = Deferred.fromCoroutine(taken(HeldTransport(1), self.clock, lambda: bool(gone), lambda: None))
        gone.append(True)
        self.clock.advance(1)
        self.successResultOf(waiting)


class UnreadMailTests(SynchronousTestCase):
    """RETR, DELE and QUIT in one segment: nothing is deleted before the client could have it."""

    def setUp(self) -> None:
        self.house = POP3House()
        self.house.store.clock = self.house.clock
        self.peer = self.house.login()
        transport: Any = self.peer.transport
        transport.dataBuffer = b"x" * 50_000
        transport.offset = 0
        self.transport = transport
        self.peer.say(b"DELE 1\r\nQUIT\r\n")

    def test_deletes_wait_for_the_client_to_read(self) -> None:
        for _ in range(4):
            self.house.clock.advance(590)
            self.assertEqual(len(self.house.bodies()), 3)
            self.transport.offset += 10_000
        self.transport.dataBuffer = b""
        self.transport.offset = 0
        self.house.clock.advance(1)
        self.assertEqual(self.house.bodies(), [SECOND, THIRD])
        self.assertTrue(self.peer.heard().endswith(b"+OK bye, 1 message removed\r\n"))

    def test_a_client_that_does_not_read_loses_no_mail(self) -> None:
        self.house.clock.advance(601)
        self.assertTrue(self.transport.aborted)
        self.peer.heard()
        self.house.clock.advance(1)
        self.assertEqual(len(self.house.bodies()), 3)
        self.assertTrue(self.house.logins.opened[0].released)
        self.assertEqual(self.house.telemetry.counters["exception"], 0)

    def test_a_client_that_goes_loses_no_mail(self) -> None:
        self.peer.lose()
        self.house.clock.advance(1)
        self.assertEqual(len(self.house.bodies()), 3)
        self.assertTrue(self.house.logins.opened[0].released)
        self.assertEqual(self.house.telemetry.counters["exception"], 0)


class HalfCloseTests(SynchronousTestCase):
    """`printf ... | nc -N`: the peer ends its side as soon as it has said all."""

    def test_smtp_answers_all_that_was_asked(self) -> None:
        house = SMTPHouse()
        house.store.hold_commits = True
        server = house.server()
        peer = MemoryPeer(server, house.clock, LOOPBACK)
        peer.say(
            b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n"
            b"Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\nNOOP\r\n"
        )
        server.readConnectionLost()
        self.assertFalse(peer.lost)
        house.store.release_held()
        self.assertIn(b"\r\n250 2.0.0 queued as", peer.heard())
        self.assertTrue(peer.lost)

    def test_an_unfinished_command_before_the_half_close_is_ignored(self) -> None:
        house = SMTPHouse()
        for said in (b"", b"NOO", b"EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nSubject: x\r\n"):
            server = house.server()
            peer = MemoryPeer(server, house.clock, LOOPBACK)
            peer.say(said)
            server.readConnectionLost()
            peer.heard()
            self.assertTrue(peer.lost)
        self.assertEqual(house.store.messages, [])

    def test_pop3_deletes_where_quit_was_said_and_only_there(self) -> None:
        house = POP3House()
        for said, left in ((LOGIN + b"DELE 1\r\n", 3), (LOGIN + b"DELE 1\r\nQUIT\r\n", 2)):
            house.logins.hold = True
            peer = house.connect()
            peer.say(said)
            peer.protocol.readConnectionLost()  # type: ignore[attr-defined]
            house.logins.hold = False
            house.logins.held.pop().callback(None)
            self.assertIn(b"+OK message 1 deleted\r\n", peer.heard())
            self.assertTrue(peer.lost)
            self.assertEqual(len(house.bodies()), left)

    def test_nothing_is_read_again_after_the_end(self) -> None:
        """A transport that is told to read on would meet the end of the stream again and again."""
        house = POP3House()
        house.logins.hold = True
        peer = house.connect()
        peer.say(LOGIN + b"LIST 1\r\n" * 20_000 + b"QUIT\r\n")
        self.assertEqual(peer.transport.producerState, "paused")
        peer.protocol.readConnectionLost()  # type: ignore[attr-defined]
        house.logins.held.pop().callback(None)
        house.clock.pump([0] * 200)
        self.assertEqual(peer.transport.producerState, "paused")
        self.assertTrue(peer.heard().endswith(b"+OK bye, 0 messages removed\r\n"))

    def test_within_a_handshake_of_tls_there_is_nothing_left_to_say(self) -> None:
        house = SMTPHouse()
        server = house.server()
        peer = MemoryPeer(server, house.clock)
        peer.say(b"EHLO x\r\nSTARTTLS\r\n")
        server.readConnectionLost()
        self.assertTrue(peer.transport.aborted)

    def test_a_client_that_half_closes_after_starttls_is_disconnected(self) -> None:
        """PASS was still being verified when the end came; STLS had its turn after it."""
        house = POP3House(context_factory=object())
        house.logins.hold = True
        peer = house.connect()
        peer.say(b"USER alice\r\nPASS wrong\r\nSTLS\r\n")
        peer.protocol.readConnectionLost()  # type: ignore[attr-defined]
        house.logins.held.pop().callback(None)
        self.assertTrue(peer.heard().endswith(b"+OK begin TLS\r\n"))
        self.assertFalse(peer.transport.handshaking)
        self.assertTrue(peer.lost)

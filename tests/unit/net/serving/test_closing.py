"""Closing a connection whose peer reads slowly, does not read, or still sends."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys.net.serving.closing import MAX_DROPPED_OCTETS, GracefulClose
from emailsys.testing.memory_peer import LOOPBACK, MemoryPeer
from tests.fakes.net.held_transport import HeldTransport, Layer
from tests.fakes.net.pop3_house import POP3House
from tests.fakes.net.smtp_house import SMTPHouse


class GracefulCloseTests(SynchronousTestCase):
    """After the last reply: 5 seconds without progress, 60 seconds in total."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.aborts: list[float] = []

    def abort(self) -> None:
        self.aborts.append(self.clock.seconds())

    def farewell(self, transport: object) -> GracefulClose:
        return GracefulClose(transport, self.clock, 5.0, 60.0, self.abort)

    def test_a_peer_that_reads_on_is_not_aborted_until_it_took_too_long(self) -> None:
        held = HeldTransport(1_000_000)
        self.farewell(held)
        for _ in range(11):
            held.takes(1000)
            self.clock.advance(5)
        self.assertEqual(self.aborts, [])
        held.takes(1000)
        self.clock.advance(5)
        self.assertEqual(self.aborts, [60.0])

    def test_a_peer_that_stopped_reading_is_aborted(self) -> None:
        held = HeldTransport(1_000_000)
        self.farewell(held)
        held.takes(1000)
        self.clock.advance(5)
        self.clock.advance(5)
        self.assertEqual(self.aborts, [10.0])

    def test_our_side_ends_and_the_peers_is_waited_for(self) -> None:
        held = HeldTransport(0)
        farewell = self.farewell(held)
        farewell.begin(tls=False, input_over=False)
        self.assertEqual(held.asked, ["end our side"])
        farewell.drop(b"x" * MAX_DROPPED_OCTETS)
        self.assertEqual((held.asked, self.aborts), (["end our side"], []))
        farewell.input_over()
        self.assertEqual(held.asked, ["end our side", "close"])

    def test_a_peer_that_keeps_sending_is_closed_after_its_time(self) -> None:
        held = HeldTransport(0)
        self.farewell(held).begin(tls=False, input_over=False)
        self.clock.advance(4.9)
        self.assertEqual(held.asked, ["end our side"])
        self.clock.advance(0.1)
        self.assertEqual(held.asked, ["end our side", "close"])
        self.assertEqual(self.aborts, [])

    def test_a_flood_is_not_read_for_ever(self) -> None:
        farewell = self.farewell(HeldTransport(0))
        farewell.begin(tls=False, input_over=False)
        for _ in range(MAX_DROPPED_OCTETS // 65536):
            farewell.drop(b"x" * 65536)
        self.assertEqual(self.aborts, [])
        farewell.drop(b"x")
        self.assertEqual(self.aborts, [0.0])

    def test_a_close_that_the_kernel_cannot_carry_out_becomes_an_abort(self) -> None:
        """The kernel's buffer is full and the peer does not read: the descriptor would stay open for ever."""
        held = HeldTransport(0)
        self.farewell(held).begin(tls=False, input_over=False)
        self.clock.advance(5)
        self.assertEqual(held.asked[-1], "close")
        self.clock.advance(0.1)
        self.assertEqual(self.aborts, [5.1])

    def test_a_peer_that_ended_its_side_first_is_not_waited_for(self) -> None:
        held = HeldTransport(0)
        self.farewell(held).begin(tls=False, input_over=True)
        self.assertEqual(held.asked, ["close"])

    def test_tls_sends_close_notify_and_waits_for_the_peers(self) -> None:
        held = HeldTransport(0)
        farewell = self.farewell(Layer(held))
        farewell.begin(tls=True, input_over=False)
        self.assertEqual(held.asked, ["close_notify"])
        farewell.input_over()
        self.assertEqual(held.asked, ["close_notify", "close below TLS"])

    def test_tls_does_not_wait_for_a_peer_that_ended_its_side_first(self) -> None:
        held = HeldTransport(0)
        self.farewell(Layer(held)).begin(tls=True, input_over=True)
        self.assertEqual(held.asked, ["close_notify", "close below TLS"])

    def test_a_missing_close_notify_does_not_discard_what_the_kernel_has(self) -> None:
        """An abort would discard the output in the kernel."""
        held = HeldTransport(1000)
        self.farewell(Layer(held)).begin(tls=True, input_over=False)
        held.takes(1000)
        self.clock.advance(5)
        self.assertEqual(held.asked, ["close_notify", "close below TLS"])
        self.assertEqual(self.aborts, [])

    def test_a_drain_closes_connections_whose_output_the_kernel_has(self) -> None:
        for unsent, asked in ((0, ["close"]), (1, [])):
            held = HeldTransport(unsent)
            self.farewell(held).close_if_sent()
            self.assertEqual(held.asked, asked)

    def test_a_cancelled_close_does_nothing(self) -> None:
        farewell = self.farewell(HeldTransport(1))
        farewell.cancel()
        farewell.cancel()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class StayingPeer(MemoryPeer):
    """A peer that does not end its side when the server has ended its own."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self.server_ended = False
        super().__init__(*arguments, **named)
        transport: Any = self.transport
        transport.loseWriteConnection = self._hear_end

    def _hear_end(self) -> None:
        self.server_ended = True


class SessionTests(SynchronousTestCase):
    """The last replies of sessions whose peers go on sending."""

    def setUp(self) -> None:
        self.house = SMTPHouse()
        self.server = self.house.server()
        self.peer = StayingPeer(self.server, self.house.clock, LOOPBACK)
        self.peer.heard()

    def ending_is_heard(self, last_words: bytes) -> None:
        """Our side ends after the last reply, later input is discarded, and the peer's end closes the connection."""
        self.assertTrue(self.peer.heard().endswith(last_words))
        self.assertTrue(self.peer.server_ended)
        self.assertFalse(self.peer.lost)
        self.peer.say(b"NOOP\r\n" * 100)
        self.assertEqual(self.peer.heard(), b"")
        self.server.readConnectionLost()
        self.peer.heard()
        self.assertTrue(self.peer.lost)
        self.assertFalse(self.peer.transport.aborted)
        self.assertEqual(self.house.clock.getDelayedCalls(), [])

    def test_quit_with_more_behind_it(self) -> None:
        self.peer.say(b"QUIT\r\nNOOP\r\n")
        self.ending_is_heard(b"221 2.0.0 goodbye\r\n")

    def test_too_many_bad_commands(self) -> None:
        self.peer.say(b"X\r\n" * 100)
        self.ending_is_heard(b"421 4.7.0 too many bad commands, closing\r\n")

    def test_silence(self) -> None:
        self.house.clock.advance(301)
        self.ending_is_heard(b"421 4.4.2 no input for too long, closing\r\n")

    def test_a_peer_that_never_ends_is_closed_after_five_seconds(self) -> None:
        self.peer.say(b"QUIT\r\n")
        for _ in range(4):
            self.house.clock.advance(1)
            self.peer.say(b"x" * 1000)
        self.peer.heard()
        self.assertFalse(self.peer.lost)
        self.house.clock.advance(1)
        self.peer.heard()
        self.assertTrue(self.peer.lost)
        self.assertFalse(self.peer.transport.aborted)

    def test_a_peer_that_floods_is_aborted_before(self) -> None:
        self.peer.say(b"QUIT\r\n")
        block = b"x" * 1_048_576
        for _ in range(8):
            self.peer.say(block)
        self.assertFalse(self.peer.lost)
        self.peer.say(block)
        self.assertTrue(self.peer.transport.aborted)

    def test_a_drain_does_not_wait_for_the_peer(self) -> None:
        self.assertEqual(self.house.factory.drain(), 1)
        self.assertTrue(self.peer.heard().startswith(b"421 4.3.2 "))
        self.assertFalse(self.peer.lost)
        self.house.factory.drain()
        self.peer.heard()
        self.assertEqual(self.house.factory.drain(), 0)

    def test_pop3_alike(self) -> None:
        house = POP3House()
        server: Any = house.factory.buildProtocol(None)
        peer = StayingPeer(server, house.clock, LOOPBACK)
        peer.say(b"QUIT\r\nNOOP\r\n")
        self.assertTrue(peer.heard().endswith(b"+OK bye\r\n"))
        self.assertTrue(peer.server_ended)
        self.assertFalse(peer.lost)
        self.assertEqual(house.factory.drain(), 1)
        peer.heard()
        self.assertEqual(house.factory.drain(), 0)

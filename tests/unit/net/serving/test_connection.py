"""Server connections: one command at a time, replies written together, and every kind of ending."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReadWriteDescriptor, ITCPTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from emailsys.net.serving import replies
from emailsys.net.serving.connection import Connection
from emailsys.net.serving.replies import MAX_WAITING_OCTETS
from emailsys.net.serving.turn_end import TurnEnd
from emailsys.store.message.rows import PIECE_OCTETS
from emailsys.telemetry import Telemetry
from emailsys.testing.memory_peer import MemoryPeer
from emailsys.wire.lines import Flaw, LineReader


class Lines:
    """A protocol machine whose events are lines."""

    def __init__(self) -> None:
        self._lines = LineReader()

    @property
    def waiting(self) -> int:
        return self._lines.waiting

    def feed(self, octets: bytes) -> None:
        self._lines.feed(octets)

    def next_event(self) -> bytes | None:
        line = self._lines.next_line(1 << 30)
        assert not isinstance(line, Flaw)
        return line


class Echo:
    """Sends each line back. `wait` awaits `waiting`, `raise` raises, `later` raises in a coroutine."""

    def __init__(self) -> None:
        self.clock = Clock()
        turn = TurnEnd(self.clock, Telemetry())
        self.connection = Connection(Lines(), self, self.clock, turn, first_timeout=100.0)
        self.waiting: Deferred[None] = Deferred()
        self.failures: list[Failure] = []
        self.ends: list[Failure] = []
        self.greeting_fails = False
        self.ending_fails = False

    def greet(self) -> None:
        self.connection.send(b"hello\r\n")
        if self.greeting_fails:
            raise ValueError("greeting")

    def perform(self, event: bytes) -> Coroutine[Any, Any, None] | None:
        if event == b"wait":
            return self._wait(self.waiting)
        if event == b"later":
            return self._raise()
        if event == b"room":
            return self.connection.writable()
        if event == b"raise":
            raise ValueError("at once")
        if event == b"close":
            self.connection.close()
        self.connection.send(event + b"\r\n")
        return None

    async def _wait(self, waiting: Deferred[None]) -> None:
        await waiting
        self.connection.send(b"waited\r\n")

    async def _raise(self) -> None:
        raise ValueError("later")

    def failed(self, failure: Failure) -> None:
        self.failures.append(failure)
        self.connection.send(b"failed\r\n")

    def timed_out(self) -> None:
        self.connection.send(b"too late\r\n")
        self.connection.close()

    def tls_began(self) -> None:
        self.connection.send(b"tls\r\n")

    def ended(self, reason: Failure) -> None:
        self.ends.append(reason)
        if self.ending_fails:
            raise ValueError("ending")


class ConnectionTests(SynchronousTestCase):
    """A connection and its peer, both in memory."""

    def setUp(self) -> None:
        self.echo = Echo()

    def connect(self) -> MemoryPeer:
        peer = MemoryPeer(self.echo.connection, self.echo.clock)
        peer.heard()
        return peer

    def test_a_failed_greeting_is_reported(self) -> None:
        self.echo.greeting_fails = True
        self.assertEqual(MemoryPeer(self.echo.connection, self.echo.clock).heard(), b"hello\r\nfailed\r\n")

    def test_commands_behind_one_that_waits_are_answered_after_it(self) -> None:
        peer = self.connect()
        peer.say(b"a\r\nwait\r\nb\r\nc\r\n")
        self.assertEqual(peer.heard(), b"a\r\n")
        self.assertTrue(self.echo.connection.busy)
        self.echo.waiting.callback(None)
        self.assertEqual(peer.heard(), b"waited\r\nb\r\nc\r\n")
        self.assertFalse(self.echo.connection.busy)

    def test_a_failure_is_reported_and_the_session_goes_on(self) -> None:
        peer = self.connect()
        peer.say(b"raise\r\nlater\r\na\r\n")
        self.assertEqual(peer.heard(), b"failed\r\nfailed\r\na\r\n")
        self.assertEqual([str(failure.value) for failure in self.echo.failures], ["at once", "later"])

    def test_reading_pauses_while_64_kib_wait(self) -> None:
        peer = self.connect()
        peer.say(b"wait\r\n")
        while self.echo.connection.wire.waiting <= MAX_WAITING_OCTETS:
            self.assertEqual(peer.transport.producerState, "producing")
            peer.say(b"x" * 998 + b"\r\n")
        self.assertEqual(peer.transport.producerState, "paused")
        self.echo.waiting.callback(None)
        self.assertEqual(peer.transport.producerState, "producing")
        self.assertEqual(peer.heard().count(b"\r\n"), 1 + 66)

    def test_the_servers_own_delay_does_not_count_as_silence(self) -> None:
        peer = self.connect()
        peer.say(b"wait\r\n")
        self.echo.clock.pump([99, 99, 99])
        self.assertEqual(peer.heard(), b"")
        self.echo.waiting.callback(None)
        self.echo.clock.advance(99)
        self.assertEqual(peer.heard(), b"waited\r\n")
        self.echo.clock.advance(2)
        self.assertEqual(peer.heard(), b"too late\r\n")
        self.assertTrue(peer.lost)

    def test_octets_without_a_whole_command_count_as_silence(self) -> None:
        peer = self.connect()
        for _ in range(4):
            peer.say(b"x")
            self.echo.clock.advance(26)
        self.assertEqual(peer.heard(), b"too late\r\n")

    def test_nothing_is_acted_on_after_a_close(self) -> None:
        peer = self.connect()
        peer.say(b"close\r\na\r\n")
        self.assertNotIn(b"a\r\n", peer.heard())
        self.echo.connection.dataReceived(b"b\r\n")
        self.echo.connection.close()
        self.echo.connection.abort()
        self.assertFalse(peer.transport.aborted)
        self.assertEqual(len(self.echo.ends), 1)
        self.assertEqual(self.echo.clock.getDelayedCalls(), [])

    def test_an_abort_discards_the_replies_of_its_turn(self) -> None:
        """They are not written at the end of the turn."""
        peer = self.connect()
        peer.heard()
        self.echo.connection.send(b"discarded\r\n")
        self.echo.connection.abort()
        self.echo.connection.replies.flush()
        self.assertEqual(peer.heard(), b"")
        self.assertTrue(peer.transport.aborted)

    def test_a_sender_that_waits_for_room_fails_at_a_disconnect(self) -> None:
        peer = self.connect()
        self.echo.connection.replies.pause()
        peer.say(b"room\r\n")
        self.echo.connection.resume()
        peer.say(b"room\r\na\r\n")
        self.assertEqual(peer.heard(), b"a\r\n")
        waiting = Deferred.fromCoroutine(self._room_when_choked())
        peer.lose()
        self.failureResultOf(waiting, ConnectionLost)
        self.failureResultOf(Deferred.fromCoroutine(self.echo.connection.writable()), ConnectionLost)
        self.echo.connection.resume()
        self.assertEqual(self.echo.failures, [])

    async def _room_when_choked(self) -> None:
        self.echo.connection.replies.pause()
        await self.echo.connection.writable()

    def test_a_command_that_ends_after_a_disconnect_sends_nothing(self) -> None:
        peer = self.connect()
        peer.say(b"wait\r\na\r\n")
        peer.lose()
        self.echo.waiting.callback(None)
        self.assertEqual(peer.heard(), b"")
        self.assertEqual(self.echo.failures, [])

    def test_a_failure_at_the_end_of_a_session_is_reported(self) -> None:
        self.echo.ending_fails = True
        self.connect().lose()
        self.assertEqual(len(self.echo.failures), 1)

    def test_an_unexpected_handshake_changes_nothing(self) -> None:
        peer = self.connect()
        self.echo.connection.handshakeCompleted()
        self.assertFalse(self.echo.connection.secure)
        self.assertEqual(peer.heard(), b"")

    def test_a_silent_handshake_is_ended_by_its_own_time(self) -> None:
        self.echo.connection.first_timeout = 10.0
        peer = MemoryPeer(self.echo.connection, self.echo.clock)
        peer.heard()
        self.echo.connection.start_tls(object())  # type: ignore[arg-type]
        self.echo.clock.advance(29)
        self.assertFalse(peer.transport.aborted)
        self.echo.clock.advance(2)
        self.assertTrue(peer.transport.aborted)
        self.assertEqual(peer.heard(), b"")


@implementer(IReadWriteDescriptor, ITCPTransport)
class Socket(StringTransport):  # type: ignore[misc]  # what a connection asks of them
    """A TCP transport whose socket accepts `takes` octets or has failed. The rest waits for the reactor."""

    SEND_LIMIT = FileDescriptor.SEND_LIMIT

    def __init__(self, takes: int | Exception) -> None:
        super().__init__()
        self.takes = takes
        self.sent = b""
        self.dataBuffer = b""
        self._tempDataBuffer: list[bytes] = []

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Do nothing."""

    def writeSomeData(self, data: bytes) -> int | Exception:
        if isinstance(self.takes, Exception):
            return self.takes
        self.sent += data[: self.takes]
        return min(self.takes, len(data))

    def write(self, data: bytes) -> None:
        self._tempDataBuffer.append(data)


class WritingTests(SynchronousTestCase):
    """Replies go to the socket at the end of the turn. What it does not accept waits for the reactor."""

    def connected(self, takes: int | Exception) -> tuple[Echo, Socket]:
        echo, transport = Echo(), Socket(takes)
        echo.connection.makeConnection(transport)
        self.addCleanup(echo.connection.connectionLost, Failure(ConnectionLost()))
        return echo, transport

    def test_replies_in_the_clear_are_written_at_the_end_of_the_turn(self) -> None:
        echo, transport = self.connected(100)
        echo.connection.dataReceived(b"a\r\n")
        echo.connection.dataReceived(b"b\r\n")
        self.assertEqual(transport.sent, b"hello\r\n")
        echo.clock.advance(0)
        self.assertEqual(transport.sent, b"hello\r\na\r\nb\r\n")
        self.assertEqual(transport._tempDataBuffer, [])

    def test_replies_before_a_wait_are_sent_before_its_end(self) -> None:
        echo, transport = self.connected(100)
        echo.connection.dataReceived(b"a\r\nwait\r\n")
        echo.clock.advance(0)
        self.assertEqual(transport.sent, b"hello\r\na\r\n")

    def test_the_last_reply_does_not_wait_for_the_end_of_the_turn(self) -> None:
        echo, transport = self.connected(100)
        echo.connection.dataReceived(b"a\r\nclose\r\n")
        self.assertEqual(transport.sent, b"hello\r\na\r\n")

    def test_replies_within_tls_are_encrypted_together_at_the_end_of_the_turn(self) -> None:
        encrypted: list[bytes] = []
        self.patch(replies, "encrypt_at_once", lambda transport, octets: encrypted.append(octets))
        echo, transport = self.connected(100)
        echo.connection.replies.secure = True
        echo.connection.dataReceived(b"a\r\n")
        echo.connection.dataReceived(b"b\r\n")
        self.assertEqual(encrypted, [])
        echo.clock.advance(0)
        self.assertEqual((encrypted, transport.sent), ([b"a\r\nb\r\n"], b"hello\r\n"))

    def test_a_lost_connection_writes_nothing_at_the_end_of_the_turn(self) -> None:
        echo, transport = Echo(), Socket(100)
        echo.connection.makeConnection(transport)
        echo.connection.dataReceived(b"a\r\n")
        echo.connection.connectionLost(Failure(ConnectionLost()))
        echo.clock.advance(0)
        self.assertEqual(transport.sent, b"hello\r\n")

    def test_a_piece_of_a_large_message_takes_one_write(self) -> None:
        """Even if each of its lines begins with a dot, so that stuffing makes it longer."""
        _, transport = self.connected(100)
        self.assertGreater(transport.SEND_LIMIT, PIECE_OCTETS * 4 // 3)

    def test_unsent_octets_stay_in_order(self) -> None:
        echo, transport = self.connected(3)
        for line in (b"a\r\n", b"b\r\n"):
            echo.connection.dataReceived(line)
            echo.clock.advance(0)
        self.assertEqual(transport.sent, b"hel")
        self.assertEqual(b"".join(transport._tempDataBuffer), b"lo\r\na\r\nb\r\n")

    def test_an_error_is_left_to_the_reactor(self) -> None:
        _, transport = self.connected(ConnectionLost())
        self.assertEqual(transport._tempDataBuffer, [b"hello\r\n"])

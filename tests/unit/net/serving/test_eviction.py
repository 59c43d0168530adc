"""Eviction for new connections: silent clients leave before others are refused."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from emailsys.net.pop3.server import POP3Server
from emailsys.net.serving.admission import Admission, RefusedConnection
from emailsys.net.smtp.server import ESMTPServer
from emailsys.net.smtp.service import Kind
from emailsys.testing.memory_peer import STRANGER, MemoryPeer
from tests.fakes.net.pop3_house import LOGIN as POP3_LOGIN
from tests.fakes.net.pop3_house import POP3House
from tests.fakes.net.smtp_house import SMTPHouse
from tests.unit.net.smtp.test_server import ENVELOPE, LOGIN

Server = ESMTPServer | POP3Server | RefusedConnection


class Pool:
    """A pool of ten connections, of which one is reserved for exempt addresses. No address is exempt."""

    def __init__(self, house: SMTPHouse | POP3House) -> None:
        self.house = house
        self.admission = Admission(10, is_exempt=lambda ip: False)
        house.factory.service = replace(house.factory.service, admission=self.admission)

    def connect(self, tls: bool = False) -> MemoryPeer | None:
        """Connect a client. Returns None if it is refused."""
        server = self.house.factory.buildProtocol(STRANGER)
        if isinstance(server, RefusedConnection):
            return None
        return MemoryPeer(server, self.house.clock, STRANGER, tls)

    def fill(self, count: int) -> list[MemoryPeer]:
        """Connect silent clients, one each second. Their greetings are read."""
        peers = []
        for _ in range(count):
            peer = self.connect()
            assert peer is not None
            peer.heard()
            peers.append(peer)
            self.house.clock.advance(1)
        return peers


def is_gone(peer: MemoryPeer) -> bool:
    """Whether the server has closed the connection."""
    return bool(peer.lost or peer.transport.disconnecting or peer.transport.disconnected)


class FullPoolTests(SynchronousTestCase):
    """What a new connection finds in a full pool."""

    def test_the_client_that_was_silent_the_longest_before_login_leaves(self) -> None:
        """5,000 silent POP3 clients shut out everybody before."""
        for house, reply in (
            (POP3House(), b"-ERR [SYS/TEMP] too many connections"),
            (SMTPHouse(Kind.SUBMISSION), b"421 4.7.0 too many connections"),
        ):
            pool = Pool(house)
            silent = pool.fill(9)
            new = pool.connect()
            self.assertIsNotNone(new)
            self.assertEqual([is_gone(peer) for peer in silent], [True] + [False] * 8)
            self.assertTrue(silent[0].heard().startswith(reply))
            self.assertEqual(pool.admission._connected, 9)

    def test_logged_in_sessions_stay_and_a_new_connection_is_refused(self) -> None:
        pool = Pool(POP3House())
        reader = pool.connect(tls=True)
        assert reader is not None
        reader.say(POP3_LOGIN)
        submission = Pool(SMTPHouse(Kind.SUBMISSION))
        for _ in range(9):
            peer = submission.connect(tls=True)
            assert peer is not None
            peer.say(b"EHLO client\r\n" + LOGIN)
            submission.house.clock.advance(1)
        self.assertIsNone(submission.connect())
        silent = pool.fill(8)
        for _ in range(20):
            self.assertIsNotNone(pool.connect())
        self.assertFalse(is_gone(reader))
        self.assertTrue(all(is_gone(peer) for peer in silent))

    def test_another_server_has_a_second_between_its_commands(self) -> None:
        """It may look something up, such as the policy of our domain."""
        pool = Pool(SMTPHouse())
        for _ in range(9):
            self.assertIsNotNone(pool.connect())
        self.assertIsNone(pool.connect())
        pool.house.clock.advance(1)
        self.assertIsNotNone(pool.connect())

    def test_a_session_that_left_is_counted_once(self) -> None:
        pool = Pool(POP3House())
        pool.fill(9)
        for _ in range(30):
            self.assertIsNotNone(pool.connect())
        self.assertEqual(pool.admission._connected, 9)

    def test_a_client_within_its_handshake_is_aborted(self) -> None:
        """A reply in the clear would only be a broken handshake to it."""
        pool = Pool(SMTPHouse(Kind.SUBMISSION))
        peers = pool.fill(9)
        for peer in peers:
            peer.say(b"EHLO client\r\nSTARTTLS\r\n")
            peer.heard()
        self.assertIsNotNone(pool.connect())
        self.assertEqual([is_gone(peer) for peer in peers].count(True), 1)
        self.assertEqual(b"".join(peer.heard() for peer in peers), b"")


class PressureTests(SynchronousTestCase):
    """Three quarters of the pool are in use."""

    def test_a_silent_client_has_ten_seconds(self) -> None:
        pool = Pool(SMTPHouse())
        silent = pool.fill(7)
        pool.house.clock.advance(5)
        self.assertIsNotNone(pool.connect())
        self.assertEqual([is_gone(peer) for peer in silent], [True] * 3 + [False] * 4)
        self.assertIn(b"421 4.7.0 ", silent[0].heard())

    def test_without_pressure_it_has_five_minutes(self) -> None:
        pool = Pool(SMTPHouse())
        silent = pool.fill(6)
        pool.house.clock.advance(200)
        self.assertIsNotNone(pool.connect())
        self.assertFalse(any(is_gone(peer) for peer in silent))

    def test_a_client_that_sends_a_message_is_not_ended(self) -> None:
        pool = Pool(SMTPHouse())
        peers = pool.fill(7)
        for peer in peers:
            peer.say(b"EHLO client\r\n" + ENVELOPE + b"DATA\r\n")
        pool.house.clock.advance(30)
        self.assertIsNotNone(pool.connect())
        self.assertFalse(any(is_gone(peer) for peer in peers))

    def test_commands_end_a_silence(self) -> None:
        pool = Pool(SMTPHouse())
        peers = pool.fill(7)
        pool.house.clock.advance(30)
        for peer in peers:
            peer.say(b"NOOP\r\n")
        self.assertIsNotNone(pool.connect())
        self.assertFalse(any(is_gone(peer) for peer in peers))

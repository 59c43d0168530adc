"""The end of a POP3 session, and which messages it deletes."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import POP3Settings
from emailsys.interfaces import StoreError
from tests.fakes.net.pop3_house import FIRST, LOGIN, SECOND, THIRD, POP3House
from tests.fakes.net.slow_peer import SlowTransport


class SessionEndTests(SynchronousTestCase):
    """How a session ends, and what is deleted by then."""

    def test_the_reply_to_quit_waits_for_the_commit(self) -> None:
        house = POP3House()
        peer = house.login()
        house.store.hold_commits = True
        peer.say(b"DELE 1\r\nDELE 3\r\nQUIT\r\n")
        self.assertEqual(peer.heard(), b"+OK message 1 deleted\r\n+OK message 3 deleted\r\n")
        self.assertEqual(len(house.bodies()), 3)
        house.store.release_held()
        self.assertEqual(peer.heard(), b"+OK bye, 2 messages removed\r\n")
        self.assertEqual(house.bodies(), [SECOND])

    def test_the_maildrop_is_free_when_the_reply_to_quit_comes(self) -> None:
        house = POP3House()
        peer = house.login()
        peer.say(b"QUIT\r\n")
        again = house.connect()
        again.say(LOGIN)
        self.assertIn(b"+OK 3 messages", again.heard())

    def test_a_failed_commit_is_reported_and_removes_nothing(self) -> None:
        for error, exceptions in ((StoreError("disk"), 0), (RuntimeError("bug"), 1)):
            house = POP3House()
            peer = house.login()
            house.store.fail_next_commit = error
            peer.say(b"DELE 1\r\nQUIT\r\n")
            self.assertIn(b"-ERR [SYS/TEMP] some deleted messages not removed\r\n", peer.heard())
            self.assertTrue(peer.lost)
            self.assertEqual(len(house.bodies()), 3)
            self.assertTrue(house.logins.opened[0].released)
            self.assertEqual(house.telemetry.counters["exception"], exceptions)
            self.flushLoggedErrors()

    def test_a_peer_that_goes_during_the_commit_keeps_the_lock_until_it_ends(self) -> None:
        house = POP3House()
        peer = house.login()
        house.store.hold_commits = True
        peer.say(b"DELE 1\r\nQUIT\r\n")
        peer.lose()
        self.assertFalse(house.logins.opened[0].released)
        house.store.release_held()
        self.assertTrue(house.logins.opened[0].released)
        self.assertEqual(house.bodies(), [SECOND, THIRD])

    def test_a_quit_that_was_not_reached_deletes_nothing(self) -> None:
        """The client pipelined DELE and QUIT after RETR, and disconnected before QUIT was processed."""
        house = POP3House()
        house.store.put(house.alice, b"x" * 1_000_000 + b"\r\n")
        peer = house.login()
        SlowTransport(peer)
        peer.say(b"DELE 1\r\nRETR 4\r\nQUIT\r\n")
        peer.lose()
        self.assertEqual(len(house.bodies()), 4)
        self.assertTrue(house.logins.opened[0].released)
        self.assertEqual(house.telemetry.counters["exception"], 0)

    def test_reset_undoes_the_deletes(self) -> None:
        house = POP3House()
        peer = house.login()
        peer.say(b"DELE 1\r\nRSET\r\nQUIT\r\n")
        self.assertTrue(peer.heard().endswith(b"+OK bye, 0 messages removed\r\n"))
        self.assertEqual(house.bodies(), [FIRST, SECOND, THIRD])

    def test_a_silent_session_is_taken_over_and_its_deletes_are_void(self) -> None:
        house = POP3House(POP3Settings(plaintext_auth_on_loopback=True))
        house.store.clock = house.clock
        first = house.login()
        first.say(b"DELE 1\r\n")
        first.heard()
        house.clock.advance(61)
        second = house.connect()
        second.say(LOGIN)
        self.assertIn(b"+OK 3 messages", second.heard())
        first.say(b"QUIT\r\n")
        self.assertEqual(
            first.heard(), b"-ERR [SYS/TEMP] another login took the maildrop over; nothing was removed\r\n"
        )
        self.assertTrue(first.lost)
        self.assertEqual(len(house.bodies()), 3)
        second.say(b"DELE 2\r\nQUIT\r\n")
        self.assertEqual(house.bodies(), [FIRST, THIRD])

    def test_an_active_session_is_not_taken_over(self) -> None:
        house = POP3House()
        house.store.clock = house.clock
        first = house.login()
        for _ in range(3):
            house.clock.advance(59)
            first.say(b"NOOP\r\n")
        house.clock.advance(59)
        second = house.connect()
        second.say(LOGIN)
        self.assertIn(b"-ERR [IN-USE]", second.heard())

    def test_a_session_that_reads_a_long_message_slowly_is_not_taken_over(self) -> None:
        house = POP3House()
        house.store.clock = house.clock
        house.store.put(house.alice, b"x" * 3_000_000 + b"\r\n")
        first = house.login()
        slow = SlowTransport(first)
        first.say(b"RETR 4\r\n")
        for _ in range(4):
            house.clock.advance(50)
            self.assertTrue(slow.read())
        second = house.connect()
        second.say(LOGIN)
        self.assertIn(b"-ERR [IN-USE]", second.heard())

    def test_retr_on_a_maildrop_taken_over_ends_the_session(self) -> None:
        house = POP3House()
        peer = house.login()
        house.logins.opened[0].lost = True
        peer.say(b"RETR 1\r\nSTAT\r\n")
        self.assertEqual(peer.heard().count(b"-ERR [SYS/TEMP] another login"), 1)
        self.assertTrue(peer.lost)

    def test_a_close_that_the_peer_does_not_answer_is_repeated_and_then_an_abort(self) -> None:
        house = POP3House()
        peer = house.connect()
        aborted: list[bool] = []
        transport: Any = peer.transport
        transport.loseConnection = lambda: None
        transport.abortConnection = lambda: aborted.append(True)
        peer.say(b"QUIT\r\n")
        house.clock.advance(5)
        self.assertEqual(aborted, [])
        house.clock.advance(0.1)
        self.assertEqual(aborted, [True])

    def test_an_ended_session_leaves_no_timer(self) -> None:
        house = POP3House()
        for ending in (b"QUIT\r\n", b""):
            peer = house.login()
            peer.say(ending)
            if not peer.lost:
                peer.lose()
            self.assertEqual(house.clock.getDelayedCalls(), [])
            self.assertEqual(house.factory.sessions, set())

    def test_a_drain_tells_idle_sessions_and_waits_for_the_others(self) -> None:
        house = POP3House()
        idle = house.login()
        busy = house.connect()
        house.logins.hold = True
        busy.say(LOGIN)
        busy.heard()
        self.assertEqual(house.factory.drain(), 2)
        self.assertIn(b"-ERR [SYS/TEMP] the server is shutting down", idle.heard())
        self.assertTrue(idle.lost)
        self.assertEqual(busy.heard(), b"")
        house.logins.held[0].callback(None)
        self.assertIn(b"+OK 3 messages", busy.heard())
        self.assertEqual(house.factory.drain(), 1)
        self.assertIn(b"shutting down", busy.heard())
        self.assertEqual(house.factory.sessions, set())

    def test_a_drain_waits_for_a_client_that_still_reads_a_reply(self) -> None:
        """A short message is one piece: its command has ended, but the client has not read it yet."""
        house = POP3House()
        house.store.put(house.alice, b"x" * 100_000 + b"\r\n")
        peer = house.login()
        slow = SlowTransport(peer)
        peer.say(b"RETR 3\r\nRETR 4\r\n")
        connection = house.server.connection
        self.assertFalse(connection.busy)
        self.assertEqual((house.factory.drain(), connection.closing), (1, False))
        self.assertTrue(slow.read().endswith(b"x\r\n.\r\n"))
        house.factory.drain()
        self.assertTrue(slow.read().startswith(b"-ERR [SYS/TEMP] the server is shutting down"))

    def test_after_a_drain_a_client_that_reads_too_slowly_is_told(self) -> None:
        """The daemon then aborts the connection if the client has not read the reply two seconds later."""
        house = POP3House()
        house.store.put(house.alice, b"x" * 100_000 + b"\r\n")
        peer = house.login()
        SlowTransport(peer)
        peer.say(b"RETR 3\r\nRETR 4\r\n")
        self.assertEqual(house.factory.drain(), 1)
        house.factory.interrupt()
        self.assertTrue(house.server.connection.closing)

    def test_a_session_that_is_closing_is_told_once(self) -> None:
        house = POP3House()
        peer = house.login()
        transport: Any = peer.transport
        transport.loseConnection = lambda: None
        self.assertEqual((house.factory.drain(), house.factory.drain()), (1, 1))
        self.assertEqual(peer.heard().count(b"shutting down"), 1)
        self.assertEqual(house.server.connection.replies._out, [])
        house.clock.advance(6)
        self.assertTrue(peer.transport.aborted)

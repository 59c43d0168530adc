"""The POP3 server: waiting, failing, losing the peer, and sending no faster than it reads."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import POP3Settings
from emailsys.interfaces import MaildropLost, StoreError
from emailsys.net.connection import MAX_WAITING_OCTETS
from tests.dialogue.peers import LOOPBACK_6, STRANGER, MemoryPeer
from tests.fakes.pop3_house import FIRST, LOGIN, SECOND, THIRD, POP3House


class SlowTransport:
    """Makes a MemoryPeer's transport one whose peer reads only when told: it chokes as a socket does."""

    def __init__(self, peer: MemoryPeer) -> None:
        transport: Any = peer.transport
        self.transport = transport
        self.peer = peer
        self.unsent = 0
        self.most = 0
        self._deliver = transport.write
        transport.write = self._take

    def _take(self, octets: bytes) -> None:
        self._deliver(octets)
        self.unsent += len(octets)
        self.most = max(self.most, self.unsent)
        if self.unsent > 65536 and self.transport.producer is not None:
            self.transport.producer.pauseProducing()

    def read(self) -> bytes:
        """The peer reads all there is."""
        got = self.peer.heard()
        self.unsent = 0
        if self.transport.producer is not None:
            self.transport.producer.resumeProducing()
        return got


class LoginTests(SynchronousTestCase):
    """Before the maildrop is open."""

    def test_password_is_never_logged(self) -> None:
        house = POP3House()
        peer = house.connect()
        peer.say(b"USER alice@example.test\r\nPASS wr0ng!\r\nUSER alice@example.test\r\nPASS secret\r\n")
        self.assertIn("-ERR [AUTH]", peer.heard().decode())
        log = "\n".join(house.log.lines)
        self.assertNotIn("wr0ng!", log)
        self.assertNotIn("secret", log)
        self.assertIn("pop3.login_refused", log)
        self.assertIn("user=alice@example.test", log)

    def test_control_octets_of_a_name_do_not_reach_the_log(self) -> None:
        house = POP3House()
        peer = house.connect()
        response = base64.b64encode(b"\0a\r\npop3.login user=root\0x")
        peer.say(b"AUTH PLAIN " + response + b"\r\n")
        self.assertIn(b"-ERR [AUTH]", peer.heard())
        self.assertEqual([line for line in house.log.lines if "\n" in line or "\r" in line], [])

    def test_the_mind_tells_who_asks(self) -> None:
        house = POP3House()
        house.connect(tls=True).say(LOGIN)
        mind = house.logins.asked[1]
        self.assertEqual((mind.ip, mind.protocol), ("127.0.0.1", "POP3S"))
        self.assertEqual(mind.session, house.server.session)

    def test_a_stranger_may_log_in_under_tls_only(self) -> None:
        house = POP3House()
        peer = house.connect(STRANGER)
        peer.say(LOGIN)
        self.assertIn(b"-ERR not allowed without TLS\r\n-ERR USER first\r\n", peer.heard())
        peer = house.connect(STRANGER, tls=True)
        peer.say(LOGIN)
        self.assertIn(b"+OK 3 messages", peer.heard())

    def test_loopback_of_ipv6_may_log_in_where_the_config_says_so(self) -> None:
        peer = POP3House().connect(LOOPBACK_6)
        peer.say(LOGIN)
        self.assertIn(b"+OK 3 messages", peer.heard())
        peer = POP3House(POP3Settings()).connect(LOOPBACK_6)
        peer.say(LOGIN)
        self.assertIn(b"-ERR not allowed without TLS", peer.heard())

    def test_stls_without_a_certificate_is_not_available(self) -> None:
        peer = POP3House().connect()
        peer.say(b"STLS\r\nCAPA\r\n")
        heard = peer.heard()
        self.assertIn(b"-ERR TLS is not available\r\n", heard)
        self.assertNotIn(b"\r\nSTLS\r\n", heard)

    def test_implicit_tls_offers_no_stls(self) -> None:
        peer = POP3House().connect(STRANGER, tls=True)
        peer.say(b"CAPA\r\n")
        heard = peer.heard()
        self.assertNotIn(b"STLS", heard)
        self.assertIn(b"\r\nUSER\r\n", heard)
        self.assertIn(b"SASL PLAIN LOGIN", heard)

    def test_too_many_logins_that_wait_are_a_temporary_error(self) -> None:
        house = POP3House()
        house.logins.busy = True
        peer = house.connect()
        peer.say(LOGIN)
        self.assertIn(b"-ERR [SYS/TEMP] too many logins wait", peer.heard())
        house.logins.busy = False
        peer.say(LOGIN)
        self.assertIn(b"+OK 3 messages", peer.heard())

    def test_a_store_that_cannot_open_the_maildrop_is_a_temporary_error(self) -> None:
        house = POP3House()
        house.logins.failure = StoreError("locked")
        peer = house.connect()
        peer.say(LOGIN)
        self.assertIn(b"-ERR [SYS/TEMP] the mail store cannot answer now", peer.heard())
        self.assertEqual(house.telemetry.counters["surprise"], 0)

    def test_a_login_that_ends_after_the_peer_has_gone_releases_the_maildrop(self) -> None:
        house = POP3House()
        house.logins.hold = True
        peer = house.connect()
        peer.say(LOGIN)
        peer.lose()
        house.logins.held[0].callback(None)
        self.assertEqual(len(house.logins.opened), 1)
        self.assertTrue(house.logins.opened[0].released)
        house.logins.hold = False
        again = house.connect()
        again.say(LOGIN)
        self.assertIn(b"+OK 3 messages", again.heard())

    def test_commands_behind_a_slow_login_wait_for_it(self) -> None:
        house = POP3House()
        house.logins.hold = True
        peer = house.connect()
        peer.say(LOGIN + b"STAT\r\n")
        self.assertTrue(peer.heard().endswith(b"+OK now PASS\r\n"))
        peer.say(b"QUIT\r\n")
        self.assertEqual(peer.heard(), b"")
        house.logins.held[0].callback(None)
        self.assertEqual(peer.heard(), b"+OK 3 messages (133 octets)\r\n+OK 3 133\r\n+OK bye, 0 messages removed\r\n")

    def test_a_slow_password_check_is_not_held_against_the_client(self) -> None:
        house = POP3House()
        house.logins.hold = True
        peer = house.connect()
        peer.say(LOGIN)
        peer.heard()
        house.clock.pump([50, 50, 50])
        self.assertEqual(peer.heard(), b"")
        house.logins.held[0].callback(None)
        self.assertIn(b"+OK 3 messages", peer.heard())

    def test_a_tls_handshake_has_thirty_seconds(self) -> None:
        for peer_is_late in (True, False):
            house = POP3House(context_factory=object())
            peer = house.connect()
            peer.say(b"STLS\r\n")
            if not peer_is_late:
                house.clock.advance(29)
                house.server.handshakeCompleted()
            house.clock.advance(31)
            self.assertEqual(peer.transport.aborted, peer_is_late)

    def test_octets_in_the_clear_during_the_handshake_are_dropped(self) -> None:
        house = POP3House(context_factory=object())
        peer = house.connect()
        peer.say(b"STLS\r\nUSER alice@example.test\r\n")
        peer.say(b"PASS secret\r\n")
        self.assertTrue(peer.heard().endswith(b"+OK begin TLS\r\n"))
        house.server.handshakeCompleted()
        peer.say(b"NOOP\r\n")
        self.assertEqual(peer.heard(), b"-ERR NOOP is not allowed before login\r\n")
        self.assertEqual(house.telemetry.counters["pop3.plaintext_dropped"], 1)

    def test_an_avatar_that_is_no_maildrop_is_logged_and_logged_out(self) -> None:
        house = POP3House()
        loggedout: list[bool] = []

        async def open_nothing(account_id: int, interface: Any) -> Any:
            return interface, object(), lambda: loggedout.append(True)

        house.logins._open = open_nothing  # type: ignore[method-assign]
        peer = house.connect()
        peer.say(LOGIN)
        self.assertIn(b"-ERR [SYS/TEMP] internal error", peer.heard())
        self.assertEqual(house.telemetry.counters["surprise"], 1)
        peer.lose()
        self.assertEqual(loggedout, [True])


class EndingTests(SynchronousTestCase):
    """How a session ends, and what is deleted by then."""

    def test_the_reply_to_quit_waits_for_the_commit(self) -> None:
        house = POP3House()
        peer = house.login()
        house.store.hold_commits = True
        peer.say(b"DELE 1\r\nDELE 3\r\nQUIT\r\n")
        self.assertEqual(peer.heard(), b"+OK message 1 deleted\r\n+OK message 3 deleted\r\n")
        self.assertEqual(len(house.bodies()), 3)
        house.store.let_go()
        self.assertEqual(peer.heard(), b"+OK bye, 2 messages removed\r\n")
        self.assertEqual(house.bodies(), [SECOND])

    def test_the_maildrop_is_free_when_the_reply_to_quit_comes(self) -> None:
        house = POP3House()
        peer = house.login()
        peer.say(b"QUIT\r\n")
        again = house.connect()
        again.say(LOGIN)
        self.assertIn(b"+OK 3 messages", again.heard())

    def test_a_commit_that_fails_is_told_and_removes_nothing(self) -> None:
        for error, surprises in ((StoreError("disk"), 0), (RuntimeError("bug"), 1)):
            house = POP3House()
            peer = house.login()
            house.store.fail_next_commit = error
            peer.say(b"DELE 1\r\nQUIT\r\n")
            self.assertIn(b"-ERR [SYS/TEMP] some deleted messages not removed\r\n", peer.heard())
            self.assertTrue(peer.lost)
            self.assertEqual(len(house.bodies()), 3)
            self.assertTrue(house.logins.opened[0].released)
            self.assertEqual(house.telemetry.counters["surprise"], surprises)
            self.flushLoggedErrors()

    def test_a_peer_that_goes_during_the_commit_keeps_the_lock_until_it_ends(self) -> None:
        house = POP3House()
        peer = house.login()
        house.store.hold_commits = True
        peer.say(b"DELE 1\r\nQUIT\r\n")
        peer.lose()
        self.assertFalse(house.logins.opened[0].released)
        house.store.let_go()
        self.assertTrue(house.logins.opened[0].released)
        self.assertEqual(house.bodies(), [SECOND, THIRD])

    def test_a_quit_that_was_not_reached_deletes_nothing(self) -> None:
        """The client pipelined DELE and QUIT behind a RETR, and was gone before QUIT's turn came."""
        house = POP3House()
        house.store.put(house.alice, b"x" * 1_000_000 + b"\r\n")
        peer = house.login()
        SlowTransport(peer)
        peer.say(b"DELE 1\r\nRETR 4\r\nQUIT\r\n")
        peer.lose()
        self.assertEqual(len(house.bodies()), 4)
        self.assertTrue(house.logins.opened[0].released)
        self.assertEqual(house.telemetry.counters["surprise"], 0)

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

    def test_a_session_that_speaks_is_not_taken_over(self) -> None:
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

    def test_a_close_that_the_peer_does_not_answer_is_an_abort_after_five_seconds(self) -> None:
        house = POP3House()
        peer = house.connect()
        aborted: list[bool] = []
        transport: Any = peer.transport
        transport.loseConnection = lambda: None
        transport.abortConnection = lambda: aborted.append(True)
        peer.say(b"QUIT\r\n")
        house.clock.advance(4.9)
        self.assertEqual(aborted, [])
        house.clock.advance(0.2)
        self.assertEqual(aborted, [True])

    def test_nothing_is_left_on_the_clock_when_a_session_has_ended(self) -> None:
        house = POP3House()
        for ending in (b"QUIT\r\n", b""):
            peer = house.login()
            peer.say(ending)
            if not peer.lost:
                peer.lose()
            self.assertEqual(house.clock.getDelayedCalls(), [])
            self.assertEqual(house.factory.sessions, set())

    def test_a_daemon_that_goes_down_tells_its_idle_sessions_and_waits_for_the_others(self) -> None:
        house = POP3House()
        idle = house.login()
        busy = house.connect()
        house.logins.hold = True
        busy.say(LOGIN)
        busy.heard()
        self.assertEqual(house.factory.drain(), 2)
        self.assertIn(b"-ERR [SYS/TEMP] the server goes down", idle.heard())
        self.assertTrue(idle.lost)
        self.assertEqual(busy.heard(), b"")
        house.logins.held[0].callback(None)
        self.assertIn(b"+OK 3 messages", busy.heard())
        self.assertEqual(house.factory.drain(), 1)
        self.assertIn(b"goes down", busy.heard())
        self.assertEqual(house.factory.sessions, set())

    def test_a_session_that_is_closing_is_told_once(self) -> None:
        house = POP3House()
        peer = house.login()
        transport: Any = peer.transport
        transport.loseConnection = lambda: None
        self.assertEqual((house.factory.drain(), house.factory.drain()), (1, 1))
        self.assertEqual(peer.heard().count(b"goes down"), 1)
        self.assertEqual(house.server._out, [])
        house.clock.advance(6)
        self.assertTrue(peer.transport.aborted)


class SendingTests(SynchronousTestCase):
    """RETR, TOP and long listings."""

    def test_a_small_message_goes_out_in_one_write_with_its_status_line(self) -> None:
        house = POP3House()
        peer = house.login()
        writes: list[bytes] = []
        transport: Any = peer.transport
        transport.write = writes.append
        peer.say(b"RETR 2\r\n")
        self.assertEqual(writes, [b"+OK 40 octets\r\n" + SECOND + b".\r\n"])

    def test_replies_of_one_segment_go_out_in_one_write(self) -> None:
        house = POP3House()
        peer = house.login()
        writes: list[bytes] = []
        transport: Any = peer.transport
        transport.write = writes.append
        peer.say(b"NOOP\r\n" * 100)
        self.assertEqual(writes, [b"+OK\r\n" * 100])

    def test_a_client_that_pipelines_thousands_does_not_hold_up_the_others(self) -> None:
        house = POP3House()
        peer = house.login()
        peer.say(b"NOOP\r\n" * 1000)
        answered = peer.heard().count(b"+OK\r\n")
        self.assertLess(answered, 1000)
        while house.clock.getDelayedCalls()[0].getTime() == house.clock.seconds():
            house.clock.advance(0)
            answered += peer.heard().count(b"+OK\r\n")
        self.assertEqual(answered, 1000)

    def test_a_message_goes_no_faster_than_the_peer_reads(self) -> None:
        """20 MiB, a dot at every line: at most a piece of it waits at any time."""
        house = POP3House()
        body = b"".join(b".%078d\r\n" % n for n in range(20 * 1024 * 1024 // 81))
        house.store.put(house.alice, body)
        peer = house.login()
        slow = SlowTransport(peer)
        peer.say(b"RETR 4\r\nNOOP\r\n")
        got = []
        while chunk := slow.read():
            got.append(chunk)
        self.assertLess(slow.most, 2 * 256 * 1024)
        self.assertGreater(len(got), 40)
        status, _, wire = b"".join(got).partition(b"\r\n")
        self.assertEqual(status, b"+OK %d octets" % len(body))
        self.assertEqual(wire, body.replace(b".", b"..") + b".\r\n+OK\r\n")

    def test_a_peer_that_never_reads_costs_no_memory(self) -> None:
        house = POP3House()
        house.store.put(house.alice, b"x" * 10_000_000 + b"\r\n")
        peer = house.login()
        slow = SlowTransport(peer)
        for _ in range(2000):
            peer.say(b"RETR 4\r\nLIST\r\nRETR 1\r\n" * 10)
        # What it sends after we stopped reading waits on its side; here that is the test's own list.
        held = sum(len(piece) for piece in peer._held)
        self.assertLess(slow.most, 2 * 256 * 1024)
        self.assertLess(house.server.wire.waiting, 2 * MAX_WAITING_OCTETS)
        self.assertGreater(held, 100_000)
        self.assertEqual(peer.transport.producerState, "paused")

    def test_a_peer_that_does_not_read_is_aborted_after_the_session_timeout(self) -> None:
        house = POP3House()
        house.store.put(house.alice, b"x" * 1_000_000 + b"\r\n")
        peer = house.login()
        SlowTransport(peer)
        peer.say(b"RETR 4\r\n")
        house.clock.advance(599)
        self.assertFalse(peer.transport.aborted)
        house.clock.advance(2)
        self.assertTrue(peer.transport.aborted)
        peer.heard()
        self.assertTrue(house.logins.opened[0].released)

    def test_a_slow_reader_is_not_silent(self) -> None:
        house = POP3House()
        house.store.put(house.alice, b"x" * 3_000_000 + b"\r\n")
        peer = house.login()
        slow = SlowTransport(peer)
        peer.say(b"RETR 4\r\n")
        got = 0
        while chunk := slow.read():
            got += len(chunk)
            house.clock.advance(500)
        self.assertGreater(got, 3_000_000)

    def test_a_hundred_thousand_messages_are_listed_in_bounded_memory(self) -> None:
        house = POP3House()
        for _ in range(100_000 - 3):
            house.store.put(house.alice, b"x\r\n")
        peer = house.login()
        slow = SlowTransport(peer)
        for command in (b"LIST\r\n", b"UIDL\r\n"):
            peer.say(command)
            got = []
            while chunk := slow.read():
                got.append(chunk)
            lines = b"".join(got).split(b"\r\n")
            self.assertEqual(len(lines), 100_003)
            self.assertTrue(lines[100_000].startswith(b"100000 "))
            self.assertLess(slow.most, 3 * MAX_WAITING_OCTETS)

    def test_serving_utf8_raw_is_the_operators_choice(self) -> None:
        house = POP3House(POP3Settings(plaintext_auth_on_loopback=True, serve_utf8_raw=True))
        peer = house.login()
        peer.say(b"RETR 3\r\n")
        self.assertEqual(peer.heard(), b"+OK 26 octets\r\n" + THIRD + b".\r\n")

    def test_a_read_that_fails_before_the_first_octet_is_a_temporary_error(self) -> None:
        house = POP3House()
        peer = house.login()
        house.store.fail_reads = StoreError("locked")
        peer.say(b"RETR 1\r\nTOP 1 1\r\n")
        self.assertEqual(peer.heard().count(b"-ERR [SYS/TEMP] the mail store cannot answer now"), 2)
        house.store.fail_reads = None
        peer.say(b"RETR 2\r\n")
        self.assertIn(SECOND, peer.heard())

    def serve(self, house: POP3House, pieces: Any) -> None:
        house.logins.opened[0].pieces = pieces

    def test_a_message_that_breaks_off_never_gets_its_final_dot(self) -> None:
        """A client would take it for whole, and delete it."""
        for error, surprises in ((StoreError("disk"), 0), (ValueError("bug"), 1), (MaildropLost(), 0), (None, 0)):
            house = POP3House()
            peer = house.login()

            async def breaking(index: int, error: Any = error) -> AsyncIterator[tuple[bytes, bool]]:
                yield FIRST[:20], False
                if error is not None:
                    raise error

            self.serve(house, breaking)
            peer.say(b"RETR 1\r\nSTAT\r\n")
            self.assertNotIn(b"\r\n.\r\n", peer.heard())
            self.assertTrue(peer.transport.aborted)
            self.assertEqual(house.telemetry.counters["surprise"], surprises)
            self.flushLoggedErrors()

    def test_a_message_whose_body_is_gone_is_a_permanent_error(self) -> None:
        house = POP3House()
        peer = house.login()

        async def nothing(index: int) -> AsyncIterator[tuple[bytes, bool]]:
            if index < 0:
                yield b"", False

        self.serve(house, nothing)
        peer.say(b"RETR 1\r\nNOOP\r\n")
        self.assertEqual(peer.heard(), b"-ERR [SYS/PERM] the message cannot be read; tell your postmaster\r\n+OK\r\n")

    def test_top_reads_no_more_than_it_sends_and_ends_the_reading(self) -> None:
        house = POP3House()
        peer = house.login()
        events: list[str] = []

        async def pieces(index: int) -> AsyncIterator[tuple[bytes, bool]]:
            try:
                for piece in (b"A: 1\r\n\r\none\r\n", b"two\r\n"):
                    events.append("read")
                    yield piece, False
            finally:
                events.append("closed")

        self.serve(house, pieces)
        peer.say(b"TOP 1 1\r\n")
        self.assertTrue(peer.heard().endswith(b"A: 1\r\n\r\none\r\n.\r\n"))
        self.assertEqual(events, ["read", "closed"])

    def test_a_peer_that_goes_during_retr_ends_the_reading(self) -> None:
        house = POP3House()
        peer = house.login()
        SlowTransport(peer)
        events: list[str] = []

        async def pieces(index: int) -> AsyncIterator[tuple[bytes, bool]]:
            try:
                while True:
                    yield b"x" * 100_000, False
            finally:
                events.append("closed")

        self.serve(house, pieces)
        peer.say(b"RETR 1\r\n")
        self.assertEqual(events, [])
        peer.lose()
        self.assertEqual(events, ["closed"])
        self.assertEqual(house.telemetry.counters["surprise"], 0)

    def test_reads_that_wait_do_not_stop_other_sessions(self) -> None:
        house = POP3House()
        peer = house.login()
        waiting: Deferred[None] = Deferred()

        async def pieces(index: int) -> AsyncIterator[tuple[bytes, bool]]:
            await waiting
            yield FIRST, True

        self.serve(house, pieces)
        peer.say(b"STAT\r\nRETR 1\r\nNOOP\r\n")
        self.assertEqual(peer.heard(), b"+OK 3 133\r\n")
        other = house.connect()
        other.say(b"QUIT\r\n")
        self.assertTrue(other.heard().endswith(b"+OK bye\r\n"))
        waiting.callback(None)
        self.assertTrue(peer.heard().endswith(b".\r\n+OK\r\n"))


class SurpriseTests(SynchronousTestCase):
    """An exception that nobody expected."""

    def test_it_is_logged_once_answered_and_the_session_goes_on(self) -> None:
        house = POP3House()
        peer = house.login()

        def broken(i: int | None = None) -> Any:
            raise RuntimeError("secret path /var/x")

        house.logins.opened[0].listMessages = broken
        peer.say(b"STAT\r\nNOOP\r\n")
        self.assertEqual(peer.heard(), b"-ERR [SYS/TEMP] internal error; it was logged\r\n+OK\r\n")
        self.assertEqual(house.telemetry.counters["surprise"], 1)

    def test_one_in_a_coroutine_too(self) -> None:
        house = POP3House()
        peer = house.connect()
        house.logins.failure = RuntimeError("bug")
        peer.say(LOGIN)
        self.assertIn(b"-ERR [SYS/TEMP] internal error", peer.heard())
        house.logins.failure = None
        peer.say(LOGIN)
        self.assertIn(b"+OK 3 messages", peer.heard())
        self.assertEqual(house.telemetry.counters["surprise"], 1)

    def test_one_while_the_session_ends_is_logged(self) -> None:
        house = POP3House()
        peer = house.login()

        def broken() -> None:
            raise RuntimeError("bug")

        house.server._logout = broken
        peer.lose()
        self.assertEqual(house.telemetry.counters["surprise"], 1)

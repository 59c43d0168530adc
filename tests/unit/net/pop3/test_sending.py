"""POP3 output is complete, exact, and sent no faster than the peer reads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import POP3Settings
from emailsys.interfaces import MaildropLost, StoreDamaged, StoreError
from emailsys.net.serving.replies import MAX_WAITING_OCTETS
from tests.fakes.net.pop3_house import FIRST, SECOND, THIRD, POP3House
from tests.fakes.net.slow_peer import SlowTransport


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

    def test_a_command_that_concerns_a_message_lets_a_session_go_on(self) -> None:
        """Without one, a session ends after so many commands."""
        peer = POP3House().login()
        for line in (b"LIST 1\r\n", b"RETR 1\r\n", b"DELE 1\r\n", b"RETR 9\r\n"):
            for _ in range(80):
                self.assertFalse(peer.lost)
                peer.say(b"NOOP\r\n" * 100)
            peer.say(line)
        for _ in range(11):
            peer.say(b"NOOP\r\n" * 100)
        self.assertTrue(peer.lost)

    def test_a_list_is_made_once_for_all_sessions_without_deletions(self) -> None:
        """DELE and RSET in one session change its own lists, and those of no other session."""
        house = POP3House()
        made: list[dict[bytes, bytes]] = []
        for _ in range(2):
            answers = {}
            for before in (b"", b"DELE 2\r\n", b"DELE 2\r\nRSET\r\n"):
                peer = house.login()
                for command in (b"LIST\r\n", b"UIDL\r\n"):
                    peer.say(before)
                    peer.heard()
                    peer.say(command)
                    answers[before + command] = peer.heard()
                    peer.say(b"RSET\r\n")
                peer.say(b"RSET\r\nQUIT\r\n")
            made.append(answers)
        self.assertEqual(made[0], made[1])
        for command in (b"LIST\r\n", b"UIDL\r\n"):
            whole = made[0][command]
            self.assertEqual(whole.count(b"\r\n"), 5)
            self.assertEqual(made[0][b"DELE 2\r\nRSET\r\n" + command], whole)
            lines = whole.splitlines(keepends=True)
            self.assertEqual(made[0][b"DELE 2\r\n" + command], b"".join([*lines[:2], *lines[3:]]))
        self.assertEqual([set(kept) for kept in house.store.listings.values()], [{"LIST", "UIDL"}])

    def test_long_lists_that_are_kept_go_no_faster_than_the_peer_reads(self) -> None:
        house = POP3House()
        for _ in range(20_000):
            house.store.put(house.alice, b"Subject: x\r\n\r\n")
        whole = []
        for _ in range(2):
            peer = house.login()
            slow = SlowTransport(peer)
            peer.say(b"LIST\r\nNOOP\r\n")
            got = []
            while chunk := slow.read():
                got.append(chunk)
                house.clock.advance(0)
            whole.append(b"".join(got))
            self.assertLess(slow.most, 4 * MAX_WAITING_OCTETS)
            peer.say(b"QUIT\r\n")
        self.assertEqual(whole[0], whole[1])
        self.assertTrue(whole[1].endswith(b"20003 14\r\n.\r\n+OK\r\n"), whole[1][-40:])

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
        """20 MiB with a dot at every line start: at most one piece waits at any time."""
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
        # Input that the server does not read waits on the client's side: here in a list of the test.
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
            while (chunk := slow.read()) or house.clock.getDelayedCalls()[0].getTime() == house.clock.seconds():
                got.append(chunk)
                house.clock.advance(0)
            lines = b"".join(got).split(b"\r\n")
            self.assertEqual(len(lines), 100_003)
            self.assertTrue(lines[100_000].startswith(b"100000 "))
            self.assertLess(slow.most, 3 * MAX_WAITING_OCTETS)

    def test_long_listings_of_a_fast_reader_do_not_hold_up_the_others(self) -> None:
        """Its connection is never blocked."""
        house = POP3House()
        for _ in range(5000 - 3):
            house.store.put(house.alice, b"x\r\n")
        peer = house.login()
        for command, replies in ((b"UIDL\r\n", 1), (b"LIST\r\n", 1), (b"STAT\r\n", 9), (b"RSET\r\n", 9)):
            peer.say(command * replies)
            heard = [peer.heard()]
            while house.clock.getDelayedCalls()[0].getTime() == house.clock.seconds():
                house.clock.advance(0)
                heard.append(peer.heard())
            lines = b"".join(heard).split(b"\r\n")
            self.assertEqual(len(lines), 3 + 5000 if replies == 1 else 1 + replies)
            self.assertLess(max(chunk.count(b"\r\n") for chunk in heard), 5000 if replies == 1 else replies)

    def test_a_client_that_leaves_a_long_listing_is_no_failure(self) -> None:
        house = POP3House()
        for _ in range(5000):
            house.store.put(house.alice, b"x\r\n")
        peer = house.login()
        peer.say(b"UIDL\r\n")
        peer.transport.abortConnection()
        peer.heard()
        house.clock.advance(0)
        self.assertTrue(house.logins.opened[0].released)
        self.assertEqual(house.clock.getDelayedCalls(), [])

    def test_the_operator_may_allow_raw_utf8(self) -> None:
        house = POP3House(POP3Settings(plaintext_auth_on_loopback=True, serve_utf8_raw=True))
        peer = house.login()
        peer.say(b"RETR 3\r\n")
        self.assertEqual(peer.heard(), b"+OK 26 octets\r\n" + THIRD + b".\r\n")

    def test_the_operator_may_refuse_utf8(self) -> None:
        """RFC 6856 §5: to clients that have not sent UTF8."""
        house = POP3House(POP3Settings(plaintext_auth_on_loopback=True, downgrade_utf8=False))
        peer = house.login()
        peer.say(b"RETR 3\r\nTOP 3 0\r\n")
        self.assertEqual(peer.heard(), b"-ERR [UTF8] the message needs the UTF8 command before login\r\n" * 2)

    def test_a_surrogate_of_several_pieces_ends_with_a_dot(self) -> None:
        """Its size is not known when the status line is sent, and dots are stuffed after the change."""
        house = POP3House()
        body = b".dot\r\n" + b"x" * 600_000 + b"\r\n"
        house.store.put(house.alice, "Subject: ü\r\n\r\n".encode() + body, smtputf8=True)
        peer = house.login()
        peer.say(b"RETR 4\r\n")
        self.assertEqual(peer.heard(), b"+OK message follows\r\nSubject: =?utf-8?b?w7w=?=\r\n\r\n." + body + b".\r\n")

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
        """A client would consider it complete, and delete it."""
        for error, exceptions in ((StoreError("disk"), 0), (ValueError("bug"), 1), (MaildropLost(), 0), (None, 0)):
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
            self.assertEqual(house.telemetry.counters["exception"], exceptions)
            self.flushLoggedErrors()

    def test_a_message_whose_body_is_gone_is_a_permanent_error(self) -> None:
        house = POP3House()
        peer = house.login()

        async def nothing(index: int) -> AsyncIterator[tuple[bytes, bool]]:
            if index < 0:
                yield b"", False

        self.serve(house, nothing)
        peer.say(b"RETR 1\r\nNOOP\r\n")
        self.assertEqual(
            peer.heard(),
            b"-ERR [SYS/PERM] the message was damaged in the store and is not sent; tell your postmaster\r\n+OK\r\n",
        )

    def test_a_message_found_damaged_half_way_ends_the_connection_without_its_dot(self) -> None:
        """The client must not consider it complete. If its first piece is damaged, -ERR is sent."""
        house = POP3House()
        for first in ((b"Subject: x\r\n\r\n",), ()):
            peer = house.login()

            async def pieces(index: int, first: tuple[bytes, ...] = first) -> AsyncIterator[tuple[bytes, bool]]:
                for piece in first:
                    yield piece, False
                raise StoreDamaged("piece 1")

            house.logins.opened[-1].pieces = pieces
            peer.say(b"RETR 1\r\nDELE 1\r\n")
            heard = peer.heard()
            self.assertNotIn(b"\r\n.\r\n", heard)
            self.assertEqual(peer.transport.aborted, bool(first))
            self.assertEqual(heard.startswith(b"-ERR [SYS/PERM] "), not first)
            self.assertEqual(heard.endswith(b"+OK message 1 deleted\r\n"), not first)
            peer.lose()

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
        self.assertEqual(house.telemetry.counters["exception"], 0)

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

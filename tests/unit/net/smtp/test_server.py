"""SMTP sessions: pipelining, backpressure, failures and lost connections, which text scripts cannot show."""

from __future__ import annotations

import gc
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from emailsys.config.settings import SMTPSettings
from emailsys.interfaces import IDelivery, IIntake, StoreError, StoreFull, TooMuchHeld
from emailsys.testing.memory_peer import MemoryPeer
from emailsys.wire.smtp.refusals import MAX_IDLE_COMMANDS
from tests.fakes.net.smtp_house import Delivery, SMTPHouse

ENVELOPE = b"MAIL FROM:<carol@elsewhere.test>\r\nRCPT TO:<bob@example.test>\r\n"
LOGIN = b"AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=\r\n"


def codes(octets: bytes) -> list[int]:
    """Returns the codes of the replies, one for each reply."""
    return [int(line[:3]) for line in octets.split(b"\r\n") if line[3:4] == b" "]


def greeted(house: SMTPHouse, **named: Any) -> MemoryPeer:
    """Returns a client that has sent EHLO."""
    peer = house.connect(**named)
    peer.say(b"EHLO client\r\n")
    peer.heard()
    return peer


def in_data(house: SMTPHouse, **named: Any) -> MemoryPeer:
    """Returns a client that has received its 354."""
    peer = greeted(house, **named)
    peer.say(ENVELOPE + b"DATA\r\n")
    assert codes(peer.heard()) == [250, 250, 354]
    return peer


class Fakes(SynchronousTestCase):
    def test_the_fakes_provide_their_interfaces(self) -> None:
        house = SMTPHouse()
        verifyObject(IDelivery, Delivery(house, None))
        verifyObject(IIntake, house.store.intake)


class Order(SynchronousTestCase):
    def test_pipelined_commands_wait_for_the_reply_before(self) -> None:
        house = SMTPHouse()
        for step in ("validateFrom", "validateTo"):
            waiting: Deferred[None] = Deferred()
            house.waits[step] = waiting
            peer = greeted(house)
            peer.say(ENVELOPE + b"DATA\r\n")
            self.assertEqual(codes(peer.heard()), [250] * ["validateFrom", "validateTo"].index(step))
            waiting.callback(None)
            self.assertEqual(codes(peer.heard())[-2:], [250, 354])

    def test_rset_and_quit_wait_for_the_reply_to_data(self) -> None:
        house = SMTPHouse()
        house.store.hold_commits = True
        peer = in_data(house)
        peer.say(b"one\r\n.\r\nRSET\r\nQUIT\r\n")
        self.assertEqual(peer.heard(), b"")
        self.assertFalse(peer.lost)
        house.store.release_held()
        self.assertEqual(codes(peer.heard()), [250, 250, 221])
        self.assertTrue(peer.lost)

    def test_nothing_is_acknowledged_before_the_commit(self) -> None:
        house = SMTPHouse()
        house.store.hold_commits = True
        peer = in_data(house)
        peer.say(b"one\r\n.\r\n")
        self.assertEqual(peer.heard(), b"")
        self.assertEqual(house.messages, [])
        house.store.release_held()
        self.assertTrue(peer.heard().startswith(b"250 2.0.0 queued as Q"))

    def test_replies_of_a_batch_are_one_write(self) -> None:
        house = SMTPHouse()
        peer = greeted(house)
        written: list[bytes] = []
        peer.transport.write = written.append  # type: ignore[method-assign]
        peer.say(ENVELOPE + b"DATA\r\n")
        self.assertEqual(len(written), 1)
        self.assertEqual(codes(written[0]), [250, 250, 354])

    def test_a_connection_lost_during_the_commit_does_not_undo_it(self) -> None:
        house = SMTPHouse()
        house.store.hold_commits = True
        peer = in_data(house)
        peer.say(b"one\r\n.\r\n")
        peer.lose()
        house.store.release_held()
        self.assertEqual(len(house.messages), 1)
        self.assertEqual(house.store.abandoned, 0)
        self.assertEqual(house.telemetry.counters["accepted"], 1)
        self.assertEqual(house.telemetry.exceptions, [])

    def test_a_connection_lost_while_the_policy_waits_is_not_an_error(self) -> None:
        for step in ("stranger", "validateFrom", "validateTo"):
            house = SMTPHouse()
            waiting: Deferred[None] = Deferred()
            house.waits[step] = waiting
            peer = greeted(house)
            peer.say(ENVELOPE + b"DATA\r\n")
            peer.lose()
            waiting.callback(None)
            self.assertEqual(house.telemetry.exceptions, [])
            self.assertEqual(house.messages, [])

    def test_a_connection_lost_while_the_store_checks_for_room_is_not_an_error(self) -> None:
        house = SMTPHouse()
        waiting: Deferred[bool] = Deferred()

        async def has_room(octets: int) -> bool:
            return await waiting

        house.store.intake.has_room = has_room  # type: ignore[method-assign]
        peer = greeted(house)
        peer.say(ENVELOPE)
        peer.lose()
        waiting.callback(True)
        self.assertEqual(house.telemetry.exceptions, [])

    def test_a_disk_without_room_for_the_largest_message_accepts_none(self) -> None:
        """A small SIZE does not give access to the last octets of a disk."""
        house = SMTPHouse()
        asked: list[int] = []

        async def has_room(octets: int) -> bool:
            asked.append(octets)
            return False

        house.store.intake.has_room = has_room  # type: ignore[method-assign]
        peer = greeted(house)
        peer.say(b"MAIL FROM:<a@elsewhere.test> SIZE=10\r\nMAIL FROM:<a@elsewhere.test>\r\n")
        self.assertEqual(asked, [house.service.settings.max_message_size] * 2)
        self.assertEqual(peer.heard().count(b"452 4.3.1 "), 2)


class Bounds(SynchronousTestCase):
    def test_reading_pauses_when_a_client_sends_ahead_of_its_answers(self) -> None:
        house = SMTPHouse()
        house.store.hold_commits = True
        peer = in_data(house)
        peer.say(b"one\r\n.\r\n")
        peer.say(b"NOOP\r\n" * 5000)
        self.assertEqual(peer.transport.producerState, "producing")
        peer.say(b"NOOP\r\n" * 10000)
        self.assertEqual(peer.transport.producerState, "paused")
        house.store.release_held()
        while len(house.clock.getDelayedCalls()) > 1:
            house.clock.advance(0)
        self.assertEqual(codes(peer.heard()), [250] * (1 + MAX_IDLE_COMMANDS) + [421])
        self.assertEqual(peer.transport.producerState, "producing")

    def test_reading_pauses_while_the_store_asks_for_it(self) -> None:
        house = SMTPHouse(settings=SMTPSettings(accept_long_lines=True))
        peer = in_data(house)
        house.store.pause_writes = True
        for _ in range(20):
            peer.say(b"Subject: one\r\n\r\n" + b"a" * 10000 + b"\r\n")
        self.assertEqual(len(house.store.held), 1)
        self.assertEqual(peer.transport.producerState, "paused")
        house.store.pause_writes = False
        house.store.release_held()
        self.assertEqual(peer.transport.producerState, "producing")
        peer.say(b".\r\n")
        self.assertEqual(codes(peer.heard()), [250])
        self.assertEqual(house.body().count(b"a" * 10000), 20)

    def test_a_client_that_reads_no_replies_is_paused(self) -> None:
        house = SMTPHouse()
        peer = greeted(house)
        assert peer.transport.producer is not None
        peer.transport.producer.pauseProducing()
        peer.say(b"HELP\r\n" * 20000)
        self.assertEqual(peer.heard(), b"")
        self.assertEqual(peer.transport.producerState, "paused")
        peer.transport.producer.resumeProducing()
        while len(house.clock.getDelayedCalls()) > 1:
            house.clock.advance(0)
        self.assertEqual(codes(peer.heard()), [214] * (MAX_IDLE_COMMANDS - 1) + [421])

    def test_a_message_over_the_limit_costs_no_memory(self) -> None:
        house = SMTPHouse(settings=SMTPSettings(max_message_size=1000))
        peer = in_data(house)
        block = b"a" * 65534 + b"\r\n"
        for _ in range(200):
            peer.say(block)
        server: Any = peer.protocol
        self.assertLess(server.wire.waiting, 10)
        self.assertEqual(house.store.abandoned, 1)
        held = sum(len(found) for found in gc.get_objects() if isinstance(found, bytes) and found[:9] == b"a" * 9)
        self.assertLess(held, 1024 * 1024)
        peer.say(b".\r\n")
        self.assertEqual(codes(peer.heard()), [552])

    def test_a_header_section_without_end_is_refused(self) -> None:
        house = SMTPHouse()
        peer = in_data(house)
        for _ in range(300):
            peer.say(b"X-Long: " + b"a" * 990 + b"\r\n")
        peer.say(b"\r\nbody\r\n.\r\n")
        self.assertEqual(peer.heard(), b"552 5.3.4 header section larger than the limit\r\n")
        self.assertEqual(house.messages, [])

    def test_an_operator_sets_the_limit_of_the_header_section(self) -> None:
        """A larger one is taken, and the header section of a message that ends before it is not too large."""
        house = SMTPHouse(settings=SMTPSettings(max_header_size=400_000, accept_long_lines=True))
        peer = in_data(house)
        peer.say(b"X-Long: " + b"a" * 300_000 + b"\r\n\r\nbody\r\n.\r\n")
        self.assertEqual(codes(peer.heard()), [250])
        peer = in_data(SMTPHouse(settings=SMTPSettings(max_header_size=20_000, accept_long_lines=True)))
        peer.say(b"X-Long: " + b"a" * 21_000 + b"\r\n\r\nbody\r\n.\r\n")
        self.assertEqual(codes(peer.heard()), [552])

    def test_the_limit_of_the_header_section_does_not_depend_on_how_it_was_cut(self) -> None:
        message = b"X-Long: " + b"a" * 300_000 + b"\r\n\r\nbody\r\n.\r\n"
        for block in (len(message), 65536, 3000):
            peer = in_data(SMTPHouse(settings=SMTPSettings(accept_long_lines=True)))
            for start in range(0, len(message), block):
                peer.say(message[start : start + block])
            self.assertEqual(codes(peer.heard()), [552], block)

    def test_forged_authentication_results_after_an_invalid_line_are_removed_too(self) -> None:
        """The result does not depend on how the header section was cut into segments."""
        claim = b"Authentication-Results: mx.example.test; dkim=pass\r\n"
        for strange in (b"From bob Mon Jan 1\r\n", b"nonsense\r\n"):
            for blocks in ([strange + claim + b"Subject: x\r\n\r\n"], [strange, claim, b"Subject: x\r\n\r\n"]):
                house = SMTPHouse()
                peer = in_data(house)
                for block in (*blocks, b".\r\n"):
                    peer.say(block)
                self.assertEqual(house.body(), strange + b"Subject: x\r\n\r\n")

    def test_a_slow_client_with_a_too_big_message_gets_552_and_not_421(self) -> None:
        """After 421 the client would retry for days."""
        for begin, end in ((b"DATA\r\n", b"\r\n.\r\n"), (b"BDAT 2000 LAST\r\n", b""), (b"RSET\r\nBDAT 2000\r\n", b"")):
            house = SMTPHouse(settings=SMTPSettings(max_message_size=1000))
            peer = greeted(house)
            peer.say(b"MAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\n" + begin)
            peer.heard()
            for _ in range(20):
                peer.say(b"a" * 100)
                house.clock.advance(170)
            peer.say(end)
            self.assertEqual(codes(peer.heard()), [503] if b"RSET" in begin else [552], begin)

    def test_a_body_without_any_header_may_be_long(self) -> None:
        house = SMTPHouse()
        peer = in_data(house)
        for _ in range(300):
            peer.say(b"no field at all " + b"a" * 980 + b"\r\n")
        peer.say(b".\r\n")
        self.assertEqual(codes(peer.heard()), [250])
        self.assertEqual(len(house.body()), 300 * 998)


class Failures(SynchronousTestCase):
    def test_an_exception_is_one_log_event_and_a_451_and_the_session_goes_on(self) -> None:
        for step, replies in {
            "validateFrom": [451, 503, 503],
            "validateTo": [250, 451, 554],
        }.items():
            house = SMTPHouse()
            house.raises[step] = ZeroDivisionError("a bug")
            peer = greeted(house)
            peer.say(ENVELOPE + b"DATA\r\n")
            heard = peer.heard()
            self.assertEqual(codes(heard), replies)
            self.assertIn(b"451 4.3.0 local error, try again later\r\n", heard)
            self.assertEqual(len(house.telemetry.exceptions), 1)
            peer.say(b"RSET\r\n" + ENVELOPE + b"DATA\r\n")
            self.assertEqual(codes(peer.heard()), [250, 250, 250, 354])

    def test_an_exception_after_a_wait_becomes_451(self) -> None:
        house = SMTPHouse()
        waiting: Deferred[None] = Deferred()
        house.waits["validateTo"] = waiting
        peer = greeted(house)
        peer.say(ENVELOPE + b"DATA\r\n")
        waiting.errback(ZeroDivisionError("a bug"))
        self.assertEqual(codes(peer.heard()), [250, 451, 554])
        self.assertEqual(len(house.telemetry.exceptions), 1)

    def test_one_recipient_that_failed_does_not_fail_the_others(self) -> None:
        house = SMTPHouse()
        house.raises["validateTo"] = StoreError("locked")
        peer = greeted(house)
        peer.say(ENVELOPE + b"RCPT TO:<alice@example.test>\r\nDATA\r\n")
        self.assertEqual(codes(peer.heard()), [250, 451, 250, 354])

    def test_the_exception_of_the_commit_decides_the_reply(self) -> None:
        for error, reply, exceptions in (
            (StoreFull("full"), b"452 4.3.1 ", 0),
            (TooMuchHeld("flood"), b"450 4.7.1 ", 0),
            (StoreError("locked"), b"451 4.3.0 ", 0),
            (ZeroDivisionError("a bug"), b"451 4.3.0 ", 1),
        ):
            house = SMTPHouse()
            house.store.fail_next_commit = error
            peer = in_data(house)
            peer.say(b"one\r\n.\r\nRSET\r\n")
            heard = peer.heard()
            self.assertTrue(heard.startswith(reply), heard)
            self.assertEqual(codes(heard)[1:], [250])
            self.assertEqual(len(house.telemetry.exceptions), exceptions)
            self.assertEqual(house.messages, [])

    def test_a_failed_write_is_reported_once_at_the_end(self) -> None:
        for error, reply in ((StoreFull("full"), b"452 4.3.1 "), (StoreError("locked"), b"451 4.3.0 ")):
            house = SMTPHouse()
            peer = in_data(house)
            house.store.fail_next_write = error
            peer.say(b"Subject: one\r\n\r\none\r\n")
            peer.say(b"two\r\n")
            self.assertEqual(peer.heard(), b"")
            self.assertEqual(house.store.abandoned, 1)
            peer.say(b".\r\nNOOP\r\n")
            heard = peer.heard()
            self.assertTrue(heard.startswith(reply), heard)
            self.assertEqual(codes(heard)[1:], [250])

    def test_a_message_of_header_only_is_written_at_its_end_and_may_fail_there(self) -> None:
        house = SMTPHouse()
        peer = in_data(house)
        peer.say(b"Subject: one\r\n.\r\n")
        self.assertEqual(codes(peer.heard()), [250])
        self.assertEqual(house.body(), b"Subject: one\r\n")
        peer = in_data(house)
        house.store.fail_next_write = StoreFull("full")
        peer.say(b"Subject: one\r\n.\r\n")
        self.assertEqual(codes(peer.heard()), [452])

    def test_a_message_that_cannot_begin_is_refused_temporarily(self) -> None:
        house = SMTPHouse()
        house.broken_trace = ZeroDivisionError("a bug")
        peer = greeted(house)
        peer.say(ENVELOPE + b"DATA\r\n")
        self.assertEqual(codes(peer.heard()), [250, 250, 451])
        peer.say(b"BDAT 5\r\none\r\nBDAT 5 LAST\r\ntwo\r\nNOOP\r\n")
        self.assertEqual(codes(peer.heard()), [451, 503, 250])
        self.assertEqual(house.store.abandoned, 2)
        self.assertEqual(len(house.telemetry.exceptions), 2)

    def test_an_unexpected_exception_of_a_write_is_reported_at_the_end(self) -> None:
        house = SMTPHouse()
        peer = in_data(house)
        server: Any = peer.protocol

        def broken(octets: bytes) -> None:
            raise ZeroDivisionError("a bug")

        server.reception._message._incoming.write = broken
        peer.say(b"Subject: one\r\n\r\n.\r\nNOOP\r\n")
        self.assertEqual(codes(peer.heard()), [451, 250])
        self.assertEqual(len(house.telemetry.exceptions), 1)
        self.assertEqual(house.store.abandoned, 1)

    def test_an_unexpected_exception_within_a_body_is_answered_at_its_end(self) -> None:
        house = SMTPHouse()
        peer = in_data(house)
        server: Any = peer.protocol
        honest = server.reception.take_body

        def broken(body: Any) -> None:
            server.reception.take_body = honest
            raise ZeroDivisionError("a bug")

        server.reception.take_body = broken
        peer.say(b"Subject: one\r\n\r\none\r\n")
        self.assertEqual(peer.heard(), b"")
        peer.say(b".\r\nNOOP\r\n")
        self.assertEqual(codes(peer.heard()), [451, 250])
        self.assertEqual(len(house.telemetry.exceptions), 1)

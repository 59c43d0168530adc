"""Limits of an SMTP session: messages that never end, and clients that guess addresses."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import SMTPSettings
from emailsys.mail import reply as replies
from emailsys.net.smtp.service import Kind
from emailsys.testing.memory_peer import LOOPBACK, MemoryPeer
from tests.fakes.net.smtp_house import SMTPHouse
from tests.unit.net.smtp.test_server import ENVELOPE, LOGIN, codes, greeted, in_data


class Limits(SynchronousTestCase):
    """A client that is too slow or guesses too often is disconnected after a reply."""

    def trickle(self, peer: MemoryPeer, octets: bytes, every: float, times: int) -> int:
        """Send these octets repeatedly. Returns how often it succeeded before a disconnect."""
        for sent in range(times):
            peer.clock.advance(every)
            peer.say(octets)
            if peer.lost:
                return sent
        return times

    def test_single_octets_do_not_hold_a_session_for_days(self) -> None:
        house = SMTPHouse()
        peer = in_data(house)
        self.assertEqual(self.trickle(peer, b"x", 179.0, 1000), 3600 // 179)
        self.assertEqual(peer.heard(), b"421 4.4.2 the message comes too slowly, closing\r\n")
        self.assertEqual((house.messages, house.store.abandoned), ([], 1))
        self.assertEqual(house.telemetry.counters["smtp-too-slow"], 1)

    def test_a_slow_line_that_goes_on_may_take_hours(self) -> None:
        house = SMTPHouse(settings=SMTPSettings(accept_long_lines=True))
        peer = in_data(house)
        peer.say(b"Subject: slow\r\n\r\n")
        self.assertEqual(self.trickle(peer, b"x" * 49_998 + b"\r\n", 99.0, 300), 300)
        peer.say(b".\r\n")
        self.assertEqual(codes(peer.heard()), [250])

    def test_a_message_whose_end_comes_late_is_accepted(self) -> None:
        """The whole message has arrived: after a refusal the client would send it again."""
        house = SMTPHouse()
        peer = in_data(house)
        self.assertEqual(self.trickle(peer, b"x", 179.0, 20), 20)
        peer.clock.advance(179.0)
        peer.say(b"\r\n.\r\n")
        self.assertEqual(codes(peer.heard()), [250])

    def test_chunks_and_the_commands_between_them_get_no_extra_time(self) -> None:
        for words in (b"BDAT 1\r\nx", b"NOOP\r\n"):
            house = SMTPHouse()
            peer = greeted(house)
            peer.say(ENVELOPE + b"BDAT 1\r\nx")
            self.assertEqual(self.trickle(peer, words, 299.0, 1000), 3600 // 299)
            self.assertTrue(peer.heard().endswith(b"421 4.4.2 the message comes too slowly, closing\r\n"), words)

    def test_a_late_message_that_was_refused_gets_the_refusal(self) -> None:
        """After 421 the client would send it again."""
        house = SMTPHouse()
        peer = in_data(house)
        peer.say(b"a\nb\r\n")
        self.trickle(peer, b"x", 179.0, 1000)
        self.assertEqual(peer.heard(), b"554 5.6.0 the message has LF alone; lines end with CRLF\r\n")

    def test_the_time_of_the_next_message_is_measured_separately(self) -> None:
        house = SMTPHouse()
        peer = in_data(house)
        for _ in range(3):
            self.assertEqual(self.trickle(peer, b"x", 179.0, 15), 15)
            peer.say(b"\r\n.\r\n" + ENVELOPE + b"DATA\r\n")
            self.assertEqual(codes(peer.heard()), [250, 250, 250, 354])

    def names(self, house: SMTPHouse, count: int, **named: Any) -> tuple[MemoryPeer, list[int]]:
        """Send RCPT for unknown recipients. Returns the client and the reply codes."""
        peer = greeted(house, **named)
        peer.say(b"MAIL FROM:<carol@elsewhere.test>\r\n" + b"RCPT TO:<nobody@example.test>\r\n" * count)
        return peer, codes(peer.heard())

    def test_a_client_that_guesses_addresses_is_disconnected_after_a_hundred(self) -> None:
        house = SMTPHouse()
        peer, heard = self.names(house, 150)
        self.assertEqual(heard, [250] + [550] * 101 + [421])
        self.assertTrue(peer.lost)
        self.assertEqual(house.telemetry.counters["smtp-dropped"], 1)

    def test_a_client_that_goes_on_after_too_many_guesses_is_disconnected_too(self) -> None:
        """The policy answers at once then, and the client would ask as fast as it can."""
        house = SMTPHouse(settings=SMTPSettings(max_refusals=10))
        house.refusal = replies.TOO_MANY_UNKNOWN
        self.assertEqual(self.names(house, 50)[1], [250] + [451] * 11 + [421])

    def test_a_client_whose_messages_are_all_refused_is_disconnected_after_a_hundred(self) -> None:
        """Each reply says why; the next one ends the session. There was no limit before."""
        house = SMTPHouse()
        peer = greeted(house)
        for _ in range(101):
            self.assertFalse(peer.lost)
            peer.say(ENVELOPE + b"DATA\r\na\0b\r\n.\r\n")
        heard = codes(peer.heard())
        self.assertEqual((heard.count(554), heard[-2:]), (101, [554, 421]))
        self.assertTrue(peer.lost)

    def test_the_policy_hears_of_accepted_messages(self) -> None:
        house = SMTPHouse()
        peer = in_data(house)
        self.assertEqual(house.accepted, [])
        peer.say(b".\r\n")
        self.assertEqual(house.accepted, ["192.0.2.7"])

    def test_the_operator_sets_the_limit(self) -> None:
        house = SMTPHouse(settings=SMTPSettings(max_refusals=10))
        self.assertEqual(self.names(house, 150)[1], [250] + [550] * 11 + [421])

    def test_a_mailing_list_with_many_unknown_recipients_is_accepted(self) -> None:
        house = SMTPHouse()
        peer, _ = self.names(house, 90)
        for _ in range(3):
            peer.say(b"RCPT TO:<bob@example.test>\r\nDATA\r\nSubject: x\r\n\r\n.\r\n")
            peer.say(b"MAIL FROM:<carol@elsewhere.test>\r\n" + b"RCPT TO:<nobody@example.test>\r\n" * 90)
            self.assertEqual(codes(peer.heard()), [250, 354, 250, 250] + [550] * 90)
        self.assertEqual(len(house.messages), 3)

    def test_loopback_and_authenticated_clients_have_no_limit(self) -> None:
        _, heard = self.names(SMTPHouse(), 150, peer=LOOPBACK)
        self.assertEqual(heard, [250] + [550] * 150)
        house = SMTPHouse(Kind.SUBMISSION)
        peer = house.connect(tls=True)
        peer.say(b"EHLO client\r\n" + LOGIN + b"MAIL FROM:<alice@example.test>\r\n")
        peer.heard()
        peer.say(b"RCPT TO:<nobody@example.test>\r\n" * 150)
        self.assertEqual(codes(peer.heard()), [550] * 150)

"""An SMTP session waits, hurries, fails and ends as it should: what no text script can show."""

from __future__ import annotations

import gc
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from emailsys.config.settings import SMTPSettings
from emailsys.interfaces import IDelivery, IIntake, LoginBusy, StoreError, StoreFull
from emailsys.mail.address import parse
from emailsys.mail.envelope import Client, LocalRoute, Recipient
from emailsys.net.smtp_service import Kind
from tests.dialogue.peers import LOOPBACK, LOOPBACK_6, STRANGER, MemoryPeer
from tests.fakes.smtp_house import Delivery, SMTPHouse

ENVELOPE = b"MAIL FROM:<carol@elsewhere.test>\r\nRCPT TO:<bob@example.test>\r\n"
LOGIN = b"AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=\r\n"


def codes(octets: bytes) -> list[int]:
    """The codes of the replies, one a reply."""
    return [int(line[:3]) for line in octets.split(b"\r\n") if line[3:4] == b" "]


def greeted(house: SMTPHouse, **named: Any) -> MemoryPeer:
    """A client that has said EHLO."""
    peer = house.connect(**named)
    peer.say(b"EHLO client\r\n")
    peer.heard()
    return peer


def in_data(house: SMTPHouse, **named: Any) -> MemoryPeer:
    """A client that has got its 354."""
    peer = greeted(house, **named)
    peer.say(ENVELOPE + b"DATA\r\n")
    assert codes(peer.heard()) == [250, 250, 354]
    return peer


class Fakes(SynchronousTestCase):
    def test_the_fakes_keep_to_their_interfaces(self) -> None:
        house = SMTPHouse()
        verifyObject(IDelivery, Delivery(house, None))
        verifyObject(IIntake, house.store.intake)


class Order(SynchronousTestCase):
    def test_what_is_pipelined_waits_for_the_answer_before(self) -> None:
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
        house.store.let_go()
        self.assertEqual(codes(peer.heard()), [250, 250, 221])
        self.assertTrue(peer.lost)

    def test_nothing_is_acknowledged_before_the_commit(self) -> None:
        house = SMTPHouse()
        house.store.hold_commits = True
        peer = in_data(house)
        peer.say(b"one\r\n.\r\n")
        self.assertEqual(peer.heard(), b"")
        self.assertEqual(house.messages, [])
        house.store.let_go()
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
        house.store.let_go()
        self.assertEqual(len(house.messages), 1)
        self.assertEqual(house.store.abandoned, 0)
        self.assertEqual(house.telemetry.counters["accepted"], 1)
        self.assertEqual(house.telemetry.surprises, [])

    def test_a_connection_lost_while_policy_thinks_is_no_surprise(self) -> None:
        for step in ("validateFrom", "validateTo"):
            house = SMTPHouse()
            waiting: Deferred[None] = Deferred()
            house.waits[step] = waiting
            peer = greeted(house)
            peer.say(ENVELOPE + b"DATA\r\n")
            peer.lose()
            waiting.callback(None)
            self.assertEqual(house.telemetry.surprises, [])
            self.assertEqual(house.messages, [])


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
        house.store.let_go()
        while len(house.clock.getDelayedCalls()) > 1:
            house.clock.advance(0)
        self.assertEqual(codes(peer.heard()), [250] * 15001)
        self.assertEqual(peer.transport.producerState, "producing")

    def test_reading_pauses_while_the_store_asks_for_it(self) -> None:
        house = SMTPHouse()
        peer = in_data(house)
        house.store.pause_writes = True
        for _ in range(20):
            peer.say(b"Subject: one\r\n\r\n" + b"a" * 10000 + b"\r\n")
        self.assertEqual(len(house.store.held), 1)
        self.assertEqual(peer.transport.producerState, "paused")
        house.store.pause_writes = False
        house.store.let_go()
        self.assertEqual(peer.transport.producerState, "producing")
        peer.say(b".\r\n")
        self.assertEqual(codes(peer.heard()), [250])
        self.assertEqual(house.body().count(b"a" * 10000), 20)

    def test_a_client_that_reads_no_replies_is_not_answered_for_ever(self) -> None:
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
        self.assertEqual(codes(peer.heard()), [214] * 20000)

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
            self.assertEqual(len(house.telemetry.surprises), 1)
            peer.say(b"RSET\r\n" + ENVELOPE + b"DATA\r\n")
            self.assertEqual(codes(peer.heard()), [250, 250, 250, 354])

    def test_an_exception_after_a_wait_is_the_same(self) -> None:
        house = SMTPHouse()
        waiting: Deferred[None] = Deferred()
        house.waits["validateTo"] = waiting
        peer = greeted(house)
        peer.say(ENVELOPE + b"DATA\r\n")
        waiting.errback(ZeroDivisionError("a bug"))
        self.assertEqual(codes(peer.heard()), [250, 451, 554])
        self.assertEqual(len(house.telemetry.surprises), 1)

    def test_one_recipient_that_failed_does_not_fail_the_others(self) -> None:
        house = SMTPHouse()
        house.raises["validateTo"] = StoreError("locked")
        peer = greeted(house)
        peer.say(ENVELOPE + b"RCPT TO:<alice@example.test>\r\nDATA\r\n")
        self.assertEqual(codes(peer.heard()), [250, 451, 250, 354])

    def test_what_the_commit_raises_decides_the_reply(self) -> None:
        for error, reply, surprises in (
            (StoreFull("full"), b"452 4.3.1 ", 0),
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
            self.assertEqual(len(house.telemetry.surprises), surprises)
            self.assertEqual(house.messages, [])

    def test_a_write_that_fails_is_told_at_the_end_once(self) -> None:
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

    def test_a_message_that_cannot_begin_is_put_off(self) -> None:
        house = SMTPHouse()
        house.broken_trace = ZeroDivisionError("a bug")
        peer = greeted(house)
        peer.say(ENVELOPE + b"DATA\r\n")
        self.assertEqual(codes(peer.heard()), [250, 250, 451])
        peer.say(b"BDAT 5\r\none\r\nBDAT 5 LAST\r\ntwo\r\nNOOP\r\n")
        self.assertEqual(codes(peer.heard()), [451, 503, 250])
        self.assertEqual(house.store.abandoned, 2)
        self.assertEqual(len(house.telemetry.surprises), 2)

    def test_a_write_that_raises_at_once_is_a_surprise_told_at_the_end(self) -> None:
        house = SMTPHouse()
        peer = in_data(house)
        server: Any = peer.protocol

        def broken(octets: bytes) -> None:
            raise ZeroDivisionError("a bug")

        server._message._incoming.write = broken
        peer.say(b"Subject: one\r\n\r\n.\r\nNOOP\r\n")
        self.assertEqual(codes(peer.heard()), [451, 250])
        self.assertEqual(len(house.telemetry.surprises), 1)
        self.assertEqual(house.store.abandoned, 1)

    def test_a_surprise_within_a_body_is_answered_at_its_end(self) -> None:
        house = SMTPHouse()
        peer = in_data(house)
        server: Any = peer.protocol
        honest = server._take_body

        def broken(body: Any) -> None:
            server._take_body = honest
            raise ZeroDivisionError("a bug")

        server._take_body = broken
        peer.say(b"Subject: one\r\n\r\none\r\n")
        self.assertEqual(peer.heard(), b"")
        peer.say(b".\r\nNOOP\r\n")
        self.assertEqual(codes(peer.heard()), [451, 250])
        self.assertEqual(len(house.telemetry.surprises), 1)


class Standing(SynchronousTestCase):
    def test_plain_logins_are_for_loopback_only_and_only_where_the_config_says_so(self) -> None:
        for allowed, peer, offered in (
            (True, LOOPBACK, True),
            (True, LOOPBACK_6, True),
            (True, STRANGER, False),
            (False, LOOPBACK, False),
        ):
            house = SMTPHouse(Kind.SUBMISSION, SMTPSettings(plaintext_auth_on_loopback=allowed))
            client = house.connect(peer)
            client.say(b"EHLO client\r\n")
            self.assertIs(b"AUTH PLAIN LOGIN" in client.heard(), offered)
            client.say(LOGIN)
            self.assertEqual(codes(client.heard()), [235 if offered else 530])

    def test_implicit_tls_greets_after_the_handshake_and_offers_no_starttls(self) -> None:
        house = SMTPHouse(Kind.SUBMISSION)
        client = house.connect(tls=True)
        self.assertEqual(codes(client.heard()), [220])
        client.say(b"EHLO client\r\n")
        heard = client.heard()
        self.assertIn(b"AUTH PLAIN LOGIN", heard)
        self.assertNotIn(b"STARTTLS", heard)
        client.say(LOGIN + b"MAIL FROM:<alice@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\none\r\n.\r\n")
        self.assertEqual(codes(client.heard()), [235, 250, 250, 354, 250])
        self.assertIn(b" with ESMTPSA id ", house.messages[-1].body)
        self.assertIn(b"\t(TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n", house.messages[-1].body)

    def test_without_certificates_starttls_is_not_offered(self) -> None:
        house = SMTPHouse(starttls=False)
        client = house.connect()
        client.say(b"EHLO client\r\nSTARTTLS\r\n")
        heard = client.heard()
        self.assertNotIn(b"250-STARTTLS", heard)
        self.assertIn(b"454 4.7.0 ", heard)

    def test_policy_learns_who_asks(self) -> None:
        house = SMTPHouse(Kind.SUBMISSION)
        client = greeted(house, tls=True)
        client.say(LOGIN)
        (mind,) = house.minds
        self.assertEqual((mind.ip, mind.helo, mind.protocol), ("192.0.2.7", "client", "ESMTPS"))
        self.assertEqual(mind.tls, "TLSv1.3 TLS_AES_256_GCM_SHA384")

    def test_too_many_logins_at_once_are_put_off(self) -> None:
        for error in (LoginBusy(), StoreError("locked")):
            house = SMTPHouse(Kind.SUBMISSION)
            house.raises["login"] = error
            client = greeted(house, tls=True)
            client.say(LOGIN + LOGIN)
            self.assertEqual(codes(client.heard()), [454, 235])
            self.assertEqual(house.telemetry.surprises, [])

    def test_a_login_that_ends_after_the_peer_has_gone_is_given_back(self) -> None:
        house = SMTPHouse(Kind.SUBMISSION)
        waiting: Deferred[None] = Deferred()
        house.waits["login"] = waiting
        client = greeted(house, tls=True)
        client.say(LOGIN)
        client.lose()
        self.assertEqual(house.logged_out, 0)
        waiting.callback(None)
        self.assertEqual(house.logged_out, 1)

    def test_a_stranger_is_logged_out_at_the_end(self) -> None:
        house = SMTPHouse()
        client = in_data(house)
        client.lose()
        self.assertEqual((len(house.minds), house.logged_out), (1, 1))

    def test_starttls_ends_the_login(self) -> None:
        house = SMTPHouse(Kind.SUBMISSION, SMTPSettings(plaintext_auth_on_loopback=True))
        client = greeted(house, peer=LOOPBACK)
        client.say(LOGIN + b"STARTTLS\r\n")
        self.assertEqual(codes(client.heard()), [235, 220])
        self.assertEqual(house.logged_out, 1)
        self.successResultOf(Deferred.fromCoroutine(client.starttls()))
        client.say(b"EHLO client\r\nMAIL FROM:<alice@example.test>\r\n")
        self.assertEqual(codes(client.heard()), [250, 530])

    def test_passwords_are_never_logged(self) -> None:
        house = SMTPHouse(Kind.SUBMISSION)
        client = greeted(house, tls=True)
        client.say(b"AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdAB3cm9uZw==\r\n" + LOGIN + b"QUIT\r\n")
        told = repr(house.telemetry.lines)
        self.assertEqual(house.telemetry.of("smtp.login_refused")[0]["user"], "alice@example.test")
        for secret in ("wrong", "secret", "AGFsaWNl"):
            self.assertNotIn(secret, told)


class Endings(SynchronousTestCase):
    def test_a_peer_that_does_not_close_is_aborted_some_seconds_later(self) -> None:
        house = SMTPHouse()
        server = house.server()
        client = MemoryPeer(server, house.clock)
        client.transport.loseConnection = lambda: None  # type: ignore[method-assign]
        client.say(b"QUIT\r\n")
        house.clock.advance(4.9)
        self.assertFalse(client.transport.aborted)
        house.clock.advance(0.1)
        self.assertTrue(client.transport.aborted)

    def test_a_silent_client_that_does_not_read_is_aborted(self) -> None:
        house = SMTPHouse()
        client = greeted(house)
        assert client.transport.producer is not None
        client.transport.producer.pauseProducing()
        house.clock.advance(300)
        self.assertTrue(client.transport.aborted)

    def test_a_slow_commit_is_not_the_clients_silence(self) -> None:
        house = SMTPHouse()
        house.store.hold_commits = True
        client = in_data(house)
        client.say(b"one\r\n.\r\n")
        house.clock.advance(1000)
        self.assertFalse(client.lost)
        house.store.let_go()
        self.assertEqual(codes(client.heard()), [250])

    def test_a_session_that_ends_leaves_no_timer(self) -> None:
        house = SMTPHouse()
        client = in_data(house)
        client.say(b"one\r\n")
        client.lose()
        self.assertEqual(house.clock.getDelayedCalls(), [])
        self.assertEqual(house.factory.sessions, set())

    def test_a_drain_ends_the_idle_and_lets_messages_arrive(self) -> None:
        house = SMTPHouse()
        idle, writing, committing = greeted(house), in_data(house), in_data(house)
        house.store.hold_commits = True
        committing.say(b"one\r\n.\r\n")
        self.assertEqual(house.factory.drain(), 3)
        self.assertEqual(codes(idle.heard()), [421])
        self.assertTrue(idle.lost)
        house.store.hold_commits = False
        house.store.let_go()
        writing.say(b"two\r\n.\r\n")
        self.assertEqual(codes(writing.heard()), [250])
        self.assertEqual(codes(committing.heard()), [250])
        self.assertEqual(house.factory.drain(), 2)
        self.assertEqual(codes(writing.heard()), [421])
        self.assertEqual(len(house.messages), 2)

    def test_what_happened_is_told_in_one_event_each(self) -> None:
        house = SMTPHouse()
        client = in_data(house)
        client.say(b"one\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<nobody@example.test>\r\nQUIT\r\n")
        self.assertEqual([name for name, _ in house.telemetry.lines], ["accepted", "refused", "smtp.end"])
        (accepted,), (refused,), (end,) = map(house.telemetry.of, ("accepted", "refused", "smtp.end"))
        self.assertEqual(
            {key: str(accepted[key]) for key in ("queue_id", "sender", "rcpts", "tls", "account")},
            {
                "queue_id": house.messages[0].queue_id,
                "sender": "carol@elsewhere.test",
                "rcpts": "1",
                "tls": "None",
                "account": "None",
            },
        )
        self.assertEqual(accepted["octets"], len(house.messages[0].body))
        self.assertEqual((refused["reply"], refused["sender"]), ("550 5.1.1", "<>"))
        self.assertEqual((end["accepted"], end["refused"], end["helo"]), (1, 1, "client"))
        self.assertEqual({accepted["session"], refused["session"]}, {end["session"]})


class Envelopes(SynchronousTestCase):
    def test_the_store_gets_the_routes_that_policy_gave(self) -> None:
        house = SMTPHouse()
        client = in_data(house)
        client.say(b"one\r\n.\r\n")
        bob = house.logins[b"bob@example.test"]
        envelope = house.messages[0].envelope
        self.assertEqual(envelope.recipients, (Recipient(parse("bob@example.test"), (LocalRoute(bob.account_id),)),))
        self.assertEqual(envelope.arrived_at, house.store.now())

    def test_a_session_has_a_name_of_its_own(self) -> None:
        house = SMTPHouse()
        names = {house.server().session for _ in range(3)}
        self.assertEqual(len(names), 3)
        self.assertIsInstance(house.server().client, Client)

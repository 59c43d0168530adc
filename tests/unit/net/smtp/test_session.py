"""SMTP sessions: TLS and login of the client, the end of the session, and its log events."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import SMTPSettings
from emailsys.interfaces import LoginBusy, StoreError, TooManyGuesses
from emailsys.mail import reply as replies
from emailsys.mail.address import parse
from emailsys.mail.envelope import Client, LocalRoute, Recipient
from emailsys.net.serving.session_login import MAX_FAILED_LOGINS
from emailsys.net.smtp.service import Kind
from emailsys.testing.memory_peer import LOOPBACK, LOOPBACK_6, STRANGER, MemoryPeer, MemoryTransport
from tests.fakes.net.smtp_house import PASSWORD, SMTPHouse
from tests.unit.net.smtp.test_server import LOGIN, codes, greeted, in_data

# A message that alice may submit.
SUBMITTED = b"From: alice@example.test\r\n\r\none\r\n.\r\n"


class ClientState(SynchronousTestCase):
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

    def test_a_network_may_be_allowed_to_log_in_without_tls(self) -> None:
        """Containers on one machine, for instance. Loopback is then not allowed by itself."""
        house = SMTPHouse(Kind.SUBMISSION, SMTPSettings(plaintext_auth_networks=("192.0.2.0/24", "2001:db8::/32")))
        for peer, reply in ((STRANGER, 235), (LOOPBACK, 530)):
            client = house.connect(peer)
            client.say(b"EHLO client\r\n")
            client.heard()
            client.say(LOGIN)
            self.assertEqual(codes(client.heard()), [reply], peer)

    def test_a_trusted_network_may_submit_without_a_login_where_the_config_says_so(self) -> None:
        for allowed, peer, expected in (
            (True, STRANGER, [250, 250, 354, 250]),
            (True, LOOPBACK, [530, 503, 503]),
            (False, STRANGER, [530, 503, 503]),
        ):
            house = SMTPHouse(Kind.SUBMISSION, SMTPSettings(trusted_may_submit=allowed))
            house.factory.service = replace(house.service, is_trusted=lambda ip: ip == STRANGER.host)
            client = house.connect(peer)
            client.say(b"EHLO client\r\n")
            client.heard()
            for line in (b"MAIL FROM:<carol@example.org>\r\n", b"RCPT TO:<alice@example.test>\r\n", b"DATA\r\n"):
                client.say(line)
            heard = codes(client.heard())
            if heard[-1] == 354:
                client.say(b"From: carol@example.org\r\n\r\nhello\r\n.\r\n")
                heard += codes(client.heard())
            self.assertEqual(heard, expected, (allowed, peer))
            # A login stays for those who have TLS or may do without it.
            client.say(LOGIN)
            self.assertEqual(codes(client.heard()), [530])

    def test_help_names_what_the_client_may_use_now_and_no_more(self) -> None:
        """The receive port has no logins, and logins need TLS: HELP must not name unusable commands."""

        def offered(kind: Kind, tls: bool) -> bytes:
            client = SMTPHouse(kind).connect(tls=tls)
            client.heard()
            client.say(b"HELP\r\n")
            return client.heard().removeprefix(b"214 2.0.0 EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT")

        self.assertEqual(offered(Kind.RECEIVE, tls=False), b" STARTTLS; RFC 5321\r\n")
        self.assertEqual(offered(Kind.RECEIVE, tls=True), b"; RFC 5321\r\n")
        self.assertEqual(offered(Kind.SUBMISSION, tls=False), b" STARTTLS; RFC 5321\r\n")
        self.assertEqual(offered(Kind.SUBMISSION, tls=True), b" AUTH; RFC 5321\r\n")

    def test_implicit_tls_greets_after_the_handshake_and_offers_no_starttls(self) -> None:
        house = SMTPHouse(Kind.SUBMISSION)
        client = house.connect(tls=True)
        self.assertEqual(codes(client.heard()), [220])
        client.say(b"EHLO client\r\n")
        heard = client.heard()
        self.assertIn(b"AUTH PLAIN LOGIN", heard)
        self.assertNotIn(b"STARTTLS", heard)
        client.say(LOGIN + b"MAIL FROM:<alice@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n" + SUBMITTED)
        self.assertEqual(codes(client.heard()), [235, 250, 250, 354, 250])
        self.assertIn(b" with ESMTPSA id ", house.messages[-1].body)
        self.assertIn(b"\t(TLSv1.3 TLS_AES_256_GCM_SHA384)\r\n", house.messages[-1].body)

    def test_a_client_that_leaves_while_the_author_is_checked_gets_nothing_stored(self) -> None:
        house = SMTPHouse(Kind.SUBMISSION)
        waiting: Deferred[None] = Deferred()
        house.waits["validate_identity"] = waiting
        client = house.connect(tls=True)
        client.say(b"EHLO client\r\n" + LOGIN)
        client.say(b"MAIL FROM:<alice@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n" + SUBMITTED)
        client.lose()
        waiting.callback(None)
        self.assertEqual((house.messages, house.store.abandoned, house.telemetry.exceptions), ([], 1, []))

    def test_an_author_that_cannot_be_checked_now_delays_the_message(self) -> None:
        house = SMTPHouse(Kind.SUBMISSION)
        house.raises["validate_identity"] = StoreError("the disk is gone")
        client = house.connect(tls=True)
        client.say(b"EHLO client\r\n" + LOGIN)
        client.say(b"MAIL FROM:<alice@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n" + SUBMITTED)
        self.assertEqual(codes(client.heard())[-1], 451)
        self.assertEqual((house.messages, house.store.abandoned), ([], 1))
        client.say(b"MAIL FROM:<alice@example.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n" + SUBMITTED)
        self.assertEqual(codes(client.heard())[-1], 250)

    def test_a_message_is_marked_or_refused_for_its_author(self) -> None:
        """The fields come first; the refusal at the end of the message."""
        house = SMTPHouse(marks={frozenset({"a.test"}): b"X-Mark: 1\r\n", frozenset({"b.test"}): replies.FORGED_FROM})
        for author, code in (("a", 250), ("b", 550), ("c", 250)):
            client = in_data(house)
            client.say(b"From: x@%b.test\r\n\r\none\r\n.\r\n" % author.encode())
            self.assertEqual(codes(client.heard()), [code], author)
        marked, plain = (message.body for message in house.messages)
        self.assertTrue(marked.startswith(b"X-Mark: 1\r\nReceived: "), marked)
        self.assertTrue(plain.startswith(b"Received: "), plain)

    def test_nul_and_long_lines_are_accepted_from_known_clients_only(self) -> None:
        """Refused of strangers unless the setting accepts them. RFC 5321 §4.5.3.1.6: 998 octets before CRLF."""
        for text, taken in (
            (b"a\0b", SMTPSettings(accept_nul=True)),
            (b"a" * 999, SMTPSettings(accept_long_lines=True)),
        ):
            trusting, taking, strict = SMTPHouse(), SMTPHouse(settings=taken), SMTPHouse()
            trusting.factory.service = replace(trusting.service, is_trusted=lambda ip: True)
            for house, code in ((trusting, 250), (taking, 250), (strict, 554)):
                client = in_data(house)
                client.say(b"Subject: x\r\n\r\n" + text + b"\r\n.\r\n")
                self.assertEqual(codes(client.heard()), [code], taken)
                self.assertEqual(len(house.messages), code == 250)

    def test_no_message_with_nul_is_relayed(self) -> None:
        """Whoever sends it, and whatever the setting: other systems cut such a message, or drop the connection."""
        house = SMTPHouse(Kind.SUBMISSION, SMTPSettings(accept_nul=True))
        client = house.connect(tls=True)
        client.say(b"EHLO client\r\n" + LOGIN)
        for recipient, text, code in ((b"bob@example.test", b"\0", 250), (b"carol@elsewhere.test", b"\0", 554)):
            client.heard()
            envelope = b"MAIL FROM:<alice@example.test>\r\nRCPT TO:<%b>\r\nDATA\r\n" % recipient
            client.say(envelope + b"From: alice@example.test\r\n\r\none" + text + b"\r\n.\r\n")
            self.assertEqual(codes(client.heard())[-1], code, recipient)
        self.assertEqual((len(house.messages), house.store.abandoned), (1, 1))

    def test_a_trusted_host_may_request_notices(self) -> None:
        """DSN is offered to it without a login, and refused to others."""
        house = SMTPHouse()
        house.factory.service = replace(house.service, is_trusted=lambda ip: ip == LOOPBACK.host)
        for peer, code in ((LOOPBACK, 250), (STRANGER, 555)):
            client = house.connect(peer)
            client.say(b"EHLO client\r\n")
            self.assertEqual(b"-DSN\r\n" in client.heard(), code == 250)
            client.say(b"MAIL FROM:<carol@elsewhere.test> RET=HDRS ENVID=1\r\n")
            self.assertEqual(codes(client.heard()), [code])

    def test_without_certificates_starttls_is_not_offered(self) -> None:
        house = SMTPHouse(starttls=False)
        client = house.connect()
        client.say(b"EHLO client\r\nSTARTTLS\r\n")
        heard = client.heard()
        self.assertNotIn(b"250-STARTTLS", heard)
        self.assertIn(b"454 4.7.0 ", heard)

    def test_the_policy_is_given_the_client(self) -> None:
        house = SMTPHouse(Kind.SUBMISSION)
        client = greeted(house, tls=True)
        client.say(LOGIN)
        (mind,) = house.minds
        self.assertEqual((mind.ip, mind.helo, mind.protocol), ("192.0.2.7", "client", "ESMTPS"))
        self.assertEqual(mind.tls, "TLSv1.3 TLS_AES_256_GCM_SHA384")

    def test_too_many_simultaneous_logins_are_refused_temporarily(self) -> None:
        for error in (LoginBusy(), StoreError("locked")):
            house = SMTPHouse(Kind.SUBMISSION)
            house.raises["login"] = error
            client = greeted(house, tls=True)
            client.say(LOGIN + LOGIN)
            self.assertEqual(codes(client.heard()), [454, 235])
            self.assertEqual(house.telemetry.exceptions, [])

    def test_after_too_many_guesses_logins_are_refused_temporarily_and_the_session_ends(self) -> None:
        house = SMTPHouse(Kind.SUBMISSION)
        client = greeted(house, tls=True)
        for attempt in range(MAX_FAILED_LOGINS):
            self.assertFalse(client.lost, attempt)
            house.raises["login"] = TooManyGuesses()
            client.say(LOGIN)
            self.assertIn(b"454 4.7.0 too many failed logins from your network", client.heard())
        self.assertTrue(client.lost)
        logged = house.telemetry.of("smtp-login-delayed")
        self.assertEqual([(event["ip"], event["why"]) for event in logged[:1]], [("192.0.2.7", "TooManyGuesses")])

    def test_after_too_many_refused_new_passwords_the_session_ends(self) -> None:
        """The check of a new password costs more than that of a login."""
        house = SMTPHouse(Kind.SUBMISSION)
        house.password_refusal = replies.password_refused("it is too short")
        client = greeted(house, tls=True)
        client.say(LOGIN)
        client.heard()
        refused: list[int] = []
        for attempt in range(MAX_FAILED_LOGINS):
            self.assertFalse(client.lost, attempt)
            client.say(b"XPASSWORD %b %b\r\n" % (b64encode(PASSWORD), b64encode(b"new")))
            refused = codes(client.heard())
        self.assertEqual(refused, [550, 421])
        self.assertTrue(client.lost)

    def test_a_login_that_ends_after_a_disconnect_is_released(self) -> None:
        house = SMTPHouse(Kind.SUBMISSION)
        waiting: Deferred[None] = Deferred()
        house.waits["login"] = waiting
        client = greeted(house, tls=True)
        client.say(LOGIN)
        client.lose()
        self.assertEqual(house.logged_out, 0)
        waiting.callback(None)
        self.assertEqual(house.logged_out, 1)

    def test_an_unauthenticated_client_is_logged_out_at_the_end(self) -> None:
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
        self.assertEqual(house.telemetry.of("smtp-login-refused")[0]["user"], "alice@example.test")
        for secret in ("wrong", "secret", "AGFsaWNl"):
            self.assertNotIn(secret, told)


class Endings(SynchronousTestCase):
    def test_a_peer_that_does_not_close_is_aborted_some_seconds_later(self) -> None:
        house = SMTPHouse()
        server = house.server()
        client = MemoryPeer(server, house.clock)
        client.transport.loseConnection = lambda: None  # type: ignore[method-assign]
        client.say(b"QUIT\r\n")
        house.clock.advance(5)
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
        house.store.release_held()
        self.assertEqual(codes(client.heard()), [250])

    def test_after_a_drain_a_message_under_way_gets_421(self) -> None:
        """Its client would otherwise see a reset, and report that the server has failed."""
        house = SMTPHouse()
        writing, committing = in_data(house), in_data(house)
        house.store.hold_commits = True
        committing.say(b"one\r\n.\r\n")
        writing.say(b"half of")
        self.assertEqual(house.factory.interrupt(), 2)
        writing.say(b" a message\r\n.\r\n")
        self.assertEqual(codes(writing.heard()), [421])
        house.store.release_held()
        self.assertEqual(codes(committing.heard()), [250])
        self.assertEqual(house.factory.interrupt(), 1)
        self.assertEqual(codes(committing.heard()), [421])
        self.assertEqual((len(house.messages), house.factory.interrupt()), (1, 0))

    def test_a_client_that_disconnects_in_the_handshake_is_logged(self) -> None:
        house = SMTPHouse(Kind.SUBMISSION)
        client = MemoryPeer(house.server(), house.clock)
        client.lose()
        server = house.server()
        server.makeConnection(MemoryTransport(tls=True))
        server.connectionLost(Failure(ConnectionLost()))
        self.assertEqual([event["ip"] for event in house.telemetry.of("smtp-end")], ["192.0.2.7"] * 2)

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
        house.store.release_held()
        writing.say(b"two\r\n.\r\n")
        self.assertEqual(codes(writing.heard()), [250])
        self.assertEqual(codes(committing.heard()), [250])
        # drain() is called until no session is left, and 421 is sent only once.
        self.assertEqual([house.factory.drain(), house.factory.drain()], [2, 2])
        self.assertEqual(codes(writing.heard()), [421])
        self.assertEqual(codes(committing.heard()), [421])
        self.assertEqual(house.factory.drain(), 0)
        self.assertEqual(len(house.messages), 2)

    def test_each_occurrence_is_one_log_event(self) -> None:
        house = SMTPHouse()
        client = in_data(house)
        client.say(b"one\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<nobody@example.test>\r\nQUIT\r\n")
        self.assertEqual([name for name, _ in house.telemetry.lines], ["accepted", "refused", "smtp-end"])
        (accepted,), (refused,), (end,) = map(house.telemetry.of, ("accepted", "refused", "smtp-end"))
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
    def test_the_store_gets_the_routes_of_the_policy(self) -> None:
        house = SMTPHouse()
        client = in_data(house)
        client.say(b"one\r\n.\r\n")
        bob = house.logins[b"bob@example.test"]
        envelope = house.messages[0].envelope
        self.assertEqual(envelope.recipients, (Recipient(parse("bob@example.test"), (LocalRoute(bob.account_id),)),))
        self.assertEqual(envelope.arrived_at, house.store.now())

    def test_a_session_has_its_own_id(self) -> None:
        house = SMTPHouse()
        names = {house.server().session for _ in range(3)}
        self.assertEqual(len(names), 3)
        self.assertIsInstance(house.server().session.client, Client)

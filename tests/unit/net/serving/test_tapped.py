"""Recorded sessions: what the record of an SMTP, POP3 or outbound connection says, and that others have no record."""

from __future__ import annotations

from hashlib import sha256

from twisted.internet import error
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import SMTPSettings
from emailsys.mail import reply as replies
from emailsys.net.serving.connection import Connection
from emailsys.net.serving.replies import ReplyBuffer
from emailsys.net.smtp.service import Kind as Service
from emailsys.testing.memory_peer import LOOPBACK
from emailsys.wire.lines import LineReader
from emailsys.wiretap.conversation import Conversation, Direction, Event, Kind, Role
from emailsys.wiretap.recorder import Recorder
from tests.fakes.net.memory_hosts import BODY, CHUNKING, EHLO, MemoryHosts, greet, transmission
from tests.fakes.net.pop3_house import POP3House
from tests.fakes.net.smtp_house import SMTPHouse


def record(records: Recorder) -> Conversation:
    """The only conversation."""
    (listed,) = records.conversations(10)
    found = records.conversation(listed["id"])
    assert found is not None
    return Conversation.from_json(found)


def lines(conversation: Conversation) -> list[str]:
    """The dialogue: `>` for commands, `<` for replies, other events by kind."""
    signs = {Kind.COMMAND: ">", Kind.REPLY: "<"}
    return [f"{signs.get(event.kind, event.kind)} {event.text}".rstrip() for event in conversation.events]


def of(conversation: Conversation, kind: Kind) -> list[Event]:
    """The events of a kind."""
    return [event for event in conversation.events if event.kind is kind]


class SMTPTests(SynchronousTestCase):
    """A recorded SMTP session."""

    def setUp(self) -> None:
        self.records = Recorder(10, 64 * 1024)

    def test_a_session_that_is_not_recorded_is_made_of_the_usual_parts(self) -> None:
        """Recording costs nothing when it is off: nothing of it is in the way."""
        records = Recorder(10, 64 * 1024, enabled=False)
        server = SMTPHouse(wiretap=records).server()
        self.assertIs(type(server.connection), Connection)
        self.assertIs(type(server.connection.replies), ReplyBuffer)
        self.assertIs(type(server.wire._lines), LineReader)
        pop3 = POP3House(wiretap=records)
        pop3.connect()
        self.assertIs(type(pop3.server.connection), Connection)
        self.assertIs(type(pop3.server.wire._lines), LineReader)
        self.assertEqual(records.conversations(10), [])

    def test_a_line_that_never_ends_is_recorded_when_it_ends_the_session(self) -> None:
        peer = SMTPHouse(wiretap=self.records).connect()
        peer.say(b"NOOP\r\n")
        peer.say(b"\x16\x03\x01\x02\0\x01")
        one = record(self.records)
        self.assertTrue(one.closed)
        self.assertEqual([event.octets for event in of(one, Kind.COMMAND)], [6, 6])
        self.assertIn("< " + replies.TLS_AT_ONCE.encode().decode().rstrip(), lines(one))

    def test_a_message_is_recorded_from_greeting_to_close(self) -> None:
        house = SMTPHouse(wiretap=self.records)
        peer = house.connect()
        peer.say(b"EHLO client\r\n")
        peer.say(
            b"MAIL FROM:<carol@elsewhere.test>\r\nRCPT TO:<bob@example.test>\r\nRCPT TO:<x@example.test>\r\nDATA\r\n"
        )
        peer.say(b"Message-ID: <1@elsewhere.test>\r\n\r\n..one\r\n.\r\nQU")
        peer.say(b"IT\r\n")
        one = record(self.records)
        self.assertEqual((one.protocol, one.role, one.closed), ("smtp", Role.SERVER, True))
        self.assertEqual((one.peer, one.local), ("192.0.2.7:40000", "192.0.2.1:25"))
        found = lines(one)
        self.assertEqual(
            found[:3],
            ["opened 192.0.2.7:40000 connected", "< 220 mx.example.test ESMTP emailsys", "> EHLO client"],
        )
        self.assertEqual(
            found[found.index("> MAIL FROM:<carol@elsewhere.test>") :],
            [
                "> MAIL FROM:<carol@elsewhere.test>",
                "< 250 2.1.0 sender OK",
                "state transaction",
                "> RCPT TO:<bob@example.test>",
                "< 250 2.1.5 recipient OK",
                "> RCPT TO:<x@example.test>",
                "verdict refused",
                "< 550 5.1.1 no such mailbox here",
                "> DATA",
                "< 354 send the message, end it with a dot on a line by itself",
                "state message",
                "body",
                "commit the message is on disk",
                f"< 250 2.0.0 queued as {house.messages[0].queue_id}",
                "state ready",
                "> QUIT",
                "< 221 2.0.0 goodbye",
                "closed closed by this host",
            ],
        )
        (body,) = of(one, Kind.BODY)
        self.assertEqual(
            (body.direction, body.octets), (Direction.IN, len(b"Message-ID: <1@elsewhere.test>\r\n\r\n..one\r\n.\r\n"))
        )
        (commit,) = of(one, Kind.COMMIT)
        self.assertEqual(commit.details["message_id"], "<1@elsewhere.test>")
        self.assertEqual(commit.details["queue_id"], house.messages[0].queue_id)
        self.assertEqual(commit.details["octets"], len(house.messages[0].body))
        self.assertEqual(commit.details["sha256"], sha256(house.messages[0].body).hexdigest())
        (verdict,) = of(one, Kind.VERDICT)
        self.assertEqual(verdict.details["reply"], "550 5.1.1")
        # Every octet that the client sent is in the record.
        self.assertEqual(house.telemetry.counters["accepted"], 1)

    def test_all_octets_are_counted_however_they_are_cut(self) -> None:
        stream = (
            b"EHLO client\r\nMAIL FROM:<carol@elsewhere.test>\r\nRCPT TO:<bob@example.test>\r\n"
            b"BDAT 12\r\nSubject: x\r\nBDAT 7 LAST\r\n\r\nhello" + b"x" * 20_000 + b"\r\nRSET\nNOOP\r\nQUIT\r\n"
        )
        for size in (1, 7, 100, 5000, len(stream)):
            records = Recorder(10, 1024 * 1024)
            peer = SMTPHouse(wiretap=records).connect()
            for start in range(0, len(stream), size):
                peer.say(stream[start : start + size])
            one = record(records)
            self.assertEqual(one.octets(Direction.IN), len(stream), size)
            self.assertEqual(one.octets(Direction.OUT), len(peer.heard()), size)

    def test_tls_login_and_dropped_commands_are_recorded(self) -> None:
        house = SMTPHouse(kind=Service.SUBMISSION, wiretap=self.records)
        peer = house.connect()
        peer.say(b"EHLO client\r\nSTARTTLS\r\nMAIL FROM:<x@y>\r\n")
        self.successResultOf(Deferred.fromCoroutine(peer.starttls()))
        peer.say(b"EHLO client\r\nAUTH LOGIN\r\n")
        peer.say(b"YWxpY2VAZXhhbXBsZS50ZXN0\r\n")
        peer.say(b"d3Jvbmc=\r\n")
        peer.say(b"AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=\r\n")
        one = record(self.records)
        found = lines(one)
        self.assertEqual(
            found[found.index("> STARTTLS") :][:5],
            [
                "> STARTTLS",
                "> [discarded]",
                "verdict commands in the clear before TLS were discarded",
                "< 220 2.0.0 ready to start TLS",
                "secured TLSv1.3 TLS_AES_256_GCM_SHA384",
            ],
        )
        self.assertEqual(
            found[found.index("> AUTH LOGIN") :],
            [
                "> AUTH LOGIN",
                "< 334 VXNlcm5hbWU6",
                "> [masked]",
                "< 334 UGFzc3dvcmQ6",
                "> [masked]",
                "login login refused",
                "< 535 5.7.8 login failed",
                "> AUTH PLAIN [masked]",
                "login logged in",
                "< 235 2.7.0 logged in",
            ],
        )
        refused, accepted = of(one, Kind.LOGIN)
        self.assertEqual((refused.details, accepted.details["account"]), ({"succeeded": False}, "alice@example.test"))
        (secured,) = of(one, Kind.SECURED)
        self.assertEqual(secured.details["group"], "X25519MLKEM768")
        self.assertIs(secured.details["post_quantum"], True)

    def test_the_end_says_why(self) -> None:
        for reason, why in (
            (error.ConnectionDone(), "closed by the peer"),
            (error.ConnectionLost(), "closed by the peer"),
        ):
            records = Recorder(10, 64 * 1024)
            peer = SMTPHouse(wiretap=records).connect()
            peer.lose(reason)
            self.assertEqual(lines(record(records))[-1], f"closed {why}")

    def test_silence_is_a_verdict(self) -> None:
        house = SMTPHouse(wiretap=self.records, settings=SMTPSettings(command_timeout=60))
        house.connect()
        house.store.clock.advance(61)
        found = lines(record(self.records))
        self.assertIn("verdict silent for too long", found)

    def test_the_counters_of_the_service_count_recorded_sessions(self) -> None:
        house = SMTPHouse(wiretap=self.records)
        house.connect().lose()
        self.assertEqual(house.telemetry.counters["smtp-end"], 1)


class POP3Tests(SynchronousTestCase):
    """A recorded POP3 session."""

    def test_states_and_deletions_are_recorded_and_messages_counted(self) -> None:
        records = Recorder(10, 64 * 1024)
        house = POP3House(wiretap=records)
        peer = house.connect(LOOPBACK)
        peer.say(b"USER alice@example.test\r\npass secret\r\n")
        peer.say(b"UIDL 1\r\n")
        uidl = peer.heard().splitlines()[-1]
        peer.say(b"RETR 1\r\n")
        sent = peer.heard()
        peer.say(b"DELE 1\r\nQUIT\r\n")
        one = record(records)
        self.assertEqual(
            lines(one)[2:],
            [
                "> USER alice@example.test",
                "< +OK send PASS",
                "> pass [masked]",
                "login logged in",
                "state transaction",
                "< +OK 3 messages (133 octets)",
                "> UIDL 1",
                f"< {uidl.decode()}",
                "> RETR 1",
                "< +OK 67 octets",
                "body",
                "message message 1 sent",
                "> DELE 1",
                "< +OK message 1 deleted",
                "message message 1 marked as deleted",
                "> QUIT",
                "commit messages removed",
                "< +OK bye, 1 message removed",
                "state update done",
                "closed closed by this host",
            ],
        )
        (body,) = of(one, Kind.BODY)
        self.assertEqual((body.direction, body.octets), (Direction.OUT, len(sent) - len(b"+OK 67 octets\r\n")))
        uid = {event.details["uid"] for event in of(one, Kind.MESSAGE)}
        self.assertEqual(uid, {uidl.split()[-1].decode()})

    def test_only_messages_that_were_sent_and_marked_are_named(self) -> None:
        records = Recorder(10, 64 * 1024)
        peer = POP3House(wiretap=records).connect(LOOPBACK)
        peer.say(b"USER alice@example.test\r\npass secret\r\n")
        peer.say(b"RETR 9\r\nTOP 1 0\r\nDELE 9\r\nDELE 2\r\nDELE 2\r\nRETR 2\r\nRSET\r\nRETR 2\r\n")
        found = [event.text for event in of(record(records), Kind.MESSAGE)]
        self.assertEqual(found, ["message 2 marked as deleted", "message 2 sent"])


class OutboundTests(SynchronousTestCase):
    """A recorded connection to another host."""

    def setUp(self) -> None:
        self.records = Recorder(10, 64 * 1024)
        self.hosts = MemoryHosts(wiretap=self.records)

    def test_a_message_to_another_host_is_recorded(self) -> None:
        for offers in (EHLO, CHUNKING):
            records = Recorder(10, 64 * 1024)
            hosts = MemoryHosts(wiretap=records)
            sent = hosts.send(transmission())
            server = hosts.connect()
            greet(server, offers)
            said = server.heard()
            server.reply("250 ok", "250 ok", *(("354 go",) if offers is EHLO else ()))
            said += server.heard()
            server.reply("250 taken")
            self.successResultOf(sent)
            server.lose(error.ConnectionDone())
            one = record(records)
            self.assertEqual((one.role, one.closed), (Role.CLIENT, True))
            self.assertEqual((one.peer, one.peer_name), ("192.0.2.25:25", "mx.example.net"))
            self.assertEqual(len(of(one, Kind.BODY)), 1)
            (commit,) = of(one, Kind.COMMIT)
            self.assertEqual(commit.text, "the peer has taken the message")
            digest = sha256(BODY).hexdigest()
            self.assertEqual(commit.details, {"queue_id": "Q1", "recipients": 1, "sha256": digest})
            self.assertIn("> MAIL FROM:<alice@example.test>", [line[:32] for line in lines(one)])
            self.assertEqual(one.octets(Direction.OUT), len(b"EHLO client.example\r\n") + len(said))

    def test_a_refusal_is_a_verdict_about_the_message(self) -> None:
        sent = self.hosts.send(transmission())
        server = self.hosts.connect()
        greet(server)
        server.reply("250 ok", "550 5.1.1 nobody", "503 no")
        self.successResultOf(sent)
        verdicts = of(record(self.records), Kind.VERDICT)
        self.assertEqual(
            [(event.text, event.details) for event in verdicts],
            [("failed", {"queue_id": "Q1", "reply": "550 5.1.1"})],
        )

    def test_a_connection_that_cannot_be_begun_is_over(self) -> None:
        """Open conversations stay longest in the ring: it would fill with them."""

        def refuse(*arguments: object) -> None:
            raise OSError(24, "Too many open files")

        self.hosts.reactor.connectTCP = refuse
        _ = self.hosts.send(transmission()).addErrback(lambda failure: None)
        one = record(self.records)
        self.assertTrue(one.closed)
        self.assertIn("Too many open files", one.events[-1].text)

    def test_a_connection_that_cannot_be_made_is_recorded(self) -> None:
        _ = self.hosts.send(transmission())
        factory = self.hosts.reactor.tcpClients[0][2]
        factory.clientConnectionFailed(None, Failure(error.ConnectionRefusedError()))
        one = record(self.records)
        self.assertTrue(one.closed)
        self.assertIn("no connection to mx.example.net", one.events[-1].text)

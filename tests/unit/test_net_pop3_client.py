"""Our end of a POP3 connection: time limits, the step to TLS, lost connections, a server that is told to wait."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from emailsys.net.pop3_client import POP3Client, POP3Lost, POP3Refused, POP3Timeouts, connect
from emailsys.net.tls_client import PeerCertificateError
from emailsys.wire import pop3_client_commands as commands
from tests.dialogue.peers import MemoryTransport

TLS: Any = object()
CAPA = b"+OK\r\nPIPELINING\r\nUIDL\r\nTOP\r\nSTLS\r\nSASL PLAIN\r\nUTF8\r\n.\r\n"


@implementer(IStreamClientEndpoint)
class MemoryEndpoint:
    """Connects in memory, or fails as it is told."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.transport = MemoryTransport()
        self.client: Any = None

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        made: Deferred[Any] = Deferred()
        if self.failure is not None:
            made.errback(self.failure)
        else:
            self.client = protocolFactory.buildProtocol(None)
            self.client.makeConnection(self.transport)
            made.callback(self.client)
        return made


class ConnectionTests(SynchronousTestCase):
    """A connection in memory, and a clock that a test sets."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoint = MemoryEndpoint()
        verifyObject(IStreamClientEndpoint, self.endpoint)
        self.transport = self.endpoint.transport

    def connecting(self, **options: Any) -> Deferred[POP3Client]:
        return Deferred.fromCoroutine(connect(self.endpoint, self.clock, "pop.test", **options))

    def heard(self, *answers: bytes) -> None:
        """The server speaks."""
        for answer in answers:
            self.endpoint.client.dataReceived(answer)

    def connected(self, capa: bytes = CAPA) -> POP3Client:
        made = self.connecting()
        self.heard(b"+OK ready\r\n", capa)
        self.transport.clear()
        return self.successResultOf(made)

    def hang_up(self, reason: Exception | None = None) -> None:
        self.endpoint.client.connectionLost(Failure(reason or ConnectionDone()))

    def why(self, waiting: Deferred[Any]) -> str:
        return str(self.failureResultOf(waiting, POP3Lost).value)

    # Connecting

    def test_who_is_not_there_is_named(self) -> None:
        self.endpoint.failure = ConnectionRefusedError(111, "Connection refused")
        self.assertIn("no connection to pop.test", self.why(self.connecting()))

    def test_a_server_that_does_not_greet_is_given_up(self) -> None:
        made = self.connecting()
        self.clock.advance(59)
        self.assertNoResult(made)
        self.clock.advance(2)
        self.assertIn("silent", self.why(made))
        self.assertTrue(self.transport.aborted)

    def test_implicit_tls_comes_before_the_greeting(self) -> None:
        made = self.connecting(tls=TLS)
        self.assertTrue(self.transport.handshaking)
        self.endpoint.client.handshakeCompleted()
        self.heard(b"+OK\r\n", CAPA)
        self.assertEqual(self.successResultOf(made).tls, "TLSv1.3 TLS_AES_256_GCM_SHA384")

    def test_a_handshake_that_does_not_end_is_given_up(self) -> None:
        made = self.connecting(tls=TLS)
        self.clock.advance(31)
        self.assertIn("handshake", self.why(made))

    def test_a_certificate_that_is_refused_is_the_reason(self) -> None:
        made = self.connecting(tls=TLS)
        self.hang_up(PeerCertificateError("the certificate of pop.test expired"))
        error = self.failureResultOf(made, POP3Lost).value
        self.assertEqual((str(error), error.certificate), ("the certificate of pop.test expired", True))

    def test_stls_forgets_what_was_offered_in_the_clear(self) -> None:
        made = self.connecting(stls=TLS)
        self.heard(b"+OK\r\n", CAPA, b"+OK begin\r\n")
        self.assertTrue(self.transport.handshaking)
        self.endpoint.client.handshakeCompleted()
        self.heard(b"+OK\r\nUIDL\r\n.\r\n")
        client = self.successResultOf(made)
        self.assertEqual((dict(client.capabilities.offered), client.pipelining), ({"UIDL": ()}, False))
        self.assertEqual(self.transport.value(), b"CAPA\r\nSTLS\r\nCAPA\r\n")

    def test_without_stls_nothing_is_said_in_the_clear(self) -> None:
        for answers in ((b"+OK\r\nUIDL\r\n.\r\n",), (b"-ERR\r\n", b"-ERR no\r\n")):
            self.setUp()
            made = self.connecting(stls=TLS)
            self.heard(b"+OK\r\n", *answers)
            self.assertIn("STLS", self.why(made))
            self.assertNotIn(b"USER", self.transport.value())

    def test_a_greeting_that_refuses_is_told(self) -> None:
        made = self.connecting()
        self.heard(b"-ERR too many sessions\r\n")
        self.assertIn("too many sessions", self.why(made))

    # Asking

    def test_the_best_login_that_is_offered_is_taken(self) -> None:
        for capa, words in (
            (b"+OK\r\nSASL LOGIN PLAIN\r\nUSER\r\n.\r\n", b"AUTH PLAIN"),
            (b"+OK\r\nSASL LOGIN\r\n.\r\n", b"AUTH LOGIN"),
            (b"-ERR\r\n", b"USER a"),
        ):
            self.setUp()
            client = self.connected(capa)
            login = Deferred.fromCoroutine(client.login("a", "b"))
            self.assertTrue(self.transport.value().startswith(words))
            self.heard(b"-ERR [AUTH] no\r\n")
            refused = self.failureResultOf(login, POP3Refused).value
            self.assertEqual(refused.answer.code, "AUTH")
            client.abort()

    def test_utf8_is_asked_for_where_it_is_offered(self) -> None:
        client = self.connected()
        said = Deferred.fromCoroutine(client.say_utf8())
        self.heard(b"+OK\r\n")
        self.successResultOf(said)
        self.assertEqual(self.transport.value(), b"UTF8\r\n")
        other = self.connected(b"-ERR\r\n")
        self.successResultOf(Deferred.fromCoroutine(other.say_utf8()))

    def test_messages_are_asked_for_together_and_handed_on_as_they_come(self) -> None:
        client = self.connected()
        got: dict[int, bytes] = {1: b"", 2: b""}

        def take(number: int) -> Any:
            return lambda piece: got.__setitem__(number, got[number] + piece)

        answers = [client.retrieve(1, take(1)), client.top(2, 0, take(2))]
        self.assertEqual(self.transport.value(), b"RETR 1\r\nTOP 2 0\r\n")
        self.heard(b"+OK\r\none", b"\r\n.\r\n+OK\r\ntw", b"o\r\n.\r\n")
        self.assertEqual([self.successResultOf(answer).ok for answer in answers], [True, True])
        self.assertEqual(got, {1: b"one\r\n", 2: b"two\r\n"})

    def test_a_refused_message_is_a_value(self) -> None:
        client = self.connected()
        answer = client.retrieve(1, lambda piece: None)
        self.heard(b"-ERR gone\r\n")
        self.assertEqual(self.successResultOf(answer).text, "gone")

    def test_silence_in_the_middle_ends_the_session_and_a_pause_of_ours_does_not(self) -> None:
        client = self.connected()
        answer = client.retrieve(1, lambda piece: None)
        client.pause()
        client.pause()
        self.assertEqual(self.transport.producerState, "paused")
        self.clock.advance(1000)
        self.assertNoResult(answer)
        client.resume()
        self.assertEqual(self.transport.producerState, "producing")
        self.clock.advance(301)
        self.assertIn("RETR is unanswered", self.why(answer))
        self.assertTrue(self.transport.aborted)

    def test_octets_that_come_buy_time(self) -> None:
        client = self.connected()
        answer = client.retrieve(1, lambda piece: None)
        for _ in range(5):
            self.clock.advance(200)
            self.heard(b"+OK\r\n" if not _ else b"line\r\n")
        self.heard(b".\r\n")
        self.assertTrue(self.successResultOf(answer).ok)

    def test_a_lost_connection_fails_all_that_waits_and_all_that_follows(self) -> None:
        client = self.connected()
        waiting = [client.delete(1), client.delete(2)]
        self.hang_up()
        self.assertIn("in answer to DELE", self.why(waiting[0]))
        self.assertIn("was lost", self.why(waiting[1]))
        self.assertIn("was lost", self.why(client.delete(3)))
        self.successResultOf(client.gone)
        client.resume()
        client.abort()

    def test_nonsense_ends_the_session(self) -> None:
        client = self.connected()
        answer = client.ask(commands.noop())
        self.heard(b"250 OK\r\n", b"+OK\r\n")
        self.assertIn("does not speak POP3", self.why(answer))

    def test_who_cancels_one_command_ends_the_session(self) -> None:
        client = self.connected()
        first, second = client.delete(1), client.delete(2)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertIn("given up", self.why(second))

    # The end

    def test_quit_closes_and_a_server_that_keeps_the_connection_is_cut_off(self) -> None:
        client = self.connected()
        leaving = Deferred.fromCoroutine(client.quit())
        self.heard(b"+OK bye\r\n")
        self.successResultOf(leaving)
        self.assertTrue(self.transport.disconnecting)
        client.abort()
        self.assertFalse(self.transport.aborted)
        self.clock.advance(POP3Timeouts().handshake)
        self.assertTrue(self.transport.aborted)

    def test_a_quit_that_is_refused_is_told_and_closes_too(self) -> None:
        client = self.connected()
        leaving = Deferred.fromCoroutine(client.quit())
        self.heard(b"-ERR not removed\r\n")
        self.failureResultOf(leaving, POP3Refused)
        self.assertTrue(self.transport.disconnecting)

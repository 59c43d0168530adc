"""The POP3 client: TLS, lost connections, time limits, and streamed messages."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.fetch.pop3 import POP3Client, POP3Lost, POP3Refused, POP3Timeouts, connect
from emailsys.client.fetch.stream import StreamLost, StreamTimeout
from emailsys.wire.pop3 import client_commands as commands
from emailsys.wire.pop3.client import Answered
from tests.fakes.client.scripted_stream import ScriptedStream, is_a_stream

TLS: Any = object()
CAPA = b"+OK\r\nPIPELINING\r\nUIDL\r\nTOP\r\nSTLS\r\nSASL PLAIN\r\nUTF8\r\n.\r\n"


class ConnectionTests(SynchronousTestCase):
    """A scripted stream."""

    def connecting(self, *heard: bytes | Exception, **options: Any) -> POP3Client:
        self.stream = ScriptedStream(*heard)
        return connect(is_a_stream(self.stream), "pop.test", 110, **options)

    def connected(self, *heard: bytes | Exception, capa: bytes = CAPA) -> POP3Client:
        client = self.connecting(b"+OK ready\r\n", capa, *heard)
        self.stream.said = b""
        return client

    def why(self, call: Any, *arguments: Any, **named: Any) -> str:
        return str(self.assertRaises(POP3Lost, call, *arguments, **named))

    # Connecting

    def test_a_refused_connection_names_the_server(self) -> None:
        said = self.why(self.connecting, StreamLost("Connection refused"))
        self.assertEqual(said, "no connection to pop.test: Connection refused")
        self.assertEqual(self.stream.steps[-1], "close")

    def test_a_server_that_does_not_greet_is_given_up(self) -> None:
        stream = ScriptedStream(StreamTimeout())
        said = self.why(POP3Client(is_a_stream(stream), "pop.test").greet)
        self.assertIn("pop.test did not answer", said)
        self.assertEqual(stream.granted, POP3Timeouts().greeting)

    def test_implicit_tls_comes_before_the_greeting(self) -> None:
        self.connecting(b"+OK\r\n", CAPA, tls=TLS)
        self.assertEqual(self.stream.steps, ["connect pop.test 110", "tls after b''"])

    def test_a_handshake_that_does_not_end_is_given_up(self) -> None:
        stream = ScriptedStream(StreamTimeout())
        self.assertIn("handshake", self.why(POP3Client(is_a_stream(stream), "pop.test").begin_tls, TLS))
        self.assertEqual(stream.granted, POP3Timeouts().handshake)

    def test_a_certificate_that_is_refused_is_the_reason(self) -> None:
        expired = StreamLost("the certificate of pop.test expired", certificate=True)
        stream = ScriptedStream(expired)
        error = self.assertRaises(POP3Lost, POP3Client(is_a_stream(stream), "pop.test").begin_tls, TLS)
        self.assertEqual((str(error), error.certificate), ("the certificate of pop.test expired", True))
        stream = ScriptedStream(StreamLost("wrong version number"))
        error = self.assertRaises(POP3Lost, POP3Client(is_a_stream(stream), "pop.test").begin_tls, TLS)
        self.assertEqual((str(error), error.certificate), ("no TLS with pop.test: wrong version number", False))

    def test_stls_forgets_what_was_offered_in_the_clear(self) -> None:
        client = self.connecting(b"+OK\r\n", CAPA, b"+OK begin\r\n", b"+OK\r\nUIDL\r\n.\r\n", stls=TLS)
        self.assertEqual((dict(client.capabilities.offered), client.pipelining), ({"UIDL": ()}, False))
        self.assertEqual(self.stream.steps[-1], "tls after b'CAPA\\r\\nSTLS\\r\\n'")
        self.assertEqual(self.stream.said, b"CAPA\r\nSTLS\r\nCAPA\r\n")

    def test_without_stls_nothing_is_said_in_the_clear(self) -> None:
        for answers in ((b"+OK\r\nUIDL\r\n.\r\n",), (b"-ERR\r\n", b"-ERR no\r\n")):
            self.assertIn("STLS", self.why(self.connecting, b"+OK\r\n", *answers, stls=TLS))
            self.assertNotIn(b"USER", self.stream.said)
            self.assertEqual(self.stream.steps[-1], "close")

    def test_a_greeting_that_refuses_is_reported(self) -> None:
        self.assertIn("too many sessions", self.why(self.connecting, b"-ERR too many sessions\r\n"))

    # Asking

    def test_the_best_login_that_is_offered_is_taken(self) -> None:
        for capa, words in (
            (b"+OK\r\nSASL LOGIN PLAIN\r\nUSER\r\n.\r\n", b"AUTH PLAIN"),
            (b"+OK\r\nSASL LOGIN\r\n.\r\n", b"AUTH LOGIN"),
            (b"-ERR\r\n", b"USER a"),
        ):
            client = self.connected(b"-ERR [AUTH] no\r\n", capa=capa)
            refused = self.assertRaises(POP3Refused, client.login, "a", "b")
            self.assertTrue(self.stream.said.startswith(words))
            self.assertEqual(refused.answer.code, "AUTH")
            self.assertEqual(self.stream.granted, POP3Timeouts().login)

    def test_utf8_is_asked_for_where_it_is_offered(self) -> None:
        self.connected(b"+OK\r\n").enable_utf8()
        self.assertEqual(self.stream.said, b"UTF8\r\n")
        self.connected(capa=b"-ERR\r\n").enable_utf8()
        self.assertEqual(self.stream.said, b"")

    def test_ids_and_sizes_are_asked_for_together(self) -> None:
        client = self.connected(b"+OK\r\n1 a\r\n.\r\n+OK\r\n1 10\r\n.\r\n")
        self.assertEqual(client.unique_ids_and_sizes(), ({1: "a"}, {1: 10}))
        self.assertEqual(self.stream.said, b"UIDL\r\nLIST\r\n")
        error = self.assertRaises(POP3Refused, self.connected(b"-ERR what?\r\n+OK\r\n.\r\n").unique_ids_and_sizes)
        self.assertEqual(error.command, "UIDL")

    def test_messages_are_asked_for_together_and_handed_on_as_they_come(self) -> None:
        client = self.connected(b"+OK\r\none", b"\r\n.\r\n+OK\r\ntw", b"o\r\n.\r\n")
        came = [
            (isinstance(event, Answered), event.octets)
            for event in client.events([commands.retr(1), commands.top(2, 0)])
        ]
        self.assertEqual(self.stream.said, b"RETR 1\r\nTOP 2 0\r\n")
        self.assertEqual(b"".join(octets for _, octets in came), b"one\r\ntwo\r\n")
        self.assertEqual(sum(ends for ends, _ in came), 2)

    def test_many_commands_are_no_more_than_the_server_can_take_at_once(self) -> None:
        client = self.connected(*[b"+OK\r\n"] * 1000)
        answers = client.events(commands.dele(number) for number in range(1, 1001))
        next(answers)
        self.assertEqual(self.stream.said.count(b"\r\n"), 200)
        self.assertEqual(len([*answers]), 999)
        self.assertEqual(self.stream.said.count(b"\r\n"), 1000)

    def test_a_refused_message_is_an_answer(self) -> None:
        self.assertEqual(self.connected(b"-ERR gone\r\n").answers([commands.retr(1)])[0].text, "gone")

    def test_silence_in_the_middle_ends_the_session(self) -> None:
        client = self.connected(b"+OK\r\nline\r\n", StreamTimeout())
        self.assertIn("did not answer RETR", self.why(client.answers, [commands.retr(1)]))
        self.assertEqual(self.stream.granted, POP3Timeouts().answer)

    def test_a_lost_connection_is_reported_with_what_was_asked(self) -> None:
        client = self.connected()
        self.assertIn("was lost in answer to DELE: the host closed it", self.why(client.ask, commands.dele(1)))
        client = self.connected(StreamLost("Connection reset by peer"))
        self.assertIn("was lost in answer to DELE: Connection reset", self.why(client.ask, commands.dele(1)))

    def test_nonsense_ends_the_session(self) -> None:
        self.assertIn("does not speak POP3", self.why(self.connected(b"250 OK\r\n").ask, commands.noop()))

    # The end

    def test_quit_closes(self) -> None:
        client = self.connected(b"+OK bye\r\n")
        client.quit()
        self.assertEqual((self.stream.said, self.stream.steps[-1]), (b"QUIT\r\n", "close"))

    def test_a_quit_that_is_refused_is_told_and_closes_too(self) -> None:
        client = self.connected(b"-ERR not removed\r\n")
        self.assertRaises(POP3Refused, client.quit)
        self.assertEqual(self.stream.steps[-1], "close")

"""The client's side of a POP3 session: commands in turn, answers read with bounds, nothing taken for what it is not."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.wire.pop3 import client_commands as commands
from emailsys.wire.pop3.client import (
    MAX_LISTING,
    MAX_STATUS_LINE,
    MAX_UNDER_WAY,
    Answered,
    Broken,
    Event,
    Piece,
    POP3ClientSession,
)


def events(session: POP3ClientSession, octets: bytes) -> list[Event]:
    """What a server's words lead to."""
    session.feed(octets)
    found = []
    while (event := session.next_event()) is not None:
        found.append(event)
    return found


def greeted(pipelining: bool = False) -> POP3ClientSession:
    """A session whose greeting has come."""
    session = POP3ClientSession()
    events(session, b"+OK ready\r\n")
    session.pipelining = pipelining
    return session


class OrderTests(SynchronousTestCase):
    """Which command goes when."""

    def test_the_greeting_is_awaited_before_anything_is_said(self) -> None:
        session = POP3ClientSession()
        session.ask(commands.capa())
        self.assertEqual(session.take(), b"")
        found = events(session, b"+OK ready\r\n")
        self.assertEqual([type(event) for event in found], [Answered])
        self.assertEqual(session.take(), b"CAPA\r\n")

    def test_without_pipelining_one_command_at_a_time_is_under_way(self) -> None:
        session = greeted()
        session.ask(commands.dele(1))
        session.ask(commands.dele(2))
        self.assertEqual(session.take(), b"DELE 1\r\n")
        events(session, b"+OK\r\n")
        self.assertEqual(session.take(), b"DELE 2\r\n")

    def test_with_pipelining_many_commands_go_together_but_not_all(self) -> None:
        session = greeted(pipelining=True)
        for message in range(MAX_UNDER_WAY + 50):
            session.ask(commands.dele(message + 1))
        self.assertEqual(session.take().count(b"\r\n"), MAX_UNDER_WAY)
        events(session, b"+OK\r\n" * 30)
        self.assertEqual(session.take().count(b"\r\n"), 30)
        self.assertEqual(len(session.unanswered), MAX_UNDER_WAY + 20)

    def test_quit_waits_for_all_answers_and_nothing_follows_it(self) -> None:
        session = greeted(pipelining=True)
        session.ask(commands.dele(1))
        session.ask(commands.end())
        session.ask(commands.noop())
        self.assertEqual(session.take(), b"DELE 1\r\n")
        events(session, b"+OK\r\n")
        self.assertEqual(session.take(), b"QUIT\r\n")

    def test_after_tls_the_server_has_to_say_anew_that_it_pipelines(self) -> None:
        session = greeted(pipelining=True)
        session.tls_began()
        self.assertFalse(session.pipelining)

    def test_the_session_tells_whose_answer_it_waits_for(self) -> None:
        session = greeted()
        self.assertIsNone(session.expects)
        command = commands.noop()
        session.ask(command)
        self.assertIs(session.expects, command)


class AnswerTests(SynchronousTestCase):
    """What a server's words mean."""

    def answer(self, command: commands.Command, octets: bytes) -> Answered:
        session = greeted()
        session.ask(command)
        (event,) = events(session, octets)
        assert isinstance(event, Answered)
        self.assertIs(event.command, command)
        return event

    def test_a_response_code_is_told_apart_from_the_text(self) -> None:
        answer = self.answer(commands.password("x"), b"-ERR [in-use] the maildrop is open\r\n").answer
        self.assertEqual((answer.ok, answer.code, answer.text), (False, "IN-USE", "the maildrop is open"))

    def test_control_octets_of_a_server_never_reach_the_terminal(self) -> None:
        answer = self.answer(commands.noop(), b"-ERR \x1b[31mred\xff\r\n").answer
        self.assertEqual(answer.text, "\\x1b[31mred\\xff")

    def test_a_status_without_text_and_with_lf_alone_is_understood(self) -> None:
        self.assertTrue(self.answer(commands.noop(), b"+OK\n").answer.ok)

    def test_a_listing_is_collected_and_unstuffed(self) -> None:
        answer = self.answer(commands.uidl(), b"+OK\r\n1 a\r\n2 ..b\r\n..x\r\n.\r\n").answer
        self.assertEqual(answer.lines, [b"1 a", b"2 ..b", b".x"])

    def test_a_refused_listing_has_no_lines(self) -> None:
        self.assertEqual(self.answer(commands.uidl(), b"-ERR no\r\n").answer.lines, ())

    def test_a_message_comes_unstuffed_with_its_end(self) -> None:
        event = self.answer(commands.retr(1), b"+OK 20 octets\r\nSubject: x\r\n\r\n..dot\r\n.\r\n")
        self.assertEqual(event.octets, b"Subject: x\r\n\r\n.dot\r\n")

    def test_an_empty_message_is_a_message(self) -> None:
        self.assertEqual(self.answer(commands.retr(1), b"+OK\r\n.\r\n").octets, b"")

    def test_a_message_is_handed_on_as_it_comes(self) -> None:
        session = greeted()
        session.ask(commands.retr(1))
        (piece,) = events(session, b"+OK\r\nhello wor")
        assert isinstance(piece, Piece)
        self.assertEqual(piece.octets, b"hello wor")
        (end,) = events(session, b"ld\r\n.\r\n")
        assert isinstance(end, Answered)
        self.assertEqual(end.octets, b"ld\r\n")

    def test_messages_that_come_in_one_segment_are_told_apart(self) -> None:
        session = greeted(pipelining=True)
        for message in (1, 2):
            session.ask(commands.retr(message))
        found = events(session, b"+OK\r\none\r\n.\r\n+OK\r\ntwo\r\n.\r\n")
        self.assertEqual([event.octets for event in found if isinstance(event, Answered)], [b"one\r\n", b"two\r\n"])


class LoginTests(SynchronousTestCase):
    """Exchanges of AUTH."""

    def said(self, command: commands.Command, *answers: bytes) -> list[bytes]:
        session = greeted()
        session.ask(command)
        said = [session.take()]
        for answer in answers:
            events(session, answer)
            said.append(session.take())
        return said

    def test_plain_goes_with_its_command_where_that_is_short_enough(self) -> None:
        self.assertEqual(self.said(commands.auth_plain("a", "b")), [b"AUTH PLAIN AGEAYg==\r\n"])

    def test_a_long_password_goes_on_a_line_of_its_own(self) -> None:
        first, second = self.said(commands.auth_plain("a", "b" * 300), b"+ \r\n")
        self.assertEqual(first, b"AUTH PLAIN\r\n")
        self.assertGreater(len(second), 400)

    def test_login_answers_both_prompts(self) -> None:
        said = self.said(commands.auth_login("a", "b"), b"+ VXNlcm5hbWU6\r\n", b"+ UGFzc3dvcmQ6\r\n")
        self.assertEqual(said, [b"AUTH LOGIN\r\n", b"YQ==\r\n", b"Yg==\r\n"])

    def test_a_refused_token_is_answered_by_an_empty_line(self) -> None:
        said = self.said(commands.auth_xoauth2("a", "t"), b"+\r\n", b"+ eyJzdGF0dXMiOiI0MDEifQ==\r\n")
        self.assertEqual(said, [b"AUTH XOAUTH2\r\n", b"dXNlcj1hAWF1dGg9QmVhcmVyIHQBAQ==\r\n", b"\r\n"])

    def test_a_server_that_never_stops_asking_is_told_to_stop(self) -> None:
        said = self.said(commands.auth_plain("a", "b"), b"+ x\r\n")
        self.assertEqual(said[-1], b"*\r\n")

    def test_a_password_with_a_line_end_could_end_the_command(self) -> None:
        for bad in ("a\r\nDELE 1", "a\nb", "a\0b"):
            self.assertRaises(commands.ArgumentError, commands.password, bad)
            self.assertRaises(commands.ArgumentError, commands.user, bad)
            self.assertRaises(commands.ArgumentError, commands.auth_plain, "a", bad)

    def test_a_password_is_not_shown(self) -> None:
        for command in (commands.password("secret"), commands.auth_plain("a", "secret")):
            self.assertNotIn("secret", repr(command))


class BrokenTests(SynchronousTestCase):
    """What is no POP3 ends the session, in bounded memory."""

    def broken(self, session: POP3ClientSession, octets: bytes) -> str:
        *_, event = events(session, octets)
        assert isinstance(event, Broken), event
        self.assertIsNone(session.next_event())
        session.feed(b"+OK\r\n")
        self.assertIsNone(session.next_event())
        return event.why

    def test_a_web_server_is_no_pop3_server(self) -> None:
        self.assertIn("HTTP/1.1 400", self.broken(POP3ClientSession(), b"HTTP/1.1 400 Bad Request\r\n"))

    def test_a_line_without_end_is_not_collected(self) -> None:
        self.broken(POP3ClientSession(), b"+OK " + b"x" * MAX_STATUS_LINE)

    def test_a_listing_has_a_bound(self) -> None:
        session = greeted()
        session.ask(commands.uidl())
        events(session, b"+OK\r\n")
        line = b"x" * 2000 + b"\r\n"
        block = line * 1000
        for _ in range(MAX_LISTING // len(block) + 1):
            session.feed(block)
            if session.next_event() is not None:
                break
        self.assertTrue(session.broken)

    def test_an_unrequested_line_is_not_taken_for_an_answer(self) -> None:
        self.assertIn("unasked", self.broken(greeted(), b"+OK you have mail\r\n"))

    def test_a_challenge_to_another_command_is_no_answer(self) -> None:
        session = greeted()
        session.ask(commands.noop())
        self.assertIn("challenge", self.broken(session, b"+ \r\n"))

    def test_octets_after_the_answer_to_stls_break_the_session(self) -> None:
        session = greeted()
        session.ask(commands.stls())
        self.assertIn("somebody is in between", self.broken(session, b"+OK\r\n+OK injected\r\n"))

    def test_after_the_end_nothing_is_sent(self) -> None:
        session = greeted()
        session.ask(commands.noop())
        session.take()
        self.broken(session, b"nonsense\r\n")
        session.ask(commands.noop())
        self.assertEqual(session.take(), b"")


class ListingTests(SynchronousTestCase):
    """Lines of listings."""

    def test_capabilities_come_with_their_parameters(self) -> None:
        offered = commands.capabilities([b"SASL plain LOGIN", b"TOP", b"pipelining", b"", b"\xff bad"])
        self.assertEqual(offered.mechanisms, {"PLAIN", "LOGIN"})
        self.assertIn("PIPELINING", offered)
        self.assertNotIn("STLS", offered)

    def test_lines_that_name_no_message_are_left_out(self) -> None:
        lines = [b"1 abc", b"+2 x", b"0 y", b"3", b"4 b\x07d", b"5  spaced", b"six z"]
        self.assertEqual(commands.unique_ids(lines), {1: "abc", 5: "spaced"})

    def test_sizes_may_be_followed_by_words(self) -> None:
        self.assertEqual(commands.octets_of([b"1 100", b"2 200 octets", b"3 x", b"4"]), {1: 100, 2: 200})

    def test_commands_are_spelt_as_the_standard_has_them(self) -> None:
        spelt = [commands.top(3, 0), commands.sizes(), commands.stat(), commands.rset(), commands.utf8()]
        self.assertEqual(b"".join(command.octets for command in spelt), b"TOP 3 0\r\nLIST\r\nSTAT\r\nRSET\r\nUTF8\r\n")

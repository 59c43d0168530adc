"""POP3 without I/O: grammar, order of commands, framing, and the output of RETR and TOP."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.reply import OTHER_PROTOCOL
from emailsys.wire.pop3.grammar import (
    MAX_COMMAND_LINE,
    POP3SyntaxError,
    number,
    read_command,
)
from emailsys.wire.pop3.server import (
    MAX_BAD_COMMANDS,
    MAX_IDLE_COMMANDS,
    Command,
    Event,
    POP3Session,
    Refusal,
    Response,
    State,
)
from emailsys.wire.pop3.top import TopCutter
from emailsys.wire.sasl import MAX_AUTH_LINE
from emailsys.wire.stuffing import Stuffer


class GrammarTests(SynchronousTestCase):
    """Each line is one command."""

    def assertRefused(self, line: bytes, text: str) -> None:
        error = self.assertRaises(POP3SyntaxError, read_command, line)
        self.assertIn(text, str(error))

    def test_a_number_is_ascii_digits(self) -> None:
        self.assertEqual(number(b"007"), 7)
        self.assertEqual(number(b"18446744073709551615"), 2**64 - 1)
        for text in (b"", b"+1", b"-1", b"0_1", b" 1", "\u0661".encode(), b"1" * 21, b"0x1", b"1.0"):
            self.assertIsNone(number(text), text)

    def test_verbs_come_in_any_case(self) -> None:
        for line in (b"RETR 3", b"retr 3", b"rEtR 3"):
            verb, arguments = read_command(line)
            self.assertEqual((verb.name, arguments), ("RETR", (3,)))

    def test_optional_arguments_may_be_missing(self) -> None:
        self.assertEqual(read_command(b"LIST")[1], ())
        self.assertEqual(read_command(b"LIST 2")[1], (2,))
        self.assertEqual(read_command(b"UIDL ")[1], ())
        self.assertEqual(read_command(b"TOP 1 0")[1], (1, 0))
        self.assertEqual(read_command(b"AUTH")[1], ())
        self.assertEqual(read_command(b"AUTH PLAIN =")[1], (b"PLAIN", b"="))

    def test_wrong_arguments_are_answered_with_the_usage(self) -> None:
        for line in (b"LIST a", b"LIST 0", b"RETR", b"RETR 1 2", b"TOP 1", b"TOP 1 x", b"TOP 0 1", b"TOP  1 1"):
            self.assertRefused(line, f"usage: {line.split()[0].decode()}")
        for line in (b"STAT 1", b"QUIT now", b"AUTH PLAIN a b", b"AUTH PLAIN  a", b"USER", b"PASS", b"PASS "):
            self.assertRefused(line, f"usage: {line.split()[0].decode()}")

    def test_other_commands_are_unknown(self) -> None:
        for line in (b"", b" ", b"LAST", b"APOP a b", b"RPOP x", b"XTND", b"\xff\xfe", b"RETR\t1"):
            self.assertRefused(line, "unknown command")

    def test_a_password_is_taken_to_the_last_space(self) -> None:
        self.assertEqual(read_command(b"PASS  a b ")[1], (b" a b ",))
        self.assertEqual(read_command(b'USER "a b"@example.test ')[1], (b'"a b"@example.test',))

    def test_names_and_passwords_are_clean_utf8(self) -> None:
        self.assertEqual(read_command("PASS gr\u00fc\u00df".encode())[1], ("gr\u00fc\u00df".encode(),))
        self.assertRefused(b"PASS \xff", "not UTF-8")
        self.assertRefused(b"USER a\x00b", "control characters")
        self.assertRefused(b"USER a\x7fb", "control characters")
        self.assertRefused("USER a\u202eb".encode(), "SASLprep")


class SessionTests(SynchronousTestCase):
    """The events of a session in each of its states."""

    def setUp(self) -> None:
        self.session = POP3Session()

    def ask(self, octets: bytes) -> Event | None:
        self.session.feed(octets)
        return self.session.next_event()

    def test_each_command_has_its_state(self) -> None:
        before = (b"USER x", b"AUTH", b"STLS", b"UTF8")
        after = (b"STAT", b"LIST", b"UIDL", b"RETR 1", b"TOP 1 1", b"DELE 1", b"NOOP", b"RSET")
        both = (b"CAPA", b"QUIT")
        for line in before + both:
            self.assertIsInstance(self.ask(line + b"\r\n"), Command, line)
        for line in after:
            self.assertIsInstance(self.ask(line + b"\r\n"), Refusal, line)
        self.session.log_in()
        self.assertIs(self.session.state, State.TRANSACTION)
        for line in after + both:
            self.assertIsInstance(self.ask(line + b"\r\n"), Command, line)
        for line in before:
            self.assertIsInstance(self.ask(line + b"\r\n"), Refusal, line)

    def test_pass_requires_user(self) -> None:
        self.assertEqual(self.ask(b"PASS x\r\n"), Refusal("USER first"))
        self.session.user = b"alice"
        self.assertEqual(self.ask(b"PASS x\r\n"), Command("PASS", (b"x",)))

    def test_tls_begins_once_and_discards_all_state(self) -> None:
        self.session.user = b"alice"
        self.session.utf8 = True
        self.assertEqual(self.ask(b"STLS\r\nUSER eve\r\nPA"), Command("STLS", ()))
        self.assertEqual(self.session.begin_tls(), len(b"USER eve\r\nPA"))
        self.assertIsNone(self.session.user)
        self.assertFalse(self.session.utf8)
        self.assertEqual(self.session.waiting, 0)
        self.assertEqual(self.ask(b"STLS\r\n"), Refusal("TLS is already active"))

    def test_an_exchange_takes_lines_of_12288_octets(self) -> None:
        self.session.begin_exchange()
        line = b"A" * (MAX_AUTH_LINE - 2)
        self.assertEqual(self.ask(line + b"\r\n"), Response(line))
        self.assertIs(self.session.state, State.EXCHANGE)
        self.assertEqual(self.ask(line + b"A\r\n"), Refusal("line too long"))
        self.assertIs(self.session.state, State.AUTHORIZATION)
        self.session.begin_exchange()
        self.assertIsNone(self.ask(b"half"))
        self.session.end_exchange()
        self.assertIs(self.session.state, State.AUTHORIZATION)

    def test_a_command_line_has_255_octets_with_its_end(self) -> None:
        name = b"x" * (MAX_COMMAND_LINE - len(b"USER \r\n"))
        self.assertEqual(self.ask(b"USER " + name + b"\r\n"), Command("USER", (name,)))
        self.assertEqual(self.ask(b"USER x" + name + b"\r\n"), Refusal("line too long"))

    def test_an_endless_line_is_not_collected_and_is_answered_once(self) -> None:
        for _ in range(1000):
            self.assertIsNone(self.ask(b"x" * 65536))
            self.assertLessEqual(self.session.waiting, MAX_COMMAND_LINE)
        self.assertEqual(self.ask(b"\r\nNOOP\r\n"), Refusal("line too long"))
        self.assertEqual(self.session.next_event(), Refusal("NOOP is not allowed before login"))
        self.assertIsNone(self.session.next_event())

    def test_lf_alone_and_cr_alone_are_named_in_the_refusal(self) -> None:
        self.assertEqual(self.ask(b"CAPA\n"), Refusal("line ended by LF alone; use CRLF (s_client -crlf)"))
        self.assertEqual(self.ask(b"CA\rPA\r\n"), Refusal("CR alone inside a line; lines end with CRLF"))

    def test_a_request_of_another_protocol_ends_the_session(self) -> None:
        for line in (
            b"GET / HTTP/1.1\r\n",
            b"OPTIONS sip:nm SIP/2.0\r\n",
            b"M-SEARCH * HTTP/1.1\r\n",
            b"GET / HTTP/1.0\n",
            b"PROPFIND /\rx HTTP/1.0\r\n",
            b"POST /%b HTTP/1.1\r\n" % (b"a" * MAX_COMMAND_LINE),
            b"LIST / HTTP/1.1\r\n",
        ):
            self.session = POP3Session()
            self.assertEqual(self.ask(line), Refusal(OTHER_PROTOCOL.text, last=True), line[:20])

    def test_a_tls_handshake_ends_the_session_at_once(self) -> None:
        """A client that is set to TLS from the first octet waited for a reply. Its handshake may have line ends."""
        for begin in (b"\x16\x03\x01", b"\x16\x03\x01\xc4\n\r\n\x03", b"\x16\x03" + b"x" * MAX_COMMAND_LINE):
            self.session = POP3Session()
            event = self.ask(begin)
            assert isinstance(event, Refusal)
            self.assertTrue(event.last)
            self.assertIn("must use STLS", event.text)

    def test_the_first_line_of_another_protocol_ends_the_session(self) -> None:
        for line in (b"*1\r\n", b"SSH-2.0-x\r\n", b"\0\0\0\x08\x04\xd2", b"a1 LOGIN ann x\r\n"):
            self.session = POP3Session()
            event = self.ask(line)
            assert isinstance(event, Refusal)
            self.assertTrue(event.last)
            self.assertIn("your program speaks", event.text)
            self.assertIsNone(self.session.next_event())
        self.session = POP3Session()
        self.assertEqual(self.ask(b"hello\r\n"), Refusal("unknown command"))
        self.assertEqual(self.ask(b"*1\r\n"), Refusal("unknown command"))

    def test_too_many_bad_commands_end_the_session(self) -> None:
        for _ in range(MAX_BAD_COMMANDS - 1):
            self.assertEqual(self.ask(b"nonsense\r\n"), Refusal("unknown command"))
        self.assertEqual(self.ask(b"nonsense\r\n"), Refusal("unknown command; too many bad commands", last=True))

    def test_a_login_resets_the_count_of_bad_commands(self) -> None:
        for _ in range(MAX_BAD_COMMANDS - 1):
            self.ask(b"nonsense\r\n")
        self.session.log_in()
        self.assertEqual(self.ask(b"nonsense\r\n"), Refusal("unknown command"))


def stuffed(*pieces: bytes, dotted: bool = True) -> bytes:
    """Returns the message as it is sent."""
    stuffer = Stuffer()
    return b"".join(stuffer.stuff(piece, dotted) for piece in pieces) + stuffer.end()


class UnauthenticatedClientTests(SynchronousTestCase):
    """An unauthenticated client cannot occupy a session for ever, even with valid commands."""

    def events(self, session: POP3Session, octets: bytes) -> list[Event]:
        session.feed(octets)
        found = []
        while (event := session.next_event()) is not None:
            found.append(event)
        return found

    def test_after_a_hundred_commands_without_a_login_the_session_ends(self) -> None:
        for line in (b"CAPA\r\n", b"USER alice\r\n", b"AUTH PLAIN\r\n", b"UTF8\r\n"):
            session = POP3Session()
            self.assertEqual({type(event) for event in self.events(session, line * 100)}, {Command})
            self.assertEqual(self.events(session, line), [Refusal("too many commands before login", last=True)])

    def test_tls_does_not_reset_the_count(self) -> None:
        session = POP3Session()
        self.events(session, b"CAPA\r\n" * 100)
        session.begin_tls()
        self.assertEqual(self.events(session, b"CAPA\r\n"), [Refusal("too many commands before login", last=True)])

    def test_quit_is_answered_and_after_login_there_is_no_such_limit(self) -> None:
        session = POP3Session()
        self.events(session, b"CAPA\r\n" * 100)
        self.assertEqual(self.events(session, b"QUIT\r\n"), [Command("QUIT", ())])
        session.log_in()
        self.assertEqual({type(event) for event in self.events(session, b"NOOP\r\n" * 300)}, {Command})

    def test_commands_that_concern_no_message_are_bounded_after_the_login_too(self) -> None:
        session = POP3Session()
        session.log_in()
        for _ in range(2):
            session.idle_commands = MAX_IDLE_COMMANDS - 1
            self.assertEqual(self.events(session, b"NOOP\r\n"), [Command("NOOP", ())])
        self.assertEqual(
            self.events(session, b"STAT\r\nQUIT\r\n"),
            [Refusal("too many commands without a message", last=True), Command("QUIT", ())],
        )

    def test_frequent_commands_are_read_as_the_grammar_reads_them(self) -> None:
        for line in (b"RETR 1", b"DELE 999999999", b"RETR 1000000000", b"RETR 007", b"dele 7", b"RETR 7 ", b"Retr 7"):
            session = POP3Session()
            session.log_in()
            verb, arguments = read_command(line)
            self.assertEqual(self.events(session, line + b"\r\n"), [Command(verb.name, arguments)], line)
            self.assertEqual(session.idle_commands, 1)
        for line in (b"RETR 0", b"DELE -1", b"RETR  1", b"RETR 1 2", b"DELE", b"RETR " + b"1" * 21, b"DELE \xd9\xa1"):
            session = POP3Session()
            session.log_in()
            (refused,) = self.events(session, line + b"\r\n")
            self.assertIsInstance(refused, Refusal, line)

    def test_frequent_commands_are_out_of_order_before_login_and_limited_after_it(self) -> None:
        session = POP3Session()
        self.assertEqual(self.events(session, b"RETR 1\r\n"), [Refusal("RETR is not allowed before login")])
        session.log_in()
        session.idle_commands = MAX_IDLE_COMMANDS - 1
        too_many = Refusal("too many commands without a message", last=True)
        self.assertEqual(self.events(session, b"RETR 1\r\nDELE 1\r\n"), [Command("RETR", (1,)), too_many])


class StuffingTests(SynchronousTestCase):
    """Dots at line starts are stuffed wherever the pieces are cut."""

    def test_the_first_line_may_begin_with_a_dot(self) -> None:
        self.assertEqual(stuffed(b".a\r\n"), b"..a\r\n.\r\n")

    def test_a_dot_after_a_torn_crlf_is_doubled(self) -> None:
        """Stock forgets it at the edges of its chunks: the message ends there, and the rest runs as replies."""
        for pieces in (
            (b"a\r\n", b".\r\n"),
            (b"a\r", b"\n.\r\n"),
            (b"a\r", b"\n", b".\r\n"),
            (b"a", b"\r\n.", b"\r\n"),
        ):
            self.assertEqual(stuffed(*pieces), b"a\r\n..\r\n.\r\n", pieces)
            self.assertEqual(stuffed(*pieces[:-1], b"", pieces[-1]), b"a\r\n..\r\n.\r\n", pieces)

    def test_other_dots_stay(self) -> None:
        self.assertEqual(stuffed(b"a.b\r\n c.", b".d\r\n"), b"a.b\r\n c..d\r\n.\r\n")

    def test_a_piece_known_to_have_no_dotted_line_is_not_searched_but_its_edge_is(self) -> None:
        self.assertEqual(stuffed(b"a\r\n", b".b\r\n", dotted=False), b"a\r\n..b\r\n.\r\n")

    def test_a_message_without_its_last_crlf_gets_one(self) -> None:
        self.assertEqual(stuffed(b"a"), b"a\r\n.\r\n")
        self.assertEqual(stuffed(b"a\r"), b"a\r\r\n.\r\n")

    def test_an_empty_message_is_a_dot(self) -> None:
        self.assertEqual(stuffed(), b".\r\n")


def top(message: bytes, lines: int, size: int = 10_000) -> bytes:
    """Returns what TOP sends of a message that arrives in pieces of this size."""
    cutter = TopCutter(lines)
    taken = b""
    for start in range(0, len(message), size):
        taken += cutter.cut(message[start : start + size])
        if cutter.done:
            break
    return taken


class TopTests(SynchronousTestCase):
    """TOP sends the header, the blank line and the requested number of lines."""

    message = b"A: 1\r\nB: 2\r\n\r\none\r\ntwo\r\n\r\nfour\r\n"

    def test_every_count_of_lines_and_every_size_of_pieces(self) -> None:
        header, blank, body = self.message.partition(b"\r\n\r\n")
        lines = body.splitlines(keepends=True)
        for count in range(6):
            wanted = header + blank + b"".join(lines[:count])
            for size in range(1, len(self.message) + 1):
                self.assertEqual(top(self.message, count, size), wanted, (count, size))

    def test_a_message_without_body_is_sent_whole(self) -> None:
        self.assertEqual(top(b"A: 1\r\n", 0), b"A: 1\r\n")

    def test_a_message_without_header_begins_with_its_body(self) -> None:
        self.assertEqual(top(b"\r\none\r\ntwo\r\n", 1), b"\r\none\r\n")

    def test_a_hundred_thousand_lines_are_cut_exactly(self) -> None:
        body = b"".join(b"%d\r\n" % n for n in range(200_000))
        wanted = b"A: 1\r\n\r\n" + b"".join(b"%d\r\n" % n for n in range(123_456))
        self.assertEqual(top(b"A: 1\r\n\r\n" + body, 123_456, 262_144), wanted)

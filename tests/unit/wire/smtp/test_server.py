"""A session turns any input into events, in order and within limits."""

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail import reply as replies
from emailsys.mail.address import Address
from emailsys.mail.envelope import MailParameters, Recipient
from emailsys.mail.reply import Reply
from emailsys.wire.sasl import MAX_AUTH_LINE, Credentials
from emailsys.wire.smtp.body import BodyRules, StuffedMessage
from emailsys.wire.smtp.grammar import MailArguments, RcptArguments
from emailsys.wire.smtp.line_limits import MAX_COMMAND_LINE
from emailsys.wire.smtp.order import Stage
from emailsys.wire.smtp.refusals import MAX_IDLE_COMMANDS
from emailsys.wire.smtp.server import Session
from emailsys.wire.smtp.server_events import Answer, Body, Command, Drop, End, Event

BOB = Address("bob", "example.test")
RECIPIENT = Recipient(BOB, ())


def session(stage: Stage = Stage.CONNECTED, limit: int = 1000, recipients: int = 1000) -> Session:
    made = Session(limit, recipients)
    if stage is not Stage.CONNECTED:
        made.feed(b"EHLO client\r\n")
        made.next_event()
    if stage in (Stage.MAIL, Stage.RCPT):
        made.begin_transaction(MailArguments(None))
    if stage is Stage.RCPT:
        made.transaction.recipients.append(RECIPIENT)
    return made


def events(made: Session, octets: bytes) -> list[Event]:
    made.feed(octets)
    found = []
    while (event := made.next_event()) is not None:
        found.append(event)
    return found


def _is_challenge(event: Event) -> bool:
    return isinstance(event, Answer) and event.reply.code == 334


def only(made: Session, octets: bytes) -> Event:
    (event,) = events(made, octets)
    return event


class Lines(SynchronousTestCase):
    def test_one_event_a_command_in_the_order_they_came(self) -> None:
        made = session()
        self.assertIsNone(made.next_event())
        self.assertEqual(events(made, b"NOOP\r\nHELP x\r\nQUIT\r\nN"), [
            Command("NOOP", b""), Command("HELP", b"x"), Command("QUIT", b"")
        ])  # fmt: skip
        self.assertEqual(made.waiting, 1)

    def test_an_overlong_line_is_answered_once_and_costs_no_memory(self) -> None:
        made = session()
        for _ in range(1000):
            self.assertEqual(events(made, b"a" * 65536), [])
            self.assertEqual(made.waiting, 0)
        too_long = Answer(Reply(500, "5.5.2", "line too long"))
        self.assertEqual(events(made, b"\r\nNOOP\r\n"), [too_long, Command("NOOP", b"")])

    def test_the_limits_of_command_lines_are_exact(self) -> None:
        """512 octets with CRLF (RFC 5321 §4.5.3.1.4), and more for the parameters of extensions."""
        too_long = Answer(Reply(500, "5.5.2", "line too long"))
        for stage, beginning, most in (
            (Stage.GREETED, b"NOOP ", 512),
            (Stage.GREETED, b"VRFY ", 512),
            (Stage.GREETED, b"MAIL FROM:<> ", 512 + 26 + 17 + 10 + 500 + 116),
            (Stage.MAIL, b"RCPT TO:<bob@example.test> ", 512 + 536),
            (Stage.GREETED, b"AUTH PLAIN ", 12288),
        ):
            with self.subTest(beginning):
                line = beginning + b"A" * (most - len(beginning) - 2) + b"\r\n"
                self.assertEqual(len(line), most)
                self.assertNotEqual(only(session(stage), line), too_long)
                self.assertEqual(only(session(stage), line[:-2] + b"A\r\n"), too_long)

    def test_the_longest_valid_commands_are_accepted(self) -> None:
        """All parameters and paths at their maximum length."""
        domain = b".".join([b"d" * 63, b"d" * 63, b"d" * 61])
        path = b"l" * 64 + b"@" + domain
        self.assertEqual(len(path), 254)
        mail = b"MAIL FROM:<%b> SIZE=%b BODY=8BITMIME SMTPUTF8 AUTH=%b RET=HDRS ENVID=%b\r\n" % (
            path, b"0" * 18 + b"99", b"a" * 494, b"e" * 100
        )  # fmt: skip
        self.assertIsInstance(only(session(Stage.GREETED), mail), Command)
        rcpt = b"RCPT TO:<%b> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;%b\r\n" % (path, b"o" * 493)
        self.assertIsInstance(only(session(Stage.MAIL), rcpt), Command)

    def test_a_request_of_another_protocol_ends_the_session(self) -> None:
        for line in (
            b"POST / HTTP/1.1\r\n",
            b"OPTIONS sip:nm SIP/2.0\r\n",
            b"REGISTER sip:example.test SIP/2.0\r\n",
            b"TEARDOWN rtsp://example.test/x RTSP/1.0\r\n",
            b"M-SEARCH * HTTP/1.1\r\n",
            b"PROPFIND / HTTP/1.1\r\n",
            b"PRI * HTTP/2.0\r\n",
            b"Host: example.test\r\n",
        ):
            self.assertEqual(only(session(), line), Drop(replies.OTHER_PROTOCOL), line)

    def test_a_browser_is_disconnected_even_if_its_line_has_a_flaw(self) -> None:
        """A long address hides neither from the limit of a command line, nor from that of any line."""
        for line in (
            b"GET / HTTP/1.0\n",
            b"GET /\rx HTTP/1.0\r\n",
            b"GET /\0 HTTP/1.0\r\n",
            b"PROPFIND /%b HTTP/1.1\r\n" % (b"a" * MAX_COMMAND_LINE),
            b"POST /%b HTTP/1.1\r\n" % (b"a" * MAX_AUTH_LINE),
        ):
            self.assertEqual(only(session(), line), Drop(replies.OTHER_PROTOCOL), line[:20])

    def test_a_tls_handshake_ends_the_session_at_once(self) -> None:
        """A client that is set to TLS from the first octet waited for a reply. Its handshake may have line ends."""
        for begin in (
            b"\x16\x03\x01\x02\0\x01",
            b"\x16\x03\x03\0\xc8\x01\0\xc4\n\r\n\x03",
            b"\x16\x03" + b"x" * MAX_AUTH_LINE,
        ):
            for stage in (Stage.CONNECTED, Stage.MAIL):
                self.assertEqual(events(session(stage), begin)[0], Drop(replies.TLS_AT_ONCE), begin[:20])
        for cut in (b"\x16", b"\x03", b""):
            self.assertEqual(events(session(), cut), [], "it may become anything")

    def test_the_end_of_an_unfinished_line_is_told_once(self) -> None:
        for begin in (b"\x16\x03\x01", b"\x16\x03" + b"x" * 5000):
            made = session()
            self.assertEqual(events(made, begin), [Drop(replies.TLS_AT_ONCE)])
            self.assertEqual(made.waiting, 0)

    def test_the_first_line_of_another_protocol_ends_the_session(self) -> None:
        """Only the first: later ones may be the text of a message whose DATA was refused."""
        for line, name in ((b"*1\r\n", "Redis"), (b"SSH-2.0-x\r\n", "SSH"), (b"*1\n", "Redis"), (b'{"a":1', "JSON")):
            self.assertEqual(only(session(), line), Drop(replies.other_protocol(name)), line)
            made = session()
            self.assertEqual(only(made, b"FOO\r\n"), Answer(replies.UNKNOWN_COMMAND))
            self.assertNotIn(Drop, [type(event) for event in events(made, line)], line)

    def test_a_command_is_no_request_whatever_its_argument(self) -> None:
        self.assertEqual(only(session(), b"NOOP / HTTP/1.1\r\n"), Command("NOOP", b"/ HTTP/1.1"))

    def test_bdat_without_a_count_ends_the_session(self) -> None:
        self.assertEqual(only(session(), b"BDAT x\r\n"), Drop(replies.BDAT_SYNTAX))


class Order(SynchronousTestCase):
    def test_each_stage_lets_its_commands_pass(self) -> None:
        for stage, allowed in {
            Stage.CONNECTED: {"EHLO", "HELO", "RSET", "NOOP", "VRFY", "HELP", "QUIT"},
            Stage.GREETED: {"EHLO", "HELO", "RSET", "NOOP", "VRFY", "HELP", "QUIT", "MAIL", "AUTH", "STARTTLS"},
            Stage.MAIL: {"EHLO", "HELO", "RSET", "NOOP", "VRFY", "HELP", "QUIT", "RCPT", "STARTTLS"},
            Stage.RCPT: {"EHLO", "HELO", "RSET", "NOOP", "VRFY", "HELP", "QUIT", "RCPT", "DATA", "BDAT", "STARTTLS"},
        }.items():
            passed = set()
            for line in (
                b"EHLO x", b"HELO x", b"RSET", b"NOOP", b"VRFY x", b"HELP", b"QUIT", b"MAIL FROM:<>",
                b"RCPT TO:<bob@example.test>", b"DATA", b"BDAT 0", b"STARTTLS", b"AUTH PLAIN AGEAYg==",
            ):  # fmt: skip
                event = session(stage)
                event.feed(line + b"\r\n")
                if isinstance(found := event.next_event(), Command):
                    passed.add(found.verb)
            self.assertEqual(passed, allowed, stage)

    def test_closed_commands_are_refused_with_their_reply(self) -> None:
        made = session(Stage.GREETED)
        made.closed["MAIL"] = replies.LOGIN_REQUIRED
        self.assertEqual(only(made, b"MAIL FROM:<>\r\n"), Answer(replies.LOGIN_REQUIRED))

    def test_recipients_over_the_limit_are_refused_temporarily(self) -> None:
        made = session(Stage.MAIL, recipients=1000)
        for _ in range(1000):
            self.assertEqual(only(made, b"RCPT TO:<bob@example.test>\r\n"), Command("RCPT", RcptArguments(BOB)))
            made.transaction.recipients.append(RECIPIENT)
        self.assertEqual(only(made, b"RCPT TO:<bob@example.test>\r\n"), Answer(replies.TOO_MANY_RECIPIENTS))
        made.end_transaction()
        made.begin_transaction(MailArguments(None))
        self.assertEqual(only(made, b"RCPT TO:<bob@example.test>\r\n"), Command("RCPT", RcptArguments(BOB)))

    def test_smtputf8_counts_for_one_transaction(self) -> None:
        made = session(Stage.GREETED)
        made.begin_transaction(MailArguments(None, None, MailParameters(smtputf8=True)))
        line = "RCPT TO:<j\u00fcrgen@b>\r\n".encode()
        self.assertEqual(only(made, line), Command("RCPT", RcptArguments(Address("j\u00fcrgen", "b"))))
        made.end_transaction()
        made.begin_transaction(MailArguments(None))
        self.assertEqual(only(made, line), Answer(replies.NEEDS_SMTPUTF8))

    def test_restart_discards_unread_input_and_all_state(self) -> None:
        made = session(Stage.RCPT)
        made.feed(b"NOOP\r\nNO")
        self.assertEqual(made.restart(), 8)
        self.assertEqual((made.stage, made.extended, made.waiting), (Stage.CONNECTED, False, 0))
        self.assertEqual(only(made, b"DATA\r\n"), Answer(replies.HELLO_FIRST))


class Logins(SynchronousTestCase):
    def test_an_exchange_goes_on_until_it_yields_credentials(self) -> None:
        made = session(Stage.GREETED)
        self.assertEqual(only(made, b"auth login\r\n"), Answer(replies.challenge(b"VXNlcm5hbWU6")))
        self.assertEqual(only(made, b"YQ==\r\n"), Answer(replies.challenge(b"UGFzc3dvcmQ6")))
        self.assertEqual(only(made, b"Yg==\r\n"), Command("AUTH", Credentials(b"a", b"b")))
        self.assertEqual(only(made, b"NOOP\r\n"), Command("NOOP", b""))

    def test_a_response_has_12288_octets_at_most(self) -> None:
        made = session(Stage.GREETED)
        events(made, b"AUTH PLAIN\r\n")
        answer = only(made, b"A" * 12287 + b"\r\n")
        self.assertEqual(answer, Answer(Reply(500, "5.5.6", "line too long")))
        self.assertEqual(only(made, b"NOOP\r\n"), Command("NOOP", b""))
        events(made, b"AUTH PLAIN\r\n")
        self.assertIsNone(made.next_event())
        self.assertEqual(only(made, b"A" * 12284 + b"\r\n"), Answer(replies.bad_response("malformed PLAIN response")))

    def test_ehlo_comes_before_auth(self) -> None:
        made = session()
        events(made, b"HELO client\r\n")
        self.assertEqual(only(made, b"AUTH PLAIN AGEAYg==\r\n"), Answer(replies.AUTH_NEEDS_EHLO))


class Messages(SynchronousTestCase):
    def test_the_body_ends_at_crlf_dot_crlf_and_commands_go_on(self) -> None:
        made = session(Stage.RCPT)
        made.begin_data()
        self.assertTrue(made.in_body)
        found = events(made, b"a\r\n..b\r\n.\r\nNOOP\r\n")
        self.assertEqual(found, [Body(b"a\r\n.b\r\n", End.MESSAGE), Command("NOOP", b"")])
        self.assertFalse(made.in_body)
        self.assertEqual(made.stage, Stage.GREETED)

    def test_pieces_arrive_as_sent_and_never_end_within_a_crlf(self) -> None:
        made = session(Stage.RCPT)
        made.begin_data()
        self.assertEqual(events(made, b""), [])
        self.assertEqual(events(made, b"ab"), [Body(b"ab", End.NOTHING)])
        self.assertEqual(events(made, b"c\r"), [Body(b"c", End.NOTHING)])
        self.assertEqual(events(made, b"\n"), [])
        self.assertEqual(events(made, b"."), [])
        self.assertEqual(events(made, b"."), [Body(b"\r\n.", End.NOTHING)])
        self.assertEqual(events(made, b"\r\n.\r"), [])
        self.assertEqual(events(made, b"\n"), [Body(b"\r\n", End.MESSAGE)])

    def test_a_refused_message_is_discarded_to_its_end_and_each_block_is_an_event(self) -> None:
        made = session(Stage.RCPT, limit=10)
        made.begin_data()
        self.assertEqual(events(made, b"0123456789a"), [Body(b"", End.NOTHING, replies.TOO_BIG)])
        for _ in range(100):
            self.assertEqual(events(made, b"a\nb\rc" * 10000), [Body(b"", End.NOTHING, replies.TOO_BIG)])
            self.assertLess(made.waiting, 5)
        self.assertEqual(events(made, b"\r\n.\r\n"), [Body(b"", End.MESSAGE, replies.TOO_BIG)])

    def test_lone_line_ends_are_named(self) -> None:
        for octets, refusal in {
            b"a\nb\r\n.\r\n": replies.BARE_LF,
            b"a\rb\r\n.\r\n": replies.BARE_CR,
            b"a\rb\nc\r\n.\r\n": replies.BARE_LF,
            b"\n\r\n.\r\n": replies.BARE_LF,
            b"\r\r\n.\r\n": replies.BARE_CR,
            b".\r\r\n.\r\n": replies.BARE_CR,
            b"\r\n.\n\r\n.\r\n": replies.BARE_LF,
        }.items():
            made = session(Stage.RCPT)
            made.begin_data()
            self.assertEqual(events(made, octets)[-1], Body(b"", End.MESSAGE, refusal), octets)

    def test_the_limit_is_exact_and_stuffing_does_not_count(self) -> None:
        for octets, refused in ((b"..345678\r\n", False), (b"..3456789\r\n", False), (b"0123456789\r\n", True)):
            made = session(Stage.RCPT, limit=10)
            made.begin_data()
            event = events(made, octets + b".\r\n")[-1]
            assert isinstance(event, Body)
            self.assertEqual(event.refusal is not None, refused, octets)

    def test_octets_are_counted(self) -> None:
        message = StuffedMessage(BodyRules(100))
        message.take(b"..a\r\n")
        message.take(b".\r\n")
        self.assertEqual(message.octets, 4)


class BadCommands(SynchronousTestCase):
    def test_too_many_end_the_session(self) -> None:
        for line in (b"FOO", b"ETRN", b"", b"NOOP\0", b"a" * 3000, b"NOOP\n", b"MAIL FROM:<a@b>", b"AUTH PLAIN"):
            made = session()
            line = line if line.endswith(b"\n") else line + b"\r\n"
            found = events(made, line * 19)
            self.assertEqual({type(event) for event in found}, {Answer}, line)
            self.assertEqual(events(made, line), [Drop(replies.TOO_MANY_BAD_COMMANDS)], line)

    def test_a_transaction_resets_the_count(self) -> None:
        made = session(Stage.GREETED)
        for _ in range(3):
            events(made, b"FOO\r\n" * 19)
            made.begin_transaction(MailArguments(None))
            made.end_transaction()
        self.assertEqual(events(made, b"FOO\r\n"), [Answer(replies.UNKNOWN_COMMAND)])

    def test_commands_pipelined_behind_a_refused_mail_do_not_count(self) -> None:
        made = session(Stage.GREETED)
        found = events(made, b"RCPT TO:<bob@example.test>\r\n" * 1000 + b"DATA\r\nBDAT 0 LAST\r\n")
        self.assertEqual(found, [Answer(replies.MAIL_FIRST)] * 1002)

    def test_a_hundred_refusals_without_a_message_end_the_session(self) -> None:
        """A client that guesses addresses is disconnected, even if the addresses are malformed."""
        for line, stage in (
            (b"RCPT TO:<@>\r\n", Stage.MAIL),
            (b"MAIL FROM:<@>\r\n", Stage.GREETED),
            (b"EHLO\r\n", Stage.CONNECTED),
            (b"RSET x\r\n", Stage.GREETED),
            (b"VRFY\r\n", Stage.GREETED),
            (b"AUTH PLAIN !\r\n", Stage.GREETED),
            (b"AUTH PLAIN\r\n*\r\n", Stage.GREETED),
        ):
            made = session(stage)
            found = [event for event in events(made, line * 101) if not _is_challenge(event)]
            self.assertEqual({type(event) for event in found[:-1]}, {Answer}, line)
            self.assertEqual((len(found), found[-1]), (101, Drop(replies.TOO_MANY_REFUSALS)), line)

    def test_a_closed_command_counts_too(self) -> None:
        made = session(Stage.GREETED)
        made.closed["MAIL"] = replies.LOGIN_REQUIRED
        found = events(made, b"MAIL FROM:<>\r\n" * 101)
        self.assertEqual(found[99:], [Answer(replies.LOGIN_REQUIRED), Drop(replies.TOO_MANY_REFUSALS)])

    def test_refusals_by_policy_are_counted_too(self) -> None:
        made = session(Stage.MAIL)
        self.assertEqual([made.count_refusal() for _ in range(60)], [False] * 60)
        self.assertEqual(events(made, b"RCPT TO:<@>\r\n" * 41)[-1], Drop(replies.TOO_MANY_REFUSALS))

    def test_an_accepted_message_resets_the_count(self) -> None:
        """Each message of a mailing list may have some recipients that no longer exist."""
        made = session(Stage.MAIL)
        for _ in range(5):
            self.assertNotIn(True, [made.count_refusal() for _ in range(100)])
            made.reset_refusals()

    def test_temporary_refusals_do_not_count(self) -> None:
        made = session(Stage.RCPT, recipients=1)
        found = events(made, b"RCPT TO:<bob@example.test>\r\n" * 1000)
        self.assertEqual(found, [Answer(replies.TOO_MANY_RECIPIENTS)] * 1000)

    def test_pipelined_refusals_beyond_the_recipient_limit_count(self) -> None:
        """Endless RCPT without any MAIL is not pipelining."""
        for line in (b"RCPT TO:<bob@example.test>\r\n", b"DATA\r\n", b"BDAT 1\r\nx"):
            made = session(Stage.GREETED, recipients=200)
            found = events(made, line * (201 + 101))
            self.assertEqual(found[-2:], [Answer(replies.MAIL_FIRST), Drop(replies.TOO_MANY_REFUSALS)], line)
            self.assertEqual(len(found), 201 + 101)

    def test_each_refused_mail_has_its_own_pipelined_commands(self) -> None:
        made = session(Stage.GREETED, recipients=200)
        for _ in range(20):
            made.feed(b"MAIL FROM:<>\r\n")
            self.assertIsInstance(made.next_event(), Command)
            found = events(made, b"RCPT TO:<bob@example.test>\r\n" * 200 + b"DATA\r\n")
            self.assertEqual(found, [Answer(replies.MAIL_FIRST)] * 201)

    def test_malformed_recipients_are_not_bad_commands(self) -> None:
        made = session(Stage.MAIL)
        self.assertEqual({type(event) for event in events(made, b"RCPT TO:<bob>\r\n" * 100)}, {Answer})


class IdleCommands(SynchronousTestCase):
    """Commands without effect: 50 clients that sent nothing else took a whole core before."""

    def test_a_session_ends_after_a_hundred_idle_commands(self) -> None:
        for words in (b"NOOP\r\n", b"RSET\r\n", b"HELP\r\n", b"VRFY x\r\n", b"EHLO again\r\n", b"NOOP\r\nRSET\r\n"):
            made = session(Stage.GREETED)
            found = events(made, words * 200)
            at = next(number for number, event in enumerate(found) if isinstance(event, Drop))
            self.assertIn(at, (MAX_IDLE_COMMANDS - 1, MAX_IDLE_COMMANDS), words)
            self.assertEqual(found[at], Drop(replies.TOO_MANY_IDLE_COMMANDS))

    def test_an_accepted_message_begins_the_count_again(self) -> None:
        """A client that sends many messages over one connection resets the session between them."""
        made = session(Stage.GREETED)
        for _ in range(50):
            self.assertEqual(events(made, b"RSET\r\nNOOP\r\n" * 25), [Command("RSET", b""), Command("NOOP", b"")] * 25)
            made.reset_refusals()

    def test_recipients_beyond_the_limit_are_refused_without_end_no_more(self) -> None:
        made = session(Stage.MAIL, recipients=100)
        made.transaction.recipients += [RECIPIENT] * 100
        found = events(made, b"RCPT TO:<bob@example.test>\r\n" * 2100)
        at = next(number for number, event in enumerate(found) if isinstance(event, Drop))
        self.assertEqual((at, set(found[:at])), (2000, {Answer(replies.TOO_MANY_RECIPIENTS)}))

    def test_empty_chunks_are_counted(self) -> None:
        made = session(Stage.RCPT)
        found = events(made, b"BDAT 0\r\n" * 200)
        self.assertIn(Drop(replies.TOO_MANY_IDLE_COMMANDS), found)

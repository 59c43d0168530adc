"""A line is parsed into a verb and arguments, or into the reply that rejects it."""

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail import reply as replies
from emailsys.mail.address import Address
from emailsys.mail.dsn_request import MessageRequest, Notify, OriginalRecipient, RecipientRequest, Return
from emailsys.mail.envelope import BodyType, MailParameters
from emailsys.mail.reply import Reply
from emailsys.wire.smtp.grammar import (
    Chunk,
    MailArguments,
    RcptArguments,
    parse_bdat,
    parse_hello,
    parse_mail,
    parse_rcpt,
    split_command,
)

CAROL = Address("carol", "elsewhere.test")


class Commands(SynchronousTestCase):
    def test_verbs_are_upper_case_and_white_space_around_is_gone(self) -> None:
        self.assertEqual(split_command(b"mail from:<a@b> "), ("MAIL", b"from:<a@b>"))
        self.assertEqual(split_command(b"noop\tx"), ("NOOP", b"x"))
        self.assertEqual(split_command(b"QUIT"), ("QUIT", b""))

    def test_control_octets_and_empty_lines_are_refused(self) -> None:
        for octet in (0, 7, 8, 11, 12, 27, 31, 127):
            self.assertEqual(split_command(b"NOOP %c" % octet), replies.NOT_TEXT)
        self.assertEqual(split_command(b""), replies.EMPTY_LINE)
        self.assertEqual(split_command(b"  \t"), replies.EMPTY_LINE)
        self.assertEqual(split_command(b" NOOP"), replies.UNKNOWN_COMMAND)

    def test_non_ascii_octets_are_not_a_verb(self) -> None:
        command = split_command("NO\u00d6P".encode())
        assert not isinstance(command, Reply)
        self.assertNotEqual(command[0], "NOOP")


class Hello(SynchronousTestCase):
    def test_any_one_word_is_a_name(self) -> None:
        for name in ("localhost", "mail.example.test", "[192.0.2.1]", "my_host", "a" * 255):
            self.assertEqual(parse_hello(name.encode()), name)
        self.assertEqual(parse_hello(b"\xff"), "\ufffd")

    def test_no_word_two_words_and_overlong_words_are_not(self) -> None:
        for name in (b"", b"two words", b"two\twords", b"a" * 256):
            self.assertEqual(parse_hello(name), replies.HELLO_SYNTAX)


class Mail(SynchronousTestCase):
    def test_a_reverse_path_may_be_null(self) -> None:
        self.assertEqual(parse_mail(b"FROM:<>"), MailArguments(None))
        self.assertEqual(parse_mail(b"FROM:<carol@elsewhere.test>"), MailArguments(CAROL))

    def test_parameters_in_any_order_and_case(self) -> None:
        self.assertEqual(
            parse_mail(b"from:<carol@elsewhere.test>  smtputf8 Body=8BitMime\tauth=<> size=00012"),
            MailArguments(CAROL, 12, MailParameters(BodyType.EIGHT_BIT_MIME, True)),
        )
        self.assertEqual(parse_mail(b"FROM:<> BODY=7BIT AUTH=a+2Bb@c"), MailArguments(None))

    def test_a_size_has_ascii_digits_only_and_twenty_at_most(self) -> None:
        for value in ("+1", "-1", "0_1", "\u0661", "", "1" * 21, "1.0", "0x1"):
            self.assertEqual(parse_mail(f"FROM:<> SIZE={value}".encode()), replies.BAD_PARAMETER_VALUE, value)
        self.assertEqual(parse_mail(b"FROM:<> SIZE=" + b"9" * 20), MailArguments(None, 10**20 - 1))

    def test_malformed_unknown_and_repeated_parameters_are_refused(self) -> None:
        for text in (
            "SIZE",
            "BODY",
            "BODY=BINARYMIME",
            "SMTPUTF8=1",
            "AUTH",
            "AUTH=+",
            "AUTH=a+2b",
            "-x",
            "SIZE=1 size=1",
        ):
            self.assertEqual(parse_mail(f"FROM:<> {text}".encode()), replies.BAD_PARAMETER_VALUE, text)
        for text in ("NOTIFY=NEVER", "HOLDFOR=1", "X"):
            self.assertEqual(parse_mail(f"FROM:<> {text}".encode()), replies.UNKNOWN_PARAMETER, text)

    def test_dsn_parameters_of_mail(self) -> None:
        """RFC 3461 §4.3, §4.4."""
        self.assertEqual(
            parse_mail(b"FROM:<> ret=hdrs ENVID=QQ+2B1 SIZE=5"),
            MailArguments(None, 5, MailParameters(dsn=MessageRequest(Return.HEADERS, "QQ+1"))),
        )
        self.assertEqual(
            parse_mail(b"FROM:<> RET=FULL"), MailArguments(None, None, MailParameters(dsn=MessageRequest(Return.FULL)))
        )

    def test_malformed_dsn_parameters_are_refused_with_501_5_5_4(self) -> None:
        for text in (
            "RET",
            "RET=ALL",
            "ENVID",
            "ENVID=a+2",
            "ENVID=" + "x" * 101,
            "ENVID=j\u00fc",
            "RET=FULL RET=FULL",
        ):
            refused = parse_mail(f"FROM:<> {text}".encode())
            assert isinstance(refused, Reply)
            self.assertEqual((refused.code, refused.enhanced), (501, "5.5.4"), text)
        self.assertEqual(parse_mail(b"FROM:<> ENVID=\xff"), replies.bad_parameter("a parameter's value is not UTF-8"))

    def test_parameters_need_a_blank_before_them(self) -> None:
        self.assertEqual(parse_mail(b"FROM:<a@b>SIZE=1"), replies.MAIL_SYNTAX)

    def test_quoted_angle_brackets_belong_to_the_address(self) -> None:
        self.assertEqual(parse_mail(b'FROM:<"a> b<"@c> SIZE=1'), MailArguments(Address("a> b<", "c"), 1))
        self.assertEqual(parse_mail(b'FROM:<"a\\"> b"@c>'), MailArguments(Address('a"> b', "c")))
        self.assertEqual(parse_mail(b'FROM:<"a> b@c>'), replies.MAIL_SYNTAX)

    def test_non_ascii_addresses_need_smtputf8(self) -> None:
        path = "FROM:<j\u00fcrgen@b>".encode()
        self.assertEqual(parse_mail(path), replies.NEEDS_SMTPUTF8)
        self.assertEqual(
            parse_mail(path + b" SMTPUTF8"),
            MailArguments(Address("j\u00fcrgen", "b"), None, MailParameters(smtputf8=True)),
        )

    def test_source_routes_are_ignored_and_must_be_well_formed(self) -> None:
        self.assertEqual(parse_mail(b"FROM:<@a,@b.c:carol@elsewhere.test>"), MailArguments(CAROL))
        for path in (b"@a", b"@a,b:carol@c", b"@:carol@c", b"@a,:carol@c"):
            self.assertEqual(parse_mail(b"FROM:<%b>" % path), replies.bad_sender("malformed source route"))

    def test_a_malformed_path_is_refused_without_backtracking(self) -> None:
        """A grammar that backtracks for seconds would stop all other sessions."""
        for octets in (b'"', b'"\\', b"@a,", b"a.", b"=", b"<", b'<"a"'):
            for form in (b"FROM:<%b>", b"FROM:%b", b"FROM:<> %b", b"FROM:<x%b"):
                self.assertIsInstance(parse_mail(form % (octets * 6000)), Reply)


class Rcpt(SynchronousTestCase):
    def test_a_forward_path(self) -> None:
        self.assertEqual(parse_rcpt(b"TO:<@a:carol@elsewhere.test>"), RcptArguments(CAROL))
        self.assertEqual(parse_rcpt(b"to: <postMaster>"), RcptArguments(Address("postMaster", "")))
        self.assertEqual(parse_rcpt(b"TO:<a@b>  "), RcptArguments(Address("a", "b")))

    def test_dsn_parameters_of_rcpt(self) -> None:
        """RFC 3461 §4.1, §4.2; RFC 6533 §3."""
        self.assertEqual(
            parse_rcpt(b"TO:<carol@elsewhere.test> notify=success,DELAY ORCPT=RFC822;c+2Bx@b"),
            RcptArguments(CAROL, RecipientRequest(Notify.SUCCESS | Notify.DELAY, OriginalRecipient("rfc822", "c+x@b"))),
        )
        self.assertEqual(
            parse_rcpt("TO:<carol@elsewhere.test> NOTIFY=NEVER ORCPT=utf-8;j\u00fc@b".encode()),
            RcptArguments(CAROL, RecipientRequest(Notify.NEVER, OriginalRecipient("utf-8", "j\u00fc@b"))),
        )

    def test_malformed_dsn_parameters_are_refused_with_501_5_5_4(self) -> None:
        for text in (
            "NOTIFY",
            "NOTIFY=",
            "NOTIFY=NEVER,SUCCESS",
            "NOTIFY=OFTEN",
            "NOTIFY=DELAY NOTIFY=DELAY",
            "ORCPT",
            "ORCPT=a@b",
            "ORCPT=rfc822;a+2@b",
            "ORCPT=rfc822;" + "x" * 500,
        ):
            refused = parse_rcpt(f"TO:<a@b> {text}".encode())
            assert isinstance(refused, Reply)
            self.assertEqual((refused.code, refused.enhanced), (501, "5.5.4"), text)

    def test_other_parameters_are_unknown(self) -> None:
        self.assertEqual(parse_rcpt(b"TO:<a@b> RET=FULL"), replies.UNKNOWN_PARAMETER)
        self.assertEqual(parse_rcpt(b"TO:<a@b> ="), replies.BAD_PARAMETER_VALUE)

    def test_a_malformed_address_is_refused_with_the_reason(self) -> None:
        self.assertEqual(parse_rcpt(b"TO:<>"), replies.bad_recipient("address without @domain"))
        self.assertEqual(parse_rcpt(b"TO:<\xff@b>"), replies.bad_recipient("address is not UTF-8"))
        self.assertEqual(parse_rcpt(b"TO a@b"), replies.RCPT_SYNTAX)


class Bdat(SynchronousTestCase):
    def test_a_count_and_optionally_last(self) -> None:
        self.assertEqual(parse_bdat(b"0"), Chunk(0, False))
        self.assertEqual(parse_bdat(b"86000  last"), Chunk(86000, True))

    def test_anything_else_is_malformed(self) -> None:
        for text in (b"", b"LAST", b"+1", b"-1", b"1 2", b"1LAST", b"1 LAST x", b"1" * 21, "\u0661".encode()):
            self.assertIsNone(parse_bdat(text))

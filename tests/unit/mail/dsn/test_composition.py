"""A notification is a valid multipart/report, and a person who knows nothing of SMTP can read it."""

from __future__ import annotations

import email
import email.policy
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage, Message
from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.address import Address, parse
from emailsys.mail.dsn.composition import compose, header_of
from emailsys.mail.dsn.report import Action, RecipientReport, Report
from emailsys.mail.dsn.text import duration, meaning
from emailsys.mail.dsn_request import MessageRequest, OriginalRecipient
from emailsys.mail.envelope import BodyType, MailParameters
from emailsys.mail.reply import Reply

ARRIVED = datetime(2026, 1, 1, 9, 0, tzinfo=UTC)
HEADER = b"From: alice@home.test\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <one@home.test>\r\n"
MESSAGE = HEADER + b"\r\n--=_0_Q1.1\r\nhow are you?\r\n"
REFUSED = Reply(550, "5.1.1", "no such user")


def recipient(path: str = "bob@away.test", action: Action = Action.FAILED, **more: object) -> RecipientReport:
    given = {"reply": REFUSED, "remote": "mx.away.test", "attempted_at": ARRIVED, **more}
    return RecipientReport(parse(path), action, **given)  # type: ignore[arg-type]


def report(*recipients: RecipientReport, **more: object) -> Report:
    reported = recipients or (recipient(),)
    made = Report(
        hostname="mail.home.test",
        queue_id="Q1",
        unique="Q1.1",
        action=reported[0].action,
        reverse_path=parse("alice@home.test"),
        recipients=reported,
        arrived_at=ARRIVED,
        made_at=ARRIVED + timedelta(hours=1),
        original=MESSAGE,
    )
    return replace(made, **more)  # type: ignore[arg-type]


def parsed(about: Report) -> EmailMessage:
    return email.message_from_bytes(compose(about).octets, policy=email.policy.default)


def parts(about: Report) -> list[EmailMessage]:
    return [part for part in parsed(about).iter_parts() if isinstance(part, EmailMessage)]


def groups(about: Report) -> list[Message[str, str]]:
    """The groups of fields in the second part: that of the message, then one for each recipient."""
    return cast("list[Message[str, str]]", parts(about)[1].get_payload())


class Composing(SynchronousTestCase):
    def test_the_header_declares_a_delivery_status_report(self) -> None:
        notice = parsed(report())
        self.assertEqual(notice.get_content_type(), "multipart/report")
        self.assertEqual(notice.get_param("report-type"), "delivery-status")
        self.assertEqual(notice["Auto-Submitted"], "auto-replied")
        self.assertEqual(notice["To"], "alice@home.test")
        self.assertEqual(notice["From"].addresses[0].addr_spec, "MAILER-DAEMON@mail.home.test")
        self.assertEqual(notice["References"], "<one@home.test>")
        self.assertEqual(notice["Message-ID"], "<Q1.1@mail.home.test>")
        self.assertEqual(notice["Date"], "Thu, 01 Jan 2026 10:00:00 +0000")
        self.assertEqual(notice.defects, [])

    def test_lines_end_with_crlf_and_none_is_too_long(self) -> None:
        octets = compose(report(recipient(reply=Reply(554, "5.7.1", "x" * 5000 + "\ny" * 50)))).octets
        self.assertEqual(octets.count(b"\n"), octets.count(b"\r\n"))
        self.assertEqual(octets.count(b"\r"), octets.count(b"\r\n"))
        self.assertLessEqual(max(map(len, octets.split(b"\r\n"))), 998)
        self.assertTrue(octets.endswith(b"--\r\n"))

    def test_the_boundary_is_in_no_part(self) -> None:
        self.assertEqual(len(parts(report(whole=True))), 3)
        self.assertIn("how are you?", parts(report(whole=True))[2].as_string())

    def test_the_status_has_a_group_for_each_recipient(self) -> None:
        orcpt = OriginalRecipient("rfc822", "robert@away.test")
        about = report(
            recipient(orcpt=orcpt),
            recipient("carol@away.test"),
            parameters=MailParameters(dsn=MessageRequest(envid="order 7")),
        )
        status = parts(about)[1]
        self.assertEqual(status.get_content_type(), "message/delivery-status")
        message, bob, carol = groups(about)
        self.assertEqual(
            message.items(),
            [
                ("Original-Envelope-Id", "order 7"),
                ("Reporting-MTA", "dns; mail.home.test"),
                ("Arrival-Date", "Thu, 1 Jan 2026 09:00:00 +0000"),
            ],
        )
        self.assertEqual(
            bob.items(),
            [
                ("Original-Recipient", "rfc822; robert@away.test"),
                ("Final-Recipient", "rfc822; bob@away.test"),
                ("Action", "failed"),
                ("Status", "5.1.1"),
                ("Remote-MTA", "dns; mx.away.test"),
                ("Diagnostic-Code", "smtp; 550 5.1.1 no such user"),
                ("Last-Attempt-Date", "Thu, 1 Jan 2026 09:00:00 +0000"),
                ("Final-Log-ID", "Q1"),
            ],
        )
        self.assertEqual(carol["Final-Recipient"], "rfc822; carol@away.test")

    def test_our_own_reply_is_not_shown_as_one_of_the_remote_host(self) -> None:
        # RFC 3464 §2.3.5: only a name or an address literal.
        for remote, name in (
            ("mx.away.test [192.0.2.1]:2525", "mx.away.test"),
            ("[192.0.2.1]", "[192.0.2.1]"),
            ("[IPv6:2001:db8::1]:2525", "[IPv6:2001:db8::1]"),
        ):
            self.assertEqual(groups(report(recipient(remote=remote)))[1]["Remote-MTA"], f"dns; {name}")
        fields = groups(report(recipient(remote=None, reply=Reply(556, "5.1.10", "takes no mail"))))[1]
        self.assertNotIn("Remote-MTA", fields)
        self.assertEqual(fields["Diagnostic-Code"], "x-emailsys; 5.1.10 takes no mail")

    def test_the_status_agrees_with_the_action(self) -> None:
        self.assertEqual(recipient(reply=Reply(550, "", "no")).status, "5.0.0")
        self.assertEqual(recipient(reply=Reply(450, "4.2.0", "no")).status, "5.0.0")
        self.assertEqual(recipient(reply=None).status, "5.0.0")
        self.assertEqual(recipient(reply=Reply(450, "4.2.2", "full"), expired=True).status, "4.4.7")
        self.assertEqual(recipient(action=Action.DELAYED, reply=Reply(450, "4.2.2", "full")).status, "4.2.2")
        self.assertEqual(recipient(action=Action.RELAYED, reply=Reply(250, "2.1.5", "ok")).status, "2.1.5")
        self.assertEqual(recipient(action=Action.DELIVERED, reply=None).status, "2.0.0")

    def test_a_reply_cannot_write_fields_or_lines(self) -> None:
        evil = Reply(550, "5.1.1", "no\r\n\r\nAction: delivered\r\nX: \x1b[2J\x00")
        octets = compose(report(recipient(reply=evil))).octets
        self.assertNotIn(b"\r\nAction: delivered", octets)
        for octet in (b"\x1b", b"\x00"):
            self.assertNotIn(octet, octets)

    def test_without_an_original_there_is_no_third_part(self) -> None:
        self.assertEqual(len(parts(report(original=b""))), 2)


class Returning(SynchronousTestCase):
    def test_the_header_is_returned_unless_all_was_asked_for(self) -> None:
        octets = compose(report()).octets
        self.assertIn(b"Content-Type: text/rfc822-headers\r\n\r\n" + HEADER + b"\r\n--", octets)
        self.assertNotIn(b"how are you?", octets)

    def test_the_whole_message_is_returned_octet_for_octet(self) -> None:
        octets = compose(report(whole=True)).octets
        self.assertIn(b"Content-Type: message/rfc822\r\n\r\n" + MESSAGE + b"\r\n--", octets)

    def test_a_header_that_was_cut_ends_with_its_last_whole_line(self) -> None:
        self.assertEqual(header_of(HEADER + b"X-Long: aaa"), HEADER)
        self.assertEqual(header_of(b"X-Long: aaa"), b"")

    def test_eight_bit_originals_are_marked(self) -> None:
        made = compose(report(original=b"Subject: Gr\xfc\xdfe\r\n\r\n", whole=True))
        self.assertIs(made.parameters.body, BodyType.EIGHT_BIT_MIME)
        self.assertIn(b"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--", made.octets, "the header of it all")
        self.assertIn(b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n", made.octets)
        self.assertIs(compose(report()).parameters.body, BodyType.SEVEN_BIT)
        self.assertNotIn(b"8bit", compose(report()).octets)

    def test_a_notice_has_no_nul(self) -> None:
        """The settings may accept messages with NUL. Hosts on the way of a notice may not."""
        original = HEADER + b"X-A: a\0b\r\n\r\nc\0d\r\n"
        header, message = (compose(report(original=original, whole=whole)).octets for whole in (False, True))
        for octets in (header, message):
            self.assertNotIn(b"\0", octets)
            self.assertIn(b"X-A: a?b\r\n", octets)
        self.assertIn(b"c?d\r\n", message)

    def test_a_header_of_eight_bits_is_returned_as_seven(self) -> None:
        """RFC 6522 §4: the notification can then reach a sender behind a host that accepts only 7-bit mail."""
        header = b"Subject: Gr\xfc\xdfe = " + b"x" * 80 + b"\r\nFrom: a\r\n\r\n"
        about = report(original=header)
        self.assertIs(compose(about).parameters.body, BodyType.SEVEN_BIT)
        returned = parts(about)[2]
        self.assertEqual(returned.get_content_type(), "text/rfc822-headers")
        self.assertEqual(returned["Content-Transfer-Encoding"], "quoted-printable")
        decoded = returned.get_payload(decode=True)
        assert isinstance(decoded, bytes)
        self.assertEqual(decoded.splitlines(), header.rstrip().splitlines())

    def test_an_smtputf8_message_is_returned_as_message_global(self) -> None:
        original = "Subject: Grüße\r\n\r\nhello\r\n".encode()
        kinds = [
            parts(report(original=original, parameters=MailParameters(smtputf8=True), whole=whole))[
                2
            ].get_content_type()
            for whole in (False, True)
        ]
        self.assertEqual(kinds, ["message/global-headers", "message/global"])


class International(SynchronousTestCase):
    def test_a_utf8_recipient_has_a_report_of_its_own_type(self) -> None:
        orcpt = OriginalRecipient("utf-8", "böb+1@away.test")
        made = compose(report(recipient("böb@away.test", orcpt=orcpt)))
        self.assertIs(made.parameters.body, BodyType.EIGHT_BIT_MIME)
        self.assertFalse(made.parameters.smtputf8, "its own header is ASCII")
        text = made.octets.decode()
        self.assertIn("Content-Type: message/global-delivery-status\r\n", text)
        self.assertIn("\r\nFinal-Recipient: utf-8; böb@away.test\r\n", text)
        self.assertIn("\r\nOriginal-Recipient: utf-8; böb\\x{2B}1@away.test\r\n", text)

    def test_a_utf8_sender_makes_it_an_smtputf8_message(self) -> None:
        made = compose(report(reverse_path=parse("älice@home.test")))
        self.assertTrue(made.parameters.smtputf8)
        self.assertIn("To: <älice@home.test>", made.octets.decode())


class Wording(SynchronousTestCase):
    def text(self, about: Report) -> str:
        return " ".join(str(parts(about)[0].get_content()).split())

    def test_a_failure_names_recipient_reason_and_next_step(self) -> None:
        text = self.text(report())
        for words in (
            "could not be delivered to this address: bob@away.test",
            "Check the part before the @ for typing mistakes",
            "The mail system mx.away.test said: 550 5.1.1 no such user",
            "with the subject: Grüße",
            "We will not try again",
            "the queue ID of your message: Q1",
        ):
            self.assertIn(words, text)

    def test_a_failure_after_days_says_how_long_we_tried(self) -> None:
        late = replace(report(recipient(expired=True, reply=Reply(451, "4.4.1", "no answer"), remote=None)))
        text = self.text(replace(late, made_at=ARRIVED + timedelta(days=5)))
        self.assertIn("although we kept trying for 5 days", text)
        self.assertIn("could not be reached", text)

    def test_a_delay_requires_no_action(self) -> None:
        end = ARRIVED + timedelta(days=5)
        late = recipient(action=Action.DELAYED, reply=Reply(451, "4.4.1", "no answer"), will_retry_until=end)
        text = self.text(report(late, late))
        self.assertIn("You do not need to send your message again", text)
        self.assertIn("waiting for 1 hour and has not reached these 2 addresses yet", text)
        self.assertIn("We will keep trying for another 4 days", text)
        self.assertNotIn("We will keep trying", self.text(report(replace(late, will_retry_until=None))))

    def test_each_kind_of_success_has_its_own_words(self) -> None:
        said = {
            Action.DELIVERED: "was delivered to this address: bob@away.test",
            Action.RELAYED: "That system does not report the final delivery",
            Action.EXPANDED: "was passed on to all members of this address: bob@away.test",
        }
        for action, words in said.items():
            self.assertIn(words, self.text(report(recipient(action=action, reply=None))))

    def test_a_subject_that_cannot_be_decoded_does_no_harm(self) -> None:
        for raw in (b"=?no-such-charset?q?x?=", b"=?utf-8?b?!?=", b"\xff\xfe", b"a\r\n\tb", b""):
            self.assertIn("the queue ID", self.text(report(original=b"Subject: " + raw + b"\r\n\r\n")))
        self.assertNotIn("with the subject", self.text(report(original=b"From: x\r\n\r\n")))

    def test_a_charset_that_is_none_does_no_harm(self) -> None:
        """twisted.mail registers a codec `xtext` that raises AttributeError; `punycode` takes quadratic time."""
        self.assertIn("the subject: aaaa", self.text(report(original=b"Subject: =?xtext?q?aaaa?=\r\n\r\n")))
        long = b"Subject: =?punycode?q?" + b"\xe4" * 5_000_000 + b"?=\r\n\r\n"
        began = time.process_time()
        self.assertIn("the queue ID", self.text(report(original=long)))
        self.assertLess(time.process_time() - began, 5)

    def test_every_status_has_a_meaning(self) -> None:
        self.assertIn("mailbox is full", meaning("4.2.2"))
        self.assertIn("A rule of the other mail system", meaning("5.7.509"))
        self.assertIn("accepts no mail at all", meaning("5.1.10"))
        self.assertIn("not valid", meaning("5.1.11"))
        self.assertIn("The exact answer follows", meaning("5.0.0"))

    def test_the_recipient_is_not_blamed_for_faults_of_others(self) -> None:
        """The same table explains our own replies: TLS, a login, a rejected sender, a host that speaks no SMTP."""
        for status, words in (
            ("4.7.5", "encrypted connection"),
            ("4.7.10", "encrypted connection"),
            ("4.7.11", "encrypted connection"),
            ("4.7.4", "requires a login"),
            ("5.7.8", "requires a login"),
            ("5.1.7", "your own address"),
            ("5.1.8", "your own address"),
            ("4.5.0", "did not understand each other"),
            ("5.5.3", "too many recipients"),
            ("4.3.0", "a problem that only its administrator can fix"),
            ("5.3.4", "larger than the other mail system accepts"),
            ("5.2.0", "a problem with the recipient's mailbox"),
            ("5.1.6", "has moved"),
        ):
            self.assertIn(words, meaning(status), status)

    def test_a_recipient_that_may_have_the_message_is_named(self) -> None:
        """RFC 1047: the host received the whole message and sent no answer."""
        lost = Reply(451, "4.4.2", "connection lost")
        for action in (Action.FAILED, Action.DELAYED):
            doubtful = recipient(action=action, reply=lost, remote=None, expired=True, in_doubt=True)
            self.assertIn("The message may have arrived", self.text(report(doubtful)))
            self.assertNotIn("The message may have arrived", self.text(report(replace(doubtful, in_doubt=False))))

    def test_durations_are_written_in_their_largest_unit(self) -> None:
        spans = [30, 60, 7199, 7200, 86400, 5 * 86400]
        said = [duration(timedelta(seconds=seconds)) for seconds in spans]
        self.assertEqual(said, ["less than a minute", "1 minute", "1 hour", "2 hours", "1 day", "5 days"])

    def test_addresses_with_spaces_keep_them(self) -> None:
        octets = compose(report(RecipientReport(Address("a  b", "away.test"), Action.FAILED, REFUSED))).octets
        self.assertIn(b'Final-Recipient: rfc822; "a  b"@away.test\r\n', octets)

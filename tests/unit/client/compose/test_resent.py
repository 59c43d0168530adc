"""Messages that are sent on unchanged."""

from __future__ import annotations

from datetime import UTC, datetime

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.compose.draft import ComposeError
from emailsys.client.compose.resent import resent
from emailsys.mail.address import parse
from emailsys.mail.message.mailboxes import Mailbox

ALICE = Mailbox("Alice Ä", parse("alice@example.org"))
NOW = datetime(2026, 3, 9, 12, 0, tzinfo=UTC)
ORIGINAL = (
    b"Return-Path: <b@x.example>\r\nReceived: from x by y; Mon, 9 Mar 2026 11:00:00 +0000\r\n"
    b"Resent-To: first@x.example\r\n"
    b"From: b@x.example\r\nBcc: hidden@x.example\r\nMessage-ID: <1@x.example>\r\n"
    b"Date: Mon, 9 Mar 2026 10:00:00 +0000\r\n"
    b"DKIM-Signature: v=1; b=\r\n abc\r\nX-Ae: \xc3\xa4\r\n\r\nbody\r\n.\r\n"
)


class ResentTests(SynchronousTestCase):
    """RFC 5322 §3.6.6."""

    def test_fields_come_on_top_and_nothing_else_changes(self) -> None:
        """A signature of the author holds: only Bcc and Return-Path go."""
        message = resent(
            ORIGINAL, ALICE, [Mailbox("", parse("c@example.org")), Mailbox("", parse("c@EXAMPLE.org"))], NOW
        )
        end = message.octets.index(b"Received:")
        rest = ORIGINAL[ORIGINAL.index(b"Received:") :].replace(b"Bcc: hidden@x.example\r\n", b"")
        self.assertEqual(message.octets[end:], rest)
        fields = dict(line.split(": ", 1) for line in message.octets[:end].decode("ascii").splitlines())
        self.assertEqual(list(fields), ["Resent-Date", "Resent-From", "Resent-To", "Resent-Message-ID"])
        self.assertEqual(fields["Resent-From"], "=?utf-8?q?Alice_=C3=84?= <alice@example.org>")
        self.assertEqual((message.message_id, str(message.reverse_path)), ("1@x.example", "alice@example.org"))
        self.assertEqual([str(one) for one in message.recipients], ["c@EXAMPLE.org"])
        self.assertEqual((message.eight_bit, message.smtputf8), (True, True))

    def test_without_a_recipient_there_is_no_message(self) -> None:
        self.assertRaises(ComposeError, resent, ORIGINAL, ALICE, [], NOW)

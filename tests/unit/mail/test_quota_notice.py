"""Quota notices say how full a mailbox or a domain is, and what to do."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.address import Address
from emailsys.mail.quota_notice import NearlyFull, compose, compose_for_domain

NOTICE = NearlyFull(
    Address("alice", "example.test"), 950 << 20, 1 << 30, False, "0abc.quota", datetime(2026, 1, 1, 12, tzinfo=UTC)
)


class QuotaNotices(SynchronousTestCase):
    def read(self, octets: bytes) -> EmailMessage:
        return email.message_from_bytes(octets, policy=email.policy.default)

    def test_the_notice_says_how_full_the_mailbox_is_and_what_to_do(self) -> None:
        message = self.read(compose(NOTICE))
        self.assertEqual(message["Subject"], "Your mailbox is 92 % full")
        self.assertEqual(message["From"], "Mail System <postmaster@example.test>")
        self.assertEqual(message["To"], "alice@example.test")
        self.assertEqual(message["Date"], "Thu, 01 Jan 2026 12:00:00 +0000")
        self.assertEqual(message["Message-ID"], "<0abc.quota@example.test>")
        text = " ".join(message.get_content().split())
        for words in (
            "holds 950 MiB of mail out of 1.0 GiB",
            "waits at its senders' mail systems",
            "delete messages that you no longer need",
            "write to postmaster@example.test",
        ):
            self.assertIn(words, text)

    def test_a_postmaster_is_told_the_commands_that_help(self) -> None:
        postmaster = replace(NOTICE, address=Address("postmaster", "example.test"))
        message = self.read(compose_for_domain(postmaster))
        self.assertEqual(message["Subject"], "The mailboxes of example.test are 92 % full")
        self.assertEqual(message["To"], "postmaster@example.test")
        text = " ".join(message.get_content().split())
        for words in (
            "All mailboxes of example.test together hold 950 MiB of mail out of 1.0 GiB: 92 % is used.",
            "waits at its senders' mail systems",
            "emailsys user list example.test",
            "emailsys domain quota example.test SIZE",
        ):
            self.assertIn(words, text)
        refused = self.read(compose_for_domain(replace(postmaster, refused=True)))
        self.assertIn("new mail is rejected", " ".join(refused.get_content().split()))

    def test_no_program_answers_the_notice(self) -> None:
        """RFC 3834: a vacation program would answer without this field."""
        self.assertEqual(self.read(compose(NOTICE))["Auto-Submitted"], "auto-generated")

    def test_the_notice_says_when_mail_over_the_quota_is_rejected(self) -> None:
        text = " ".join(self.read(compose(replace(NOTICE, refused=True))).get_content().split())
        self.assertIn("new mail is rejected, and its senders are told", text)

    def test_lines_end_with_crlf_and_are_short(self) -> None:
        octets = compose(NOTICE)
        self.assertTrue(octets.isascii() and octets.endswith(b"\r\n"))
        for line in octets.split(b"\r\n"):
            self.assertLessEqual(len(line), 78)
            self.assertNotIn(b"\n", line)

    def test_a_notice_to_an_address_beyond_ascii_is_in_utf_8(self) -> None:
        octets = compose(replace(NOTICE, address=Address("jürgen", "example.test")))
        self.assertIn("To: <jürgen@example.test>\r\n".encode(), octets)
        self.assertIn(b"charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n", octets)
        self.assertIn("jürgen@example.test", self.read(octets).get_content())

"""What the receiving system says of the author is found, and what a sender may have written is not believed."""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail import trace_fields
from emailsys.mail.message.authorship import unauthenticated_by
from emailsys.mail.message.mime import parse

RECEIVED: Final = b"Received: from x (x [192.0.2.7])\r\n\tby mail.home.test with ESMTP id q1;\r\n\tSun, 29 Nov 2026\r\n"
OLDER: Final = b"Received: from y by other.test with ESMTP id q0; Sun, 29 Nov 2026\r\n"
FROM: Final = b"From: boss@home.test\r\n\r\n"


def said(*fields: bytes) -> str | None:
    return unauthenticated_by(parse(b"".join(fields) + FROM))


class AuthorshipTests(SynchronousTestCase):
    def test_the_mark_of_this_system_is_found_wherever_the_host_puts_it(self) -> None:
        mark = trace_fields.unauthenticated("mail.home.test")
        for fields in (
            (mark, RECEIVED),
            (RECEIVED, mark),
            (RECEIVED, mark, OLDER),
            (b"Return-Path: <>\r\n", mark, RECEIVED),
        ):
            self.assertEqual(said(*fields), "mail.home.test")

    def test_other_results_are_no_mark(self) -> None:
        for text in (
            b"mail.home.test; auth=pass",
            b"mail.home.test; spf=none; dkim=none",
            b"other.test; auth=none",
            b"",
            b";",
        ):
            self.assertIsNone(said(b"Authentication-Results: " + text + b"\r\n", RECEIVED))
        self.assertIsNone(said(b"Authentication-Results: mail.home.test (; auth=none)\r\n", RECEIVED))
        self.assertIsNone(said(RECEIVED))
        self.assertIsNone(said(trace_fields.unauthenticated("mail.home.test")))

    def test_fields_below_an_older_received_field_are_the_senders(self) -> None:
        self.assertIsNone(said(RECEIVED, OLDER, trace_fields.unauthenticated("mail.home.test")))

    def test_a_received_field_without_its_host_ends_the_search(self) -> None:
        self.assertIsNone(said(b"Received: nonsense\r\n", trace_fields.unauthenticated("mail.home.test"), RECEIVED))

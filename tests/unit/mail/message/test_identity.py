"""The author and the sender that a message names, read so that no other program can read another one."""

from __future__ import annotations

import time

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.address import Address
from emailsys.mail.message.headers import HeaderSection
from emailsys.mail.message.identity import Identity, claimed_domains, read_identity

ME = Address("me", "home.test")
BOSS = Address("boss", "home.test")


def identity(*fields: bytes) -> Identity:
    return read_identity(HeaderSection(b"".join(field + b"\r\n" for field in fields)))


class AuthorTests(SynchronousTestCase):
    def authors(self, value: bytes) -> tuple[Address, ...] | None:
        return identity(b"Subject: x", b"From:" + value, b"To: z").authors

    def test_a_mailbox_is_read_as_programs_write_it(self) -> None:
        for value in (
            b"me@home.test",
            b" me@home.test ",
            b" <me@home.test>",
            b" Me Myself <me@home.test>",
            b' "Me, Myself" <me@home.test>',
            b' "Me \\"M\\" Myself" <me@home.test>',
            b" =?utf-8?q?M=C3=A9?= <me@home.test>",
            b" M\xc3\xa9 <me@home.test>",
            b" M\xe9 <me@home.test>",
            b"\r\n Me\r\n\t<me@home.test>",
            b" Me (a <comment>, really) <me@home.test> (more)",
            b" me@home.test (Me)",
            b" Me M. Myself <me@home.test>",
            b' "boss@home.test" <me@home.test>',
            b" ,me@home.test,",
            b" all: Me <me@home.test>;",
        ):
            self.assertEqual(self.authors(value), (ME,), value)

    def test_all_authors_count(self) -> None:
        for value in (
            b" boss@home.test, Me <me@home.test>",
            b" boss@home.test <me@home.test>",
            b" all: boss@home.test, me@home.test;",
        ):
            self.assertEqual(self.authors(value), (BOSS, ME), value)

    def test_what_programs_read_differently_is_malformed(self) -> None:
        for value in (
            b"",
            b" ",
            b" <>",
            b" me",
            b" undisclosed:;",
            b" <boss@home.test> <me@home.test>",
            b" <me@home.test> boss@home.test",
            b" me@home.test (unclosed <boss@home.test>",
            b' "unclosed <boss@home.test>, me@home.test',
            b" boss@home.test: me@home.test;",
            b" <me@home.test",
            b" <@home.test:me@home.test>",
            b" <me@home.test,boss@home.test>",
            b" me @home.test",
            b" me@home.test\x00",
        ):
            self.assertIsNone(self.authors(value), value)

    def test_two_fields_are_none_that_counts(self) -> None:
        """RFC 5322 §3.6: exactly one. Programs differ in which one they show."""
        self.assertIsNone(identity(b"From: me@home.test", b"from : boss@home.test").authors)
        self.assertEqual(identity(b"Subject: From: me@home.test").authors, ())
        self.assertIsNone(identity(b"From: me@home.test", b"Sender: me@home.test", b"Sender: a@b.test").senders)

    def test_the_sender_is_read_likewise(self) -> None:
        found = identity(b"From: boss@home.test", b"Sender: Me <me@home.test>")
        self.assertEqual(found, Identity((BOSS,), (ME,)))

    def test_a_report_is_told_by_its_type(self) -> None:
        for value in (b"multipart/report; report-type=delivery-status", b"\r\n Multipart/Report", b"multipart/report;"):
            self.assertTrue(identity(b"Content-Type: " + value).is_report, value)
        for value in (b"multipart/reporting", b"text/plain; a=multipart/report", b"multipart/mixed"):
            self.assertFalse(identity(b"Content-Type: " + value).is_report, value)

    def test_the_domains_of_all_authors_that_a_program_may_show_are_claimed(self) -> None:
        """Of each From field, and of malformed ones what can be read."""
        for fields in (
            (b"From: boss@Home.test", b"from: Me <me@away.test>"),
            (b"From: <boss@home.test> x, me@away.test",),
            (b"From: boss@home.test, me@away.test",),
            (b"From:\r\n boss@home.test <me@away.test>",),
        ):
            section = HeaderSection(b"\r\n".join(fields) + b"\r\n")
            self.assertEqual(claimed_domains(section), {"home.test", "away.test"}, fields)
        self.assertEqual(claimed_domains(HeaderSection(b"Subject: x\r\n")), frozenset())

    def test_reading_takes_time_in_proportion_to_the_length(self) -> None:
        """Each of these takes minutes if the time grows with the square of the length."""
        for unit in (b'"', b"(", b"<", b'"a" ', b"a, ", b"\\", b"a:", b'<"', b"a@b ", b"=?"):
            value = unit * (200_000 // len(unit))
            began = time.process_time()
            self.authors(value)
            self.assertLess(time.process_time() - began, 2.0, unit)

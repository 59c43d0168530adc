"""The author and the sender that a message names, read so that no other program can read another one."""

from __future__ import annotations

import time
import tracemalloc

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.address import Address, domain_key
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

    def test_a_mailbox_that_programs_read_differently_is_malformed(self) -> None:
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

    def test_a_domain_is_claimed_in_whatever_is_malformed(self) -> None:
        """Programs show what they can find. A well-formed field has only the domains of its addresses."""
        for value in (
            "CEO <ceo@home.test> <evil@away.test>",
            "<ceo@home.test><evil@away.test>",
            "ceo@home.test <",
            "ceo@home.test.",
            "CEO <<ceo@Home.test>>",
            "CEO <mailto:ceo@home.test>",
            "CEO <ceo@home.test,evil@away.test>",
            "ceo@home.test\x00",
            "ceo@home.test\u00a0<",
            'ceo@"home.test"',
            "ceo@ home . test, <",
            "CEO <ceo@(a comment)home.test>, <",
        ):
            section = HeaderSection(b"From: " + value.encode() + b"\r\n")
            self.assertIn("home.test", claimed_domains(section), value)
        section = HeaderSection("From: ceo@Gr\u00fc\u00dfe.test <\r\n".encode())
        self.assertEqual(claimed_domains(section), {"xn--gre-6ka8l.test"})
        section = HeaderSection(b'From: "ceo@home.test" <evil@away.test>\r\n')
        self.assertEqual(claimed_domains(section), {"away.test"})

    def test_a_domain_is_claimed_in_however_much_text(self) -> None:
        """The server reads From fields of a stranger in the reactor's thread: half a second of them, before."""
        names = [f"a@{letter}{number}.test" for letter in "b\u00fc" for number in range(10_000)]
        for own in ("ceo@Home.test", "ceo@b\u00fcro.test"):
            for fields in (
                ["From: " + ",\r\n ".join([own, *names[::2]])],
                ["From: " + ",\r\n ".join([*names[::2], own])],
                [*(f"From: {name}" for name in names[::2]), f"From: {own}"],
                ["From: " + ";" * 200_000 + f" {own} <"],
                ["From: " + "\u00fc@\u00fc," * 40_000 + f" {own} <"],
            ):
                section = HeaderSection("\r\n".join([*fields, ""]).encode())
                began = time.thread_time()
                claimed = claimed_domains(section)
                self.assertLess(time.thread_time() - began, 0.4)
                self.assertIn(domain_key(own.partition("@")[2]), claimed)
        middle = HeaderSection("From: {}\r\n".format(",".join([*names[:5000], "x@home.test", *names])).encode())
        self.assertIn("home.test", claimed_domains(middle))

    def test_no_long_field_stays_in_memory(self) -> None:
        """A client without a login can send 4,096 fields of 256 KiB."""
        tracemalloc.start()
        try:
            for number in range(100):
                claimed_domains(HeaderSection(b"From: " + b"%d" % number * 50_000 + b" <me@home.test>\r\n"))
            kept, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertLess(kept, 1_000_000)

    def test_reading_takes_time_in_proportion_to_the_length(self) -> None:
        """Each of these takes minutes if the time grows with the square of the length."""
        units = (b'"', b"(", b"<", b'"a" ', b"a, ", b"\\", b"a:", b'<"', b"a@b ", b"=?", b"@ ", b'@"', b"@\xc3\xa9")
        for unit in units:
            value = unit * (200_000 // len(unit))
            began = time.process_time()
            self.authors(value)
            claimed_domains(HeaderSection(b"From: <" + value + b"\r\n"))
            self.assertLess(time.process_time() - began, 2.0, unit)

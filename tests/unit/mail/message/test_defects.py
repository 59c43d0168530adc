"""What had to be guessed in a message is a named defect, and what could not be used is said."""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.message.defects import around_parts, field_defects, message_defects
from emailsys.mail.message.mime import parse
from emailsys.mail.message.structure import structure

WHOLE: Final = "From: Ann <ann@example.net>\r\nDate: Mon, 2 Feb 2026 10:00:00 +0000\r\n"
MIXED: Final = 'Content-Type: multipart/mixed; boundary="x"\r\n\r\n'
PART: Final = "--x\r\n\r\nbody\r\n--x--\r\n"


def told(text: str) -> list[str]:
    """All defects of a message, with the numbers of their parts."""
    octets = text.encode("latin-1", "surrogateescape")
    return [f"{part.number} {one}" for part, wrong in message_defects(parse(octets)) for one in wrong]


def noted(text: str) -> list[str]:
    """What is told about a message without being a defect, with the numbers of the parts."""
    return [f"{row.number} {one}" for row in structure(parse(text.encode())) for one in row.notes]


def of_field(line: str) -> list[str]:
    """The defects of a header that is one field."""
    return field_defects(parse(f"{line}\r\n\r\n".encode()).fields, is_message=True)


class Fields(SynchronousTestCase):
    def test_a_well_formed_header_has_no_defects(self) -> None:
        for line in (
            "Date: Mon, 30 Nov 2026 10:00:00 +0000 (UTC)",
            "Date: 30 Nov 2026 10:00 EST",
            'From: John Q. Public <j@x.example>, "a, b" <a@x.example>, bob @ example . org (Bob)',
            "To: undisclosed-recipients:;",
            'Cc: friends: c@example.com, "a b"@example.com;',
            "To:",
            "Message-ID: <a@x>",
            "References: <a@x> <b@x>\r\n <c@x>",
            "Subject: =?utf-8?Q?caf=C3=A9?= =?utf-8?B?Y2Fmw6k=?= (=?utf-8?Q?x?=)",
            "Subject: 2 =? 3",
            'Content-Type: multipart/mixed; boundary="a=b"; charset=utf-8',
            "Content-Disposition: attachment; filename*0*=utf-8''a; filename*1=b.pdf; filename=b.pdf",
        ):
            self.assertEqual(of_field(line), [], line)

    def test_guesses_are_named_with_what_was_read(self) -> None:
        for line, words in (
            ("Date: 2026-11-30T10:00:00Z", "is read as 2026-11-30 10:00:00 UTC"),
            ("Date: Mon, 30 Nov 2026 10:00:60 +0000", "is read as 2026-11-30 10:01:00 UTC"),
            ("Date: Mon, 30 Nov 2026 24:00:00 +0000", "is read as 2026-12-01 00:00:00 UTC"),
            ("Date: Mon, 30 Nov 2026 10:00:00 +05:30", "is read as 2026-11-30 04:30:00 UTC"),
            ("Date: Mon, 30 Nov 2026 10:00:00 XYZ", "is read as 2026-11-30 10:00:00 UTC"),
            ("Date: Mon, 30 Nov 26 10:00:00 +0000", "is read as 2026-11-30 10:00:00 UTC"),
            ("From: a..b@x.example", 'is read as "a..b"@x.example'),
            ("To: a@under_score.example", "is read as a@under_score.example"),
            ("To: John <j@x.example", "is read as j@x.example"),
            ("To: <j@x.example>>", "is read as j@x.example"),
            ("To: John Smith jsmith@x.example", "is read as jsmith@x.example"),
            ('To: "unclosed <j@x.example>', "is read as j@x.example"),
            ("To: John (unclosed <j@x.example>", "is read as j@x.example"),
            ("To: <a@x.example> <b@x.example>", "is read as b@x.example"),
            ("To: <mailto:a@x.example>", "is read as a@x.example"),
            ("Message-ID: a@x.example", "'a@x.example' lacks its brackets"),
            ("Message-ID: <a b@x.example>", "is read as 'ab@x.example'"),
            ("Subject: =?utf-8?Q?caf=C3=A9??=", "blanks or question marks"),
            ("Subject: =?utf-8?Q?a b?=", "blanks or question marks"),
            ("Subject: =?utf-8?Q?a=ZZ?=", "malformed escapes"),
            ("Subject: =?utf-8?B?Y2Fmw6k?=", "malformed base64"),
            ("Subject: =?nonsense?Q?caf?=", "unknown charset 'nonsense'"),
            ("Subject: =?utf-8?Q?=E9?=", "octets that are not utf-8"),
            ("Subject: a=?utf-8?Q?b?=", "touches other text"),
            ('From: "=?utf-8?Q?b?=" <a@x.example>', "touches other text"),
            ("Content-Type: a/b; name==?utf-8?Q?a?=", "is an encoded word"),
            ('Content-Disposition: attachment; filename="C:\\\\dir\\\\a.pdf"', "its folders are not used"),
            ("Content-Disposition: attachment; filename=../a.pdf", "its folders are not used"),
            ("Content-Disposition: attachment; filename=my report.pdf", "lacks its quotation marks"),
            ("Content-Type: multipart/mixed; boundary=a=b", "the value of boundary lacks its quotation marks"),
            ('Content-Type: a/b; name="a', "lacks its closing quotation mark"),
            ("Content-Type: text/plain; charset=a; charset=b", "more than one charset parameter: the first counts"),
            ("Content-Type: a/b; name*0=a; name*2=b", "a section of name is missing"),
        ):
            found = of_field(line)
            self.assertIn(words, " ".join(found), line)
            self.assertTrue(all(one.startswith(line.partition(":")[0]) for one in found), found)

    def test_what_cannot_be_used_is_said(self) -> None:
        for line, words in (
            ("Date: soon", "'soon' cannot be read"),
            ("Date: Fri, 31 Feb 2026 10:00:00 +0000", "cannot be read"),
            ("Date: Mon, 30 Nov 1926 10:00:00 +0000", "before 1970"),
            ("From: John Smith", "no usable address in 'John Smith'"),
            ("Sender: a@b@c.example", "no usable address in 'a@b@c.example'"),
            ("To: j@x.example k@x.example", "no usable address"),
            ("Message-ID: <>", "no id in '<>'"),
            ("In-Reply-To: Your message of Monday", "no message id in brackets: 'Your message of Monday'"),
            ("Subject: =?utf-8?Q?caf=C3=A9?", "is broken, and is shown as it is"),
            ("Subject: =?utf-8?X?abc?=", "is broken, and is shown as it is"),
            ("Content-Type: text/plain; charset: utf-8", "no parameter: 'charset: utf-8'"),
            ("Content-Type: a/b; name=a;b.pdf", "no parameter: 'b.pdf'"),
        ):
            self.assertIn(words, " ".join(of_field(line)), line)

    def test_a_field_beyond_the_limit_has_no_other_defects_than_that(self) -> None:
        """Nothing that the limit cuts is taken for a mistake of the sender."""
        for begin in range(8):
            ids = " ".join(f"<{number:05}@x>" for number in range(9_000))
            beyond = "References: only its first 65,536 characters are read"
            self.assertEqual(of_field(f"References: <{'x' * begin}1@x> {ids}"), [beyond])
            words = "\r\n ".join(["=?utf-8?b?8J+YgA==?="] * 4_000)
            self.assertEqual(of_field(f"Subject: {'x' * begin}\r\n {words}"), [])
        people = ", ".join(f"person{number:05}@x.example" for number in range(4_000))
        beyond, unread = of_field(f"To: {people}")
        self.assertEqual(beyond, "To: only its first 65,536 characters are read")
        self.assertIn("no usable address in 'person", unread)

    def test_each_further_field_of_a_kind_that_stands_once_is_named(self) -> None:
        for name in ("From", "Subject", "Date", "Message-ID", "To"):
            found = told(f"{name}: <a@x.example>\r\n{name}: <evil@x.example>\r\n\r\n")
            self.assertIn(f"1 more than one {name} field: this one is not used: '<evil@x.example>'", found)
        self.assertEqual(told(f"{WHOLE}Received: a\r\nReceived: b\r\n\r\n"), [])

    def test_many_defects_are_few_lines(self) -> None:
        self.assertEqual(len(of_field("To: " + ", ".join(f"a{n}" for n in range(1_000)))), 20)


class Structures(SynchronousTestCase):
    def test_text_around_the_parts_is_told_and_is_no_defect(self) -> None:
        """RFC 2046 §5.1.1: readers must ignore it, so that the message is well-formed."""
        for body, where, words in (
            (f"Important words\r\n{PART}", "1 it has text before its first part", "'Important words'"),
            (f"{PART}List footer\r\n", "1 it has text below its last part", "'List footer'"),
            (f"{PART}\r\n--x\r\n\r\nmore\r\n--x--\r\n", "1 it has text below its last part", "more"),
        ):
            self.assertEqual(told(f"{WHOLE}{MIXED}{body}"), [])
            (found,) = noted(f"{WHOLE}{MIXED}{body}")
            self.assertTrue(found.startswith(where), found)
            self.assertIn(words, found)
        inner = "--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\nhi\r\n--y--\r\nlast\r\n--x--\r\n"
        self.assertIn("1.1 it has text below its last part", noted(f"{WHOLE}{MIXED}{inner}")[0])

    def test_a_preamble_for_old_readers_is_not_told(self) -> None:
        for text in ("This is a multi-part message in MIME format.", "", "This is an OpenPGP/MIME signed message"):
            self.assertEqual(noted(f"{WHOLE}{MIXED}{text}\r\n{PART}"), [])
        self.assertEqual(len(noted(f"{WHOLE}{MIXED}MIME {'word ' * 200}\r\n{PART}")), 1)

    def test_a_part_that_is_decrypted_has_no_text_around_it(self) -> None:
        root = parse(f"{WHOLE}{MIXED}before\r\n{PART}".encode())
        self.assertEqual(around_parts(root), ("before", ""))
        root.parts = list(parse(b"\r\nother").walk())
        self.assertEqual(around_parts(root), ("", ""))

    def test_fields_of_a_message_inside_are_checked_and_those_of_a_part_are_not(self) -> None:
        inside = "Content-Type: message/rfc822\r\n\r\nFrom: nobody\r\nDate: soon\r\n\r\nhi\r\n"
        self.assertEqual([one[:11] for one in told(f"{WHOLE}{inside}")], ["1.1 From: n", "1.1 Date: '"])
        part = "--x\r\nDate: soon\r\nContent-Type: text/plain; charset: x\r\n\r\nhi\r\n--x--\r\n"
        self.assertEqual(
            told(f"{WHOLE}{MIXED}{part}"),
            ["1.1 Content-Type: ignored, because it is no parameter: 'charset: x'"],
        )

    def test_a_boundary_in_another_case_is_not_taken_from_another_multipart(self) -> None:
        octets = (
            b"Content-Type: multipart/mixed; boundary=Part\r\n\r\n--Part\r\n"
            b"Content-Type: multipart/alternative; boundary=part\r\n\r\ntext\r\n"
            b"--Part\r\nContent-Type: text/plain; name=a.txt\r\n\r\nfile\r\n--Part--\r\n"
        )
        self.assertEqual([part.number for part in parse(octets).walk()], ["1", "1.1", "1.2"])

    def test_a_boundary_in_another_case_is_guessed(self) -> None:
        root = parse(f"{WHOLE}{MIXED}{PART.replace('x', 'X')}".encode())
        self.assertEqual([part.raw for part in root.parts], [b"body"])
        self.assertIn("its boundary was guessed from the text", root.defects)

    def test_a_transfer_encoding_with_other_signs_is_read(self) -> None:
        for written, meant in (("quoted_printable", b"caf\xe9"), ("8-bit", b"caf=E9"), ("8bits", b"caf=E9")):
            root = parse(f"{WHOLE}Content-Transfer-Encoding: {written}\r\n\r\ncaf=E9".encode())
            self.assertEqual(root.decoded()[0], meant, written)
            self.assertIn(f"unknown transfer encoding '{written}'", root.defects[0])

    def test_a_charset_that_only_the_html_names_is_told(self) -> None:
        html = b"Content-Type: text/html\r\n\r\n<meta charset=windows-1251><p>\xcf\xf0\xe8\xe2\xe5\xf2"
        text, defects = parse(html).text()
        self.assertIn("\u041f\u0440\u0438\u0432\u0435\u0442", text)
        self.assertEqual(defects, ["Content-Type names no charset: read as windows-1251, which the HTML names"])

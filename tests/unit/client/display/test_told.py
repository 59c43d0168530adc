"""What is not shown, or was guessed, is said; and nothing is said that is wrong."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.display.message import view
from emailsys.client.text.html import html_to_text
from emailsys.mail.message.mime import parse

_HEAD = b"From: a@b.example\r\nDate: Mon, 2 Mar 2026 10:00:00 +0000\r\n"
_MULTIPART = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"


class ToldTests(SynchronousTestCase):
    def told(self, octets: bytes, body: str, *defects: str) -> None:
        seen = view(_HEAD + octets)
        self.assertEqual((seen.body.strip(), seen.defects), (body, defects))

    def test_a_text_that_is_an_attachment_is_shown_without_a_defect(self) -> None:
        self.told(b"Content-Disposition: attachment; filename=a.txt\r\n\r\nhello words\r\n", "hello words")

    def test_the_text_around_empty_parts(self) -> None:
        empty = b"--b\r\nContent-Type: text/plain\r\n\r\n\r\n--b--\r\n"
        around = "the parts have no text: the text around them is shown"
        self.told(_MULTIPART + b"Important\r\n" + empty, "Important", around)
        self.told(_MULTIPART + empty + b"behind\r\n", "behind", around)
        self.told(_MULTIPART + empty, "")

    def test_the_text_around_uuencoded_data(self) -> None:
        encoded = b"begin 644 a.txt\r\n#86)C\r\n`\r\nend\r\n"
        head = b"Content-Transfer-Encoding: x-uuencode\r\n\r\n"
        told = "part 1: text around the uuencoded data is not shown"
        self.told(head + encoded, "abc")
        self.told(head + b"before\r\n" + encoded, "abc", told)
        self.told(head + encoded + b"after\r\n", "abc", told)

    def test_a_windows_path_as_a_file_name(self) -> None:
        for written, name in (
            (rb"C:\dir\a.pdf", r"C:\dir\a.pdf"),
            (rb"C:\\dir\\a.pdf", r"C:\dir\a.pdf"),
            (rb"a\"b", 'a"b'),
        ):
            part = parse(b'Content-Type: application/pdf; name="%s"\r\n\r\nx' % written)
            self.assertEqual(part.name, name)

    def test_a_blank_follows_the_mark_of_a_link(self) -> None:
        text = html_to_text('<a href="https://a.example/">here</a>and <a href="https://b.example/">there</a>.')
        self.assertTrue(text.startswith("here [1] and there [2]."), text)

    def test_the_parentheses_of_ruby_are_shown(self) -> None:
        self.assertEqual(html_to_text("<ruby>x<rp>(</rp><rt>y</rt><rp>)</rp></ruby>").strip(), "x(y)")

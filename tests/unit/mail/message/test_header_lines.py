"""A broken line in a header hides no field, and text that follows a header without an empty line stays text."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.message.mime import parse

READ: str = "a line of the header is not a field: it is read as the end of"


class BrokenLines(SynchronousTestCase):
    def test_a_parameter_without_a_blank_in_front_belongs_to_its_field(self) -> None:
        for field, line in (
            (b"Content-Type: application/zip; x-mode=0600;", b'name="plan.zip"'),
            (b"Content-Type: application/zip", b"name=plan.zip"),
            (b"Content-Type: application/zip\r\nContent-Disposition: attachment", b"filename=plan.zip"),
            (b"Content-Type: application/zip;", b"name*=utf-8''plan.zip"),
        ):
            root = parse(field + b"\r\n" + line + b"\r\nContent-Transfer-Encoding: base64\r\n\r\nUEs=\r\n")
            self.assertEqual((root.name, root.content_type), ("plan.zip", "application/zip"), field)
            self.assertEqual(root.decoded(), (b"PK", []), field)
            self.assertTrue(root.defects[0].startswith(READ), root.defects)

    def test_a_boundary_on_a_line_of_its_own_takes_the_message_apart(self) -> None:
        root = parse(b"Content-Type: multipart/mixed;\r\nboundary=b\r\n\r\n--b\r\n\r\none\r\n--b--\r\n")
        self.assertEqual([part.raw for part in root.parts], [b"one"])

    def test_fields_of_mime_below_a_broken_line_count(self) -> None:
        root = parse(b"X-Key: abc\r\ndef=\r\nghi=\r\nDate: today\r\nContent-Type: text/html\r\n\r\n<p>hello")
        self.assertEqual((root.content_type, root.raw), ("text/html", b"<p>hello"))
        self.assertEqual(root.text_of("x-key"), "abc def= ghi=")
        self.assertEqual(root.defects, [f"{READ} X-Key"])

    def test_text_without_an_empty_line_above_it_stays_text(self) -> None:
        for text in (
            b"Hello,\r\nno field comes here\r\n",
            b"Hello,\r\nNote: this is no field of a mail system\r\n\r\nContent-Type: text/html\r\n",
            b"Hello,\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>",
            b"one\r\ntwo\r\nthree\r\nfour\r\nfive\r\nsix\r\nReceived: a letter\r\n",
            b"x = 1\r\n",
        ):
            root = parse(b"Subject: x\r\nContent-Type: text/plain\r\n" + text)
            self.assertEqual(root.raw, text)
            self.assertEqual(root.defects, ["the header ends with a line that is not a field"])

    def test_text_below_a_line_of_blanks_stays_text(self) -> None:
        text = b"The line above has a blank.\r\nContent-Type: text/html\r\n"
        self.assertEqual(parse(b"Subject: x\r\n \r\n" + text).raw, text)

    def test_a_header_of_broken_lines_ends(self) -> None:
        """A message of nothing else took minutes, since each line made the value before it longer."""
        lines = b"charset=utf-8;\r\n" * 1_000
        root = parse(b"Content-Type: text/plain;\r\n" + lines + b"\r\nhello")
        self.assertEqual(root.raw, lines[: 950 * 16] + b"\r\nhello")
        self.assertEqual(root.defects[-1], "the header ends with a line that is not a field")

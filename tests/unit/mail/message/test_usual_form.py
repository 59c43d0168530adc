"""Messages with odd line ends, in UTF-16, or with lines above their headers are read as what they plainly are."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.message.mime import Part, parse, read_fields
from emailsys.mail.message.usual_form import usual_form

HEAD = (
    b"From: Ann <ann@example.org>\nTo: bob@example.net\nSubject: Hello\nMIME-Version: 1.0\n"
    b"Content-Type: multipart/mixed; boundary=b\n"
)
BODY = b"--b\nContent-Type: text/plain\n\nwords\n--b\nContent-Type: text/csv; name=a.csv\n\n1,2\n--b--\n"
MESSAGE = HEAD + b"\n" + BODY
CR = MESSAGE.replace(b"\n", b"\r")
CRLF = MESSAGE.replace(b"\n", b"\r\n")
HEADER_DEFECT = "lines end with a carriage return alone"
BODY_DEFECT = "lines of the body end with a carriage return alone"


class UsualForm(SynchronousTestCase):
    def check(self, octets: bytes, *defects: str) -> Part:
        """Check that a message is read as the usual one, with these defects."""
        root = parse(octets)
        self.assertEqual([root.decoded_of(name) for name in ("subject", "to")], ["Hello", "bob@example.net"])
        self.assertEqual([part.text()[0].strip() for part in root.parts], ["words", "1,2"])
        self.assertEqual(root.parts[1].name, "a.csv")
        self.assertEqual(root.defects, [*defects])
        self.assertIn("Ann <ann@example.org>", [one.text for one in read_fields(octets)])
        return root

    def test_the_usual_line_ends_are_no_defect(self) -> None:
        for octets in (MESSAGE, CRLF, MESSAGE.replace(b"\n", b"\r\r\n")):
            self.check(octets)
            self.assertIs(usual_form(octets).octets, octets)

    def test_carriage_returns_alone_end_lines(self) -> None:
        self.check(CR, HEADER_DEFECT)
        self.check(b"\r\r" + CR, HEADER_DEFECT, "blank lines or marks stand above the header")

    def test_the_header_and_the_body_may_have_different_line_ends(self) -> None:
        head = HEAD.replace(b"\n", b"\r")
        self.check(head + b"\r" + BODY, HEADER_DEFECT)
        self.check(head + b"\r\n\r\n" + BODY, HEADER_DEFECT)
        self.check(HEAD + b"\n" + BODY.replace(b"\n", b"\r"), BODY_DEFECT)
        self.check(b"Received: by mx.example.net; Mon, 2 Nov 2026 10:00:00 +0000\r\n" + CR, HEADER_DEFECT)

    def test_line_ends_in_the_wrong_order_end_lines(self) -> None:
        self.check(MESSAGE.replace(b"\n", b"\n\r"), HEADER_DEFECT, BODY_DEFECT)

    def test_one_field_that_ends_with_a_carriage_return_hides_no_other(self) -> None:
        self.check(MESSAGE.replace(b"example.net\n", b"example.net\r"), HEADER_DEFECT)

    def test_a_header_that_ends_with_carriage_returns_has_a_body(self) -> None:
        root = parse(b"From: ann@example.org\rSubject: Hello\nDate: Mon, 2 Nov 2026 10:00:00 +0000\r\rwords\rmore\n")
        self.assertEqual((root.decoded_of("subject"), root.text()[0]), ("Hello", "words\nmore\n"))

    def test_a_carriage_return_does_not_hide_the_author_that_other_programs_see(self) -> None:
        octets = b"X-Note: x\rFrom: boss@example.net\nFrom: eve@example.com\nTo: bob@example.net\n\nwords\n"
        root = parse(octets)
        self.assertEqual([one.text for one in root.fields if one.name == "From"], ["eve@example.com"])
        self.assertIn("hide another From", root.defects[0])

    def test_a_carriage_return_in_text_ends_no_field(self) -> None:
        root = parse(b"Subject: one\rtwo\nFrom: ann@example.org\n\n10 %\r20 %\n")
        self.assertEqual((len(root.fields), root.defects), (2, []))

    def test_nul_octets_in_the_header_hide_no_field(self) -> None:
        self.check(MESSAGE.replace(b"Subject: H", b"\0Sub\0ject: \0H"), "NUL octets in the header are ignored")
        binary = parse(b"Subject: x\n\n\0\1\0")
        self.assertEqual((binary.raw, binary.defects), (b"\0\1\0", []))

    def test_utf_16_and_utf_32_are_read(self) -> None:
        text = MESSAGE.decode().replace("words", "wörds €").replace("text/plain", 'text/plain; charset="utf-16"')
        for form in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
            for mark in ("", "\ufeff"):
                root = parse((mark + text.replace("\n", "\r\n")).encode(form))
                self.assertEqual(root.decoded_of("subject"), "Hello")
                self.assertEqual([part.text()[0] for part in root.parts], ["wörds €", "1,2"])
                self.assertEqual(root.defects, [f"the whole message is in {form.upper()[:6]}, and is read so"])

    def test_octets_that_are_cut_in_utf_16_are_read(self) -> None:
        octets = MESSAGE.decode().encode("utf-16-le")
        for end in range(len(octets)):
            self.assertIsNotNone(parse(octets[:end]))

    def test_blank_lines_and_marks_above_the_header_are_skipped(self) -> None:
        for above in (b"\n\n", b"\r\n \t\r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n", b"\x0c", b"\1\1\1\1\n"):
            self.check(above + MESSAGE, "blank lines or marks stand above the header")

    def test_what_a_server_said_before_the_message_is_skipped_and_told(self) -> None:
        for above in (
            b"+OK",
            b"+OK 120 octets",
            b"RETR 1\r\n+OK",
            b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n354 go",
            b"EHLO host.example.org\r\nDATA",
        ):
            said = above.decode()[:100]
            told = f"lines that are not part of the message stand above its header: {said!r}"
            self.check(above + b"\r\n" + CRLF, told)

    def test_a_field_whose_name_begins_as_a_command_does_is_kept(self) -> None:
        for field in (b"Data: x", b"Data-Id: x", b"Helo : x"):
            root = parse(field + b"\nFrom: ann@example.org\n\nwords\n")
            self.assertEqual(([one.text for one in root.fields], root.defects), (["x", "ann@example.org"], []))

    def test_the_line_of_an_mbox_file_is_skipped(self) -> None:
        for mark in (b"", b">"):
            line = mark + b"From ann@example.org Mon Nov  2 10:00:00 2026\n"
            self.check(line + MESSAGE)
            self.check(line + b">" + line.lstrip(b">") + MESSAGE)
        self.check(MESSAGE.replace(b"From: ", b"From : "))

    def test_a_text_without_a_header_stays_text(self) -> None:
        for text in (b"\nTo: do\n", b"\n\nwords\n", b"\nFrom: here on\nit is text\n", b"+OK\nit is text\n"):
            root = parse(text)
            self.assertEqual((root.fields, root.start), ((), 0))

    def test_a_message_inside_may_begin_with_blank_lines(self) -> None:
        octets = b"Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: message/rfc822\n\n\n\n" + MESSAGE
        inside = parse(octets + b"--o--\n").parts[0].parts[0]
        self.assertEqual((inside.decoded_of("subject"), len(inside.parts)), ("Hello", 2))
        self.assertEqual(inside.defects, ["blank lines or marks stand above the header"])

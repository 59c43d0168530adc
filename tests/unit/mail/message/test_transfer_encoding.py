"""Bodies that are not encoded as their headers say are read as they are meant."""

from __future__ import annotations

import binascii

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.message.mime import parse
from emailsys.mail.message.transfer_encoding import decode_transfer

LETTER = b"Dear Ann, the meeting is on Tuesday.\r\nPlease bring the figures.\r\n\r\nBob\r\n"


def encoded_part(body: bytes, content_type: bytes = b"text/plain") -> bytes:
    return b"Content-Type: " + content_type + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + body


class ForgottenBase64(SynchronousTestCase):
    def test_plain_text_that_is_declared_as_base64_is_shown_as_it_is(self) -> None:
        for body in (LETTER, b"> " + LETTER, "Grüße aus Köln. Bis bald!\r\n".encode()):
            root = parse(encoded_part(body, b"text/plain; charset=utf-8"))
            text, defects = root.text()
            self.assertEqual(text, body.decode().replace("\r\n", "\n"))
            self.assertIn("plain text", defects[0])

    def test_html_is_shown_as_it_is(self) -> None:
        html = b"<html><body>\r\n<p>Hello</p>\r\n<a href='https://x.example/a'>more</a>\r\n</body></html>\r\n"
        self.assertEqual(parse(encoded_part(html, b"text/html")).decoded()[0], html)

    def test_damaged_base64_is_decoded_all_the_same(self) -> None:
        digits = binascii.b2a_base64(LETTER * 3, newline=False)
        lines = [digits[at : at + 60] for at in range(0, len(digits), 60)]
        for body in (b"\r\n".join(b"> " + line for line in lines), b"!\r\n".join(lines), b"SGVs bG8=", b"Hello"):
            self.assertNotIn("plain text", str(parse(encoded_part(body)).decoded()[1]))
        self.assertEqual(parse(encoded_part(b"\r\n".join(b"> " + line for line in lines))).decoded()[0], LETTER * 3)

    def test_only_text_is_read_so(self) -> None:
        self.assertNotEqual(parse(encoded_part(LETTER, b"application/pdf")).decoded()[0], LETTER)


class Uuencode(SynchronousTestCase):
    def test_lines_with_a_check_character_are_decoded(self) -> None:
        data = bytes(range(45)) + b"the rest"
        first, second = binascii.b2a_uu(data[:45]), binascii.b2a_uu(data[45:])
        for one in (first, first.rstrip(b"\n") + b"Z\n"):
            octets, defects = decode_transfer(b"begin 644 a\n" + one + second + b"`\nend\n", "x-uuencode")
            self.assertEqual(octets, data)
            self.assertEqual(len(defects), 0 if one == first else 1)

    def test_a_line_that_is_none_does_not_end_the_data(self) -> None:
        line = binascii.b2a_uu(b"data")
        octets, defects = decode_transfer(b"begin 644 a\n" + line + b"~~~~\n" + line + b"`\nend\n", "x-uuencode")
        self.assertEqual((octets, defects), (b"datadata", ["uuencoded part with 1 malformed line"]))

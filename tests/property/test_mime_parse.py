"""No input makes the MIME parser fail, and every part lies within the message."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.display.message import raw, view
from emailsys.client.text.html import html_to_text
from emailsys.client.text.terminal import safe_line, safe_text
from emailsys.mail.message.charsets import decode_charset
from emailsys.mail.message.dates import parse_date
from emailsys.mail.message.fields import decode_words, parse_value
from emailsys.mail.message.mailboxes import read_mailboxes
from emailsys.mail.message.mime import parse
from emailsys.mail.message.structure import structure
from emailsys.mail.message.transfer_encoding import decode_transfer

LINES = st.sampled_from(
    (
        b"Content-Type: multipart/mixed; boundary=a",
        b"Content-Type: multipart/alternative; boundary=b",
        b"Content-Type: multipart/digest; boundary=a",
        b"Content-Type: message/rfc822",
        b"Content-Type: text/html; charset=klingon",
        b"Content-Type: text/plain; charset=utf-16",
        b"Content-Transfer-Encoding: base64",
        b"Content-Transfer-Encoding: quoted-printable",
        b"Content-Disposition: attachment; filename*0*=utf-8''%ff; filename*1=../../x",
        b"Subject: =?utf-8?b?/w==?= =?x?q?=1B[2J?=",
        b"From: a@b (((",
        b"Date: Mon, 99 Foo",
        b"--a",
        b"--b",
        b"--a--",
        b"--b--",
        b"",
        b"QUJD=",
        b"=zz",
        b"<b><p>&#99999999999999;<!--",
        b"\x1b]0;x\x07",
    )
)
MESSAGES = st.lists(LINES | st.binary(max_size=30), max_size=40).flatmap(
    lambda lines: st.sampled_from((b"\r\n", b"\n")).map(lambda end: end.join(lines))
)
UNPRINTABLE = {*range(0x20), 0x7F, *range(0x80, 0xA0), 0x202E, 0x2028} - {0x0A, 0x09}


class AnyMessage(SynchronousTestCase):
    @settings(deadline=None, max_examples=200)
    @given(MESSAGES)
    def test_any_lines_are_taken_apart(self, octets: bytes) -> None:
        root = parse(octets)
        for part in root.walk():
            self.assertTrue(0 <= part.start <= part.body_start <= part.end <= len(octets))
            end = part.body_start
            for inner in part.parts:
                self.assertTrue(end <= inner.start and inner.end <= part.end, (octets, part, inner))
                end = inner.end
        self.assertEqual(len(structure(root)), len(list(root.walk())))

    @settings(deadline=None, max_examples=200)
    @given(MESSAGES)
    def test_nothing_of_it_reaches_the_terminal_that_would_be_acted_on(self, octets: bytes) -> None:
        shown = view(octets)
        texts = [shown.body, raw(octets), *shown.defects, *(value for _, value in shown.headers)]
        texts += [text for one in shown.attachments for text in (one.name, one.content_type)]
        for text in texts:
            self.assertEqual({ord(character) for character in text} & UNPRINTABLE, set())
            text.encode()
        for one in shown.attachments:
            self.assertNotIn("/", one.name)
            self.assertFalse(one.name.startswith((".", "-")))
            one.content()

    @given(st.text())
    def test_any_text_is_made_safe(self, text: str) -> None:
        self.assertEqual({ord(character) for character in safe_text(text)} & UNPRINTABLE, set())
        self.assertEqual({ord(character) for character in safe_line(text)} & (UNPRINTABLE | {9, 10}), set())

    @given(st.text(), st.binary(), st.sampled_from(("base64", "quoted-printable", "uuencode", "7bit", "x")))
    def test_any_field_and_any_body_are_read(self, text: str, octets: bytes, encoding: str) -> None:
        decode_words(text)
        parse_value(text)
        parse_date(text)
        read_mailboxes(text)
        decode_transfer(octets, encoding)
        decode_charset(octets, text)

    @given(
        st.lists(
            st.sampled_from(
                (
                    "<p>",
                    "</p>",
                    "<li>",
                    "<ol>",
                    "</ol>",
                    "<a href='http://x'>",
                    "</a>",
                    "<pre>",
                    "<",
                    "</pre>",
                    "<td>",
                    "<blockquote>",
                    "</blockquote>",
                    "<!--",
                    "-->",
                    "<style>",
                    "x y",
                    "<div hidden>",
                    "</div>",
                    "&amp;",
                    "\n",
                    "<br>",
                    "<img alt='i'>",
                    "<x '",
                )
            )
            | st.text()
        )
    )
    def test_any_html_is_text(self, pieces: list[str]) -> None:
        html_to_text("".join(pieces))

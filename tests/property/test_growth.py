"""No text of a stranger makes a parser take more than linear time."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.archive.index_entry import index_fields
from emailsys.client.compose.answer import quote
from emailsys.client.display.message import view
from emailsys.client.text.html import html_to_text
from emailsys.client.text.terminal import safe_text
from emailsys.mail.dsn.composition import header_of
from emailsys.mail.message.authorship import unauthenticated_by
from emailsys.mail.message.charsets import decode_charset
from emailsys.mail.message.dates import parse_date
from emailsys.mail.message.fields import decode_words, parse_value, without_comments
from emailsys.mail.message.headers import HeaderSection
from emailsys.mail.message.identity import read_identity
from emailsys.mail.message.ids import message_ids, replied_ids
from emailsys.mail.message.mailboxes import read_mailboxes
from emailsys.mail.message.mime import parse
from emailsys.mail.message.transfer_encoding import decode_transfer

NOW: Final = datetime(2026, 11, 29, 12, tzinfo=UTC)
# Characters of each input, and seconds that a linear parser never needs for them, even on a busy machine.
LENGTH: Final = 100_000
SECONDS: Final = 5.0
PARSERS: Final[dict[str, Callable[[str], object]]] = {
    "encoded words": decode_words,
    "parameters": lambda text: parse_value(f"a/b;{text}"),
    "parameters without a semicolon": lambda text: parse_value(f'text/plain{text}"'),
    "a name in parentheses": lambda text: parse_value(f"a/b; name={text};(x)"),
    "comments": without_comments,
    "message ids": message_ids,
    "replies to": lambda text: replied_ids(f"{text[:60_000]}1 <a@b> ab"),
    "dates": parse_date,
    "mailboxes": read_mailboxes,
    "the colons of a mailbox": lambda text: read_mailboxes(f"{'a' * 30_000}@{text}"),
    "MIME": lambda text: parse(text.encode()),
    "a multipart": lambda text: parse(f"Content-Type: multipart/mixed; boundary=a\n\n{text}".encode()),
    "quoted-printable": lambda text: decode_transfer(text.encode(), "quoted-printable"),
    "base64": lambda text: decode_transfer(text.encode(), "base64"),
    "uuencode": lambda text: decode_transfer(f"begin 644 a\n{text}".encode(), "uuencode"),
    "HTML": html_to_text,
    "HTML that follows what is open": lambda text: html_to_text(text[: LENGTH // 2] + "<p>x" * (LENGTH // 8)),
    "HTML that follows a link": lambda text: html_to_text(
        f"<p><a href='{text[: LENGTH // 2]}'>" + "<p>x" * (LENGTH // 8)
    ),
    "HTML that follows attributes": lambda text: html_to_text(
        f"<p><b {' '.join(f'a{number}' for number in range(LENGTH // 24))} {text[:1_000]}>" + "<p>x" * (LENGTH // 8)
    ),
    "a style sheet": lambda text: html_to_text(f"<style>{text}</style><p class=a>" + "<p class=a>x" * 1_000),
    "a media query": lambda text: html_to_text(f"<style media='(a:{text}'>a{{display:none}}</style>x"),
    "a font": lambda text: html_to_text(f'<p style="font:{text}_">x'),
    "a style": lambda text: html_to_text(f'<p style="{text}">x'),
    "text": safe_text,
    "a quote": quote,
    "the index": lambda text: index_fields(text.encode(), NOW),
    "a view": lambda text: view(f"\n{text}".encode()),
    "a header": lambda text: header_of(text.encode()),
    "authorship": lambda text: unauthenticated_by(
        parse(f"Authentication-Results: x;{text}\nReceived:{text}\n".encode())
    ),
    "authors": lambda text: read_identity(HeaderSection(f"From:{text}\r\n".encode())),
    "ISO-2022-JP": lambda text: decode_charset(text.encode(), "iso-2022-jp"),
    "EUC-JP": lambda text: decode_charset(text.encode(), "euc-jp"),
    "UTF-7": lambda text: decode_charset(text.encode(), "utf-7"),
}
TOKENS: Final = st.sampled_from(
    (
        *(
            "a",
            " ",
            "\n",
            "\r\n",
            "\t",
            '"',
            "\\",
            "(",
            ")",
            "<",
            ">",
            ",",
            ";",
            ":",
            "=",
            "=?",
            "?=",
            "=?u?q?",
            "&",
            "&#",
        ),
        *("@", "-", "%", "=?utf-8?q?a?=", "<p>", "</p>", '<a href="http://x">', "</a>", "<!--", "<b", "<li>", "<ul>"),
        *(
            "<blockquote>",
            "<td>",
            "<title>",
            "<textarea>",
            "--a\n",
            "--",
            "\n ",
            "a*0*=",
            "x=y;",
            "=20",
            "=\n",
            "<x@y>",
        ),
        *("begin 644 x\n", "-- \n", "Content-Type: message/rfc822\n\n", "A: b\n", "\x1b$B", "\x1b(I", "+2D", "> "),
        *("ü", "\u0301", "\u200d"),
        *(
            "<b a=b>",
            "<body a>",
            "<svg>",
            "<table>",
            "<p>",
            "<style>",
            "<p hidden>",
            "{",
            "}",
            ".a p{display:none}",
            "@media",
        ),
    )
)


class GrowthTests(SynchronousTestCase):
    @settings(deadline=None, max_examples=60)
    @given(st.sampled_from(sorted(PARSERS)), st.lists(TOKENS, min_size=1, max_size=3).map("".join))
    @example("parameters", "x")
    @example("parameters", '"')
    @example("parameters", " ")
    @example("parameters without a semicolon", " ")
    @example("a name in parentheses", " ")
    @example("replies to", "by ")
    @example("the colons of a mailbox", ":")
    @example("encoded words", "=?utf-8?q?a?=")
    @example("HTML", "<textarea>")
    @example("HTML", '<a href="http://x">')
    @example("a media query", " ")
    @example("a font", "1")
    @example("HTML that follows a link", "a")
    @example("HTML that follows attributes", "a")
    @example("authors", " ")
    @example("mailboxes", "a@b.example, ")
    @example("MIME", "Content-Type: message/rfc822\n\n")
    def test_a_text_that_repeats_itself_takes_linear_time(self, parser: str, unit: str) -> None:
        text = unit * (LENGTH // len(unit))
        began = time.process_time()
        PARSERS[parser](text)
        self.assertLess(time.process_time() - began, SECONDS, (parser, unit))

    def test_a_boundary_that_comes_late_is_not_looked_for_again_and_again(self) -> None:
        """Each of 5,000 multiparts searched the whole message for its boundary."""
        whole = "Content-Type: multipart/mixed; boundary="
        inner = "".join(f"--b\n{whole}c\n\n" for _ in range(5_000))
        octets = f"{whole}b\n\n{inner}{'-c' * 2_000_000}\n--c\n\nx\n--c--\n--b--\n".encode()
        began = time.process_time()
        self.assertEqual(len(parse(octets).parts), 5_000)
        self.assertLess(time.process_time() - began, SECONDS)

"""Pictures of the message itself are named in the text, at their place."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.archive.index_entry import index_fields
from emailsys.client.compose.answer import reply
from emailsys.client.display.message import find_part, view
from emailsys.mail.address import parse
from emailsys.mail.message.mailboxes import Mailbox
from tests.unit.client.test_field_cases import ARRIVED


def message(html: str) -> bytes:
    """A message of HTML and two pictures."""
    parts = "".join(
        f"--b\r\nContent-Type: image/png\r\nContent-ID: <{name}@x>\r\n\r\nPNG {name}\r\n" for name in ("logo", "a b")
    )
    head = "From: a@b.example\r\nDate: 1 Jan 2026 10:00:00 +0000\r\nContent-Type: multipart/related; boundary=b\r\n\r\n"
    return f"{head}--b\r\nContent-Type: text/html\r\n\r\n{html}\r\n{parts}--b--\r\n".encode()


class PictureTests(SynchronousTestCase):
    def test_each_picture_is_named_where_it_stands(self) -> None:
        for html, text in (
            ("<p>Hello <img src='cid:logo@x' alt='Logo'> world", "Hello [Logo: picture 1.2] world"),
            ("<p>Hello <img src='cid:logo@x'> world", "Hello [picture 1.2] world"),
            ("<p>Hello <img src='CID:logo%40x' alt=''> world", "Hello [picture 1.2] world"),
            ("<p>1 <img src='cid:a%20b@x'>", "1 [picture 1.3]"),
            ("<img src='cid:logo@x'>", "[picture 1.2]"),
            # Not part of the message, unknown, a spacer, hidden.
            ("<p>Hello <img src='https://e.example/x.png' alt='Logo'>", "Hello [Logo]"),
            ("<p>Hello <img src='cid:gone@x' alt='Logo'>", "Hello [Logo]"),
            ("<p>Hello <img src='cid:logo@x' width=1>", "Hello"),
            ("<p>Hello <img src='cid:logo@x' style='display:none'>", "Hello"),
        ):
            self.assertEqual(view(message(html), html=True).body, text, html)

    def test_the_named_part_is_the_picture(self) -> None:
        part = find_part(message("<img src='cid:logo@x'>"), "1.2")
        assert part is not None
        self.assertEqual((part.content_type, part.content()), ("image/png", b"PNG logo"))

    def test_numbers_are_not_searched_for_and_not_quoted(self) -> None:
        octets = message("<p>Hello <img src='cid:logo@x' alt='Logo'>")
        self.assertNotIn("picture", index_fields(octets, ARRIVED).body_words)
        self.assertNotIn("picture", reply(octets, Mailbox("", parse("b@b.example"))).body)

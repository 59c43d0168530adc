"""OutgoingMessage messages parse to the same parts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.compose.draft import Attachment, Draft
from emailsys.client.compose.draft_files import draft_octets
from emailsys.client.compose.header_fields import on_one_line
from emailsys.client.compose.message_builder import build
from emailsys.client.compose.reopened_draft import body_and_files, draft_of
from emailsys.mail.address import Address
from emailsys.mail.message.charsets import decode_charset
from emailsys.mail.message.mailboxes import Mailbox, read_mailboxes
from emailsys.mail.message.mime import Part, parse

NOW: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
TEXTS: Final = st.text(st.characters(codec="utf-8"), max_size=400) | st.text("aä =?_\r\n.-F", max_size=200)
ONE_LINE: Final = TEXTS.map(on_one_line)
NAMES: Final = ONE_LINE.map(lambda name: " ".join(name.split()))
LOCALS: Final = st.from_regex(r"[a-z0-9]{1,20}(\.[a-z]{1,5})?", fullmatch=True) | st.sampled_from(("a b", 'q"\\', "ü"))
MAILBOXES: Final = st.builds(
    Mailbox, NAMES, st.builds(Address, LOCALS, st.sampled_from(("example.org", "[192.0.2.1]", "a-b.test")))
)
ATTACHMENTS: Final = st.builds(
    Attachment,
    name=ONE_LINE.filter(bool),
    octets=st.binary(max_size=400) | TEXTS.map(str.encode),
    content_type=st.sampled_from(("text/plain", "text/csv", "image/png", "application/octet-stream", "x/y")),
    content_id=st.none() | st.sampled_from(("a@x", "b@x")),
)
DRAFTS: Final = st.builds(
    Draft,
    sender=MAILBOXES,
    to=st.lists(MAILBOXES, min_size=1, max_size=8),
    cc=st.lists(MAILBOXES, max_size=3),
    bcc=st.just([Mailbox("", Address("hidden-one", "secret.test"))]),
    subject=TEXTS,
    text=st.none() | TEXTS,
    html=st.none() | TEXTS,
    attachments=st.lists(ATTACHMENTS, max_size=5),
)


def lines(text: str) -> str:
    """Text as it comes back: LF line ends, and one at its end."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text + "\n" if text and not text.endswith("\n") else text


def shown(part: Part | None) -> str:
    """A part's text."""
    assert part is not None
    text, defects = part.text()
    assert defects == [], defects
    return text


class ComposeThenParse(SynchronousTestCase):
    @settings(deadline=None, max_examples=300)
    @given(DRAFTS)
    def test_the_parts_are_the_same(self, draft: Draft) -> None:
        octets = build(draft, NOW).octets
        root = parse(octets)
        self.assertEqual([defect for part in root.walk() for defect in part.defects], [])
        text, html, files = body_and_files(root)
        if draft.html is None or draft.text is not None:
            self.assertEqual(shown(text), lines(draft.text or ""))
        if draft.html is not None:
            self.assertEqual(shown(html), lines(draft.html))
        self.assertCountEqual(
            [(part.name, part.decoded()[0], part.content_type) for part in files],
            [(one.name, one.octets, one.content_type) for one in draft.attachments],
        )

    @settings(deadline=None, max_examples=300)
    @given(DRAFTS)
    def test_the_header_is_the_same_and_fits_the_wire(self, draft: Draft) -> None:
        octets = build(draft, NOW).octets
        root = parse(octets)
        self.assertEqual(root.decoded_of("subject"), on_one_line(draft.subject))
        self.assertEqual(read_mailboxes(root.text_of("to")), draft.to)
        self.assertEqual(read_mailboxes(root.text_of("from")), [draft.sender])
        self.assertNotIn(b"hidden-one", octets)
        for line in octets.split(b"\r\n"):
            self.assertLessEqual(len(line), 998)
            self.assertNotIn(b"\r", line)
            self.assertNotIn(b"\n", line)
            self.assertNotIn(b"\x00", line)

    @settings(deadline=None, max_examples=200)
    @given(DRAFTS)
    def test_a_draft_on_disk_is_the_same_draft(self, draft: Draft) -> None:
        opened = draft_of(draft_octets(draft, NOW))
        self.assertEqual(
            (opened.to, opened.cc, opened.bcc, opened.sender), (draft.to, draft.cc, draft.bcc, draft.sender)
        )
        self.assertEqual(lines(opened.body), lines(draft.body))
        self.assertCountEqual(
            [(one.name, one.octets) for one in opened.attachments],
            [(one.name, one.octets) for one in draft.attachments],
        )

    @given(st.binary(), st.sampled_from(("us-ascii", "utf-8", "iso-8859-15", "utf-16", "gb18030", "nonsense")))
    def test_any_octets_in_any_charset_are_some_text(self, octets: bytes, charset: str) -> None:
        decode_charset(octets, charset)

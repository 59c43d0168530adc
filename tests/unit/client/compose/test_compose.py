"""A composed message has exactly the content and the recipients of its draft."""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.accounts.values import Account
from emailsys.client.compose import header_fields
from emailsys.client.compose.answer import ReplyTo, forward, quote, reply
from emailsys.client.compose.draft import Attachment, ComposeError, Draft
from emailsys.client.compose.draft_files import draft_octets, open_draft, save_draft
from emailsys.client.compose.editor_text import from_text, to_text
from emailsys.client.compose.encoding import encode_file, encode_message, encode_text
from emailsys.client.compose.finished_message import complete_message
from emailsys.client.compose.mailto import draft_of_link
from emailsys.client.compose.message_builder import OutgoingMessage, build
from emailsys.client.compose.reopened_draft import draft_of
from emailsys.client.compose.warnings import warnings
from emailsys.mail.address import Address
from emailsys.mail.message.mailboxes import Mailbox, parse_mailboxes
from emailsys.mail.message.mime import Part, parse
from tests.unit.client.archive.test_archive import IN, ME, ArchiveCase

NOW: Final = datetime(2026, 11, 23, 12, tzinfo=UTC)
ALICE: Final = Mailbox("Alice", Address("alice", "example.org"))
BOB: Final = Mailbox("", Address("bob", "example.test"))
CAROL: Final = Mailbox("Carol", Address("carol", "example.test"))
PNG: Final = b"\x89PNG\r\n\x1a\n" + bytes(200)


def written(**named: object) -> Draft:
    """Return a draft from Alice to Bob."""
    draft = Draft(sender=ALICE, to=[BOB], subject="one", text="hello\n")
    for name, value in named.items():
        setattr(draft, name, value)
    return draft


def built(**named: object) -> OutgoingMessage:
    """Return that draft as a message."""
    return build(written(**named), NOW)


def types(octets: bytes) -> list[str]:
    """Return the media types of all parts in order."""
    return [part.content_type for part in parse(octets).walk()]


class Building(SynchronousTestCase):
    def test_plain_text_is_one_part_in_seven_bits(self) -> None:
        composed = built()
        self.assertTrue(composed.octets.startswith(b"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nFrom: Alice <alice@ex"))
        self.assertIn(b"Content-Transfer-Encoding: 7bit\r\n\r\nhello\r\n", composed.octets)
        self.assertEqual((composed.reverse_path, composed.recipients), (ALICE.address, (BOB.address,)))
        self.assertEqual((composed.eight_bit, composed.smtputf8), (False, False))

    def test_bcc_is_sent_to_and_never_sent(self) -> None:
        composed = built(bcc=[CAROL, Mailbox("again", BOB.address)])
        self.assertEqual(composed.recipients, (BOB.address, CAROL.address))
        self.assertNotIn(b"carol", composed.octets.lower())
        self.assertNotIn(b"\r\nbcc", composed.octets.lower())

    def test_html_gets_its_text(self) -> None:
        octets = built(text=None, html="<p>Hi <b>you</b></p>").octets
        self.assertEqual(types(octets), ["multipart/alternative", "text/plain", "text/html"])
        self.assertEqual(parse(octets).parts[0].text()[0], "Hi you\n")

    def test_markdown_that_would_take_long_is_refused_with_its_length(self) -> None:
        with self.assertRaisesRegex(ComposeError, "300,000 characters; Markdown may have 200,000"):
            built(text=None, markdown="[" * 300_000)

    def test_markdown_becomes_a_text_part_and_an_html_part(self) -> None:
        octets = built(text=None, markdown="# Hi\n\n*you* <b>\n").octets
        text, html = parse(octets).parts
        self.assertEqual(text.text()[0], "# Hi\n\n*you* <b>\n")
        self.assertIn("<h1>Hi</h1>\n<p><em>you</em> &lt;b&gt;</p>", html.text()[0])

    def test_pictures_stand_with_the_html_and_files_apart(self) -> None:
        attachments = [Attachment("a.pdf", b"%PDF-", "application/pdf"), Attachment("b.png", PNG, "image/png", "b@x")]
        octets = built(html='<img src="cid:b@x">', attachments=attachments).octets
        self.assertEqual(
            types(octets),
            [
                *("multipart/mixed", "multipart/alternative", "text/plain"),
                *("multipart/related", "text/html", "image/png", "application/pdf"),
            ],
        )
        picture = next(part for part in parse(octets).walk() if part.content_id)
        self.assertEqual((picture.content_id, picture.decoded()[0], picture.disposition), ("b@x", PNG, "inline"))
        self.assertEqual(types(built(attachments=attachments).octets)[2:], ["application/pdf", "image/png"])

    def test_a_message_inside_travels_as_it_is_or_as_a_file(self) -> None:
        def inside(octets: bytes) -> Part:
            return parse(built(attachments=[Attachment("m.eml", octets, "message/rfc822")]).octets).parts[1]

        self.assertEqual(inside(b"Subject: x\n\nhi\n").raw, b"Subject: x\r\n\r\nhi\r\n")
        eight = built(attachments=[Attachment("m.eml", "Subject: ü\r\n\r\n".encode(), "message/rfc822")])
        self.assertTrue(eight.eight_bit)
        self.assertFalse(eight.smtputf8)
        for octets in (b"a: b\n\nx\rz", b"a: b\n\n" + b"x" * 999, b"a: b\n\n\x00"):
            part = inside(octets)
            self.assertEqual((part.content_type, part.decoded()[0]), ("application/octet-stream", octets))

    def test_types_that_cannot_be_written_are_octets(self) -> None:
        for content_type in ("no type", "multipart/mixed", "message/partial", "a/b\r\nBcc: x@y.z"):
            octets = built(attachments=[Attachment("a", b"x", content_type)]).octets
            self.assertEqual(types(octets)[2], "application/octet-stream")

    def test_a_message_without_sender_or_recipient_is_refused(self) -> None:
        self.assertRaises(ComposeError, built, sender=None)
        self.assertRaises(ComposeError, built, to=[])
        self.assertRaises(ComposeError, built, to=[Mailbox("", Address("a\r\nb", "x.y"))])
        self.assertRaises(ComposeError, built, to=[Mailbox("", Address("a", "x.y>\r\nBcc: <z@z"))])

    def test_no_field_can_be_broken_out_of(self) -> None:
        evil = "x\r\nBcc: evil@example.org\r\n\r\nbody\x00\u2028\x85\ud800"
        octets = built(
            subject=evil,
            to=[Mailbox(evil, BOB.address)],
            fields=[("X-Note", evil)],
            attachments=[Attachment(evil, b"", "text/plain")],
        ).octets
        names = [one.name for one in parse(octets).fields]
        self.assertEqual(
            names, ["Date", "From", "To", "Subject", "Message-ID", "X-Note", "MIME-Version", "Content-Type"]
        )
        self.assertNotIn(b"\nBcc", octets)
        for name in ("Bcc", "X\r\nBcc", "content-type", "X:", "", "Resent-Bcc"):
            self.assertRaises(ComposeError, built, fields=[(name, "x")])
        for ids in (["a>\r\nBcc: <x"], ["a b"], ["ü"], [""]):
            self.assertRaises(ComposeError, built, references=ids)

    def test_other_domains_go_in_a_labels_and_other_names_ask_for_smtputf8(self) -> None:
        composed = built(to=[Mailbox("Jörg", Address("j", "grüße.test"))])
        self.assertEqual((str(composed.recipients[0]), composed.smtputf8), ("j@xn--gre-6ka8l.test", False))
        composed = built(to=[Mailbox("Jörg", Address("jörg", "grüße.test"))])
        self.assertTrue(composed.smtputf8)
        self.assertIn("<jörg@xn--gre-6ka8l.test>".encode(), composed.octets)

    def test_the_standard_library_reads_the_same(self) -> None:
        octets = built(
            subject="Grüße " * 30,
            to=[Mailbox("Müller, Jörg", BOB.address), Mailbox('A "B" C', CAROL.address)] * 5,
            attachments=[Attachment("ä" * 60 + ".txt", b"x\n", "text/plain")],
        ).octets
        read = message_from_bytes(octets, policy=policy.default)
        self.assertEqual(read["subject"], ("Grüße " * 30).strip())
        self.assertEqual([one.display_name for one in read["to"].addresses[:2]], ["Müller, Jörg", 'A "B" C'])
        (attached,) = read.iter_attachments()
        self.assertEqual((attached.get_filename(), attached.get_content()), ("ä" * 60 + ".txt", "x\n"))
        self.assertLessEqual(max(map(len, octets.split(b"\r\n"))), 998)
        self.assertLessEqual(max(map(len, octets.split(b"\r\n\r\n")[0].split(b"\r\n"))), 80)


class Encoding(SynchronousTestCase):
    def test_the_content_chooses(self) -> None:
        for text, encoding in (
            ("plain\n", "7bit"),
            ("x" * 79, "quoted-printable"),
            ("Grüße aus dem Süden, und noch viele schöne Worte", "quoted-printable"),
            ("日本語のテキスト", "base64"),
            ("nul\0 and a few more words", "quoted-printable"),
            ("From here", "quoted-printable"),
        ):
            self.assertEqual(encode_text(text)[0], encoding, text)
        self.assertEqual(encode_text("From here")[1], b"=46rom here\r\n")
        self.assertEqual(encode_file(b"abc " * 9 + b"\n\r\n", "text/plain")[1], b"abc " * 9 + b"=0A=0D=0A")
        self.assertEqual(encode_file(b"abc", "image/png"), ("base64", b"YWJj\r\n"))
        self.assertEqual(encode_message(b"a: b\n"), ("7bit", b"a: b\r\n"))

    def test_long_words_and_odd_blanks_come_back(self) -> None:
        for text in ("x" * 2000, "a  b   c", "a " * 200, "=?utf-8?q?x?=", "é" * 500, ""):
            octets = header_fields.unstructured("Subject", text)
            self.assertEqual(parse(octets).decoded_of("subject"), text.strip())
            self.assertTrue(all(len(line) < 990 for line in octets.split(b"\r\n")))


class Answering(SynchronousTestCase):
    ORIGINAL = (
        b"From: Carol <carol@example.test>\r\nTo: alice@example.org, Bob <bob@example.test>\r\nCc: d@example.test\r\n"
        b"Subject: AW: Re: plan\r\nMessage-ID: <2@x>\r\nReferences: <1@x>\r\nDate: 1 Nov 2026 10:00:00 +0000\r\n\r\n"
        b"first\r\n> older\r\n\r\n-- \r\nCarol\r\n"
    )

    def test_a_reply_goes_to_the_author_in_the_same_conversation(self) -> None:
        draft = reply(self.ORIGINAL, ALICE)
        self.assertEqual((draft.to, draft.cc, draft.subject), ([CAROL], [], "Re: plan"))
        self.assertEqual((draft.in_reply_to, draft.references), ("2@x", ["1@x", "2@x"]))
        self.assertEqual(draft.text, "On 2026-11-01 10:00 UTC, Carol wrote:\n> first\n>> older\n\n")
        root = parse(build(draft, NOW).octets)
        self.assertEqual((root.text_of("in-reply-to"), root.text_of("references")), ("<2@x>", "<1@x> <2@x>"))

    def test_an_address_in_in_reply_to_is_no_reference(self) -> None:
        for field in (b"In-Reply-To", b"References"):
            original = self.ORIGINAL.replace(b"References: <1@x>", field + b": <bob@example.test>")
            self.assertEqual(reply(original, ALICE).references, ["2@x"])

    def test_a_reply_to_all_leaves_oneself_out(self) -> None:
        owner = Account("alice", ALICE.address, aliases=(Address("d", "example.test"),))
        draft = reply(self.ORIGINAL, ALICE, owner.owns, reply_to=ReplyTo.ALL)
        self.assertEqual((draft.to, [str(one) for one in draft.cc]), ([CAROL], ["Bob <bob@example.test>"]))

    def test_reply_to_is_obeyed_and_ones_own_mail_goes_on(self) -> None:
        self.assertEqual(reply(b"Reply-To: list@x.test\r\n" + self.ORIGINAL, ALICE).to[0].address.local, "list")
        own = reply(self.ORIGINAL, CAROL)
        self.assertEqual([one.address.local for one in own.to], ["alice", "bob"])

    def test_messages_without_anything_can_be_answered(self) -> None:
        draft = reply(b"", ALICE)
        self.assertEqual((draft.to, draft.subject, draft.in_reply_to, draft.references), ([], "Re: ", None, []))
        self.assertEqual(quote("a\n\nb"), "> a\n>\n> b")
        many = " ".join(f"<{number}@x>" for number in range(200)).encode()
        chain = reply(b"References: " + many + b"\r\nMessage-ID: <new@x>\r\n\r\n", ALICE).references
        self.assertEqual((len(chain), chain[0], chain[-1]), (50, "0@x", "new@x"))

    def test_a_message_is_forwarded_as_an_attachment(self) -> None:
        draft = forward(self.ORIGINAL, ALICE)
        draft.to = [BOB]
        part = parse(build(draft, NOW).octets).parts[1]
        self.assertEqual(
            (part.content_type, part.raw, part.name), ("message/rfc822", self.ORIGINAL, "AW_ Re_ plan.eml")
        )
        self.assertEqual(draft.subject, "Fwd: AW: Re: plan")

    def test_a_message_is_forwarded_within_the_text(self) -> None:
        original = built(attachments=[Attachment("b.png", PNG, "image/png")], subject="Fwd: x").octets
        draft = forward(original, BOB, inline=True)
        self.assertEqual((draft.subject, draft.attachments[0].octets), ("Fwd: x", PNG))
        assert draft.text is not None
        self.assertIn("Forwarded message ----------\nFrom: Alice <alice@example.org>\nDate:", draft.text)
        self.assertTrue(draft.text.endswith("\n\nhello\n"))

    def test_quoted_and_forwarded_text_has_no_terminal_controls(self) -> None:
        octets = (
            "Subject: a\x1b]0;b\x07\u202ec\r\nFrom: \x1bx@y.org\r\nTo: z\u202e <z@y.org>\r\n\r\none\x1b[31m\x9btwo\r\n"
        )
        for draft in (reply(octets.encode(), ALICE), forward(octets.encode(), ALICE, inline=True)):
            written = f"{draft.subject} {draft.text}"
            self.assertEqual(set(written) & set("\x1b\x07\x9b\u202e"), set(), written)
            self.assertIn("one\u241b[31m\ufffdtwo", written)


class Links(SynchronousTestCase):
    def test_a_link_is_a_draft(self) -> None:
        """The examples of RFC 6068 §6 become drafts."""
        draft = draft_of_link(
            "mailto:a@b.test,c%2Bd@e.test?cc=x@y.test&subject=caf%C3%A9+1&body=one%0D%0Atwo&to=z@z.test"
        )
        self.assertEqual(
            [str(one) for one in (*draft.to, *draft.cc)], ["a@b.test", "c+d@e.test", "z@z.test", "x@y.test"]
        )
        self.assertEqual((draft.subject, draft.text), ("café+1", "one\ntwo"))

    def test_a_link_attaches_nothing_and_sets_no_other_field(self) -> None:
        draft = draft_of_link(
            "mailto:?subject=a%0d%0aBcc:x&attach=/etc/passwd&from=a@b.c&in-reply-to=%3Ca@b%3E&bcc=q@q.test"
        )
        self.assertEqual((draft.attachments, draft.sender, draft.fields), ([], None, []))
        self.assertEqual((draft.subject, draft.in_reply_to, str(draft.bcc[0])), ("a Bcc:x", "a@b", "q@q.test"))

    def test_a_link_other_than_mailto_is_refused(self) -> None:
        for link in ("http://x", "mailto", "mailto:nobody"):
            self.assertRaises(ComposeError, draft_of_link, link)


class InTheEditor(SynchronousTestCase):
    def test_unchanged_fields_of_a_draft_are_preserved(self) -> None:
        draft = written(
            cc=[CAROL], bcc=[CAROL], reply_to=[ALICE], references=["1@x"], fields=[("X-A", "b")],
            attachments=[Attachment("a b.png", PNG, "image/png", "c@x")],
        )  # fmt: skip
        self.assertEqual(from_text(to_text(draft), draft, Path()), draft)
        for named in ({"text": None, "markdown": "*x*\n\ny"}, {"text": None, "html": "<p>"}):
            draft = written(**named)
            self.assertEqual(from_text(to_text(draft), draft, Path()), draft)

    def test_changed_fields_of_a_draft_are_used(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "a.txt").write_bytes(b"x")
        draft = written(attachments=[Attachment("old", b"")])
        text = (
            "To: Carol <carol@example.test>,\r\n  bob@example.test\r\nattach: a.txt\r\nAttach:\r\nX-B: c\r\n\r\nhi\r\n"
        )
        edited = from_text(text, draft, folder)
        self.assertEqual((edited.to, edited.sender, edited.fields), ([CAROL, BOB], None, [("X-B", "c")]))
        self.assertEqual(([one.name for one in edited.attachments], edited.text), (["a.txt"], "hi\n"))
        self.assertEqual(from_text("\nbody", draft, folder).text, "body")

    def test_a_line_that_is_not_understood_is_reported(self) -> None:
        for text in (
            "Hello\n\n",
            "To: x\n\n",
            "Attach: #2\n\n",
            "Attach: nothing\n\n",
            "Format: word\n\n",
            "Date: x\n\n",
        ):
            self.assertRaises(ComposeError, from_text, text, written(), Path(self.mktemp()))


class Overlooked(SynchronousTestCase):
    def test_a_forgotten_attachment_is_noticed(self) -> None:
        for text in ("See the attached file", "Im Anhang die Rechnung", "请看附件", "Voir la pièce jointe"):
            self.assertEqual(len(warnings(written(text=text))), 1, text)
        self.assertEqual(len(warnings(written(text=None, html="<p>attached"))), 1)

    def test_quoted_words_and_real_attachments_cause_no_warning(self) -> None:
        self.assertEqual(warnings(written(text="ok\n> see the attachment\n-- \nattached to you")), [])
        self.assertEqual(warnings(written(text="attached", attachments=[Attachment("a", b"")])), [])
        self.assertEqual(len(warnings(written(text=" ", subject=""))), 2)


class Ready(SynchronousTestCase):
    def test_a_pipe_names_its_recipients(self) -> None:
        """`sendmail -t` takes the recipients from the header."""
        composed = complete_message(
            b"To: a@x.test\nBcc: b@x.test,\n c@x.test\nSubject: hi\n\nhello\nBcc: stays", ALICE, NOW, from_header=True
        )
        self.assertEqual([str(one) for one in composed.recipients], ["a@x.test", "b@x.test", "c@x.test"])
        head, _, body = composed.octets.partition(b"\r\n\r\n")
        self.assertTrue(head.endswith(b"From: Alice <alice@example.org>\r\nTo: a@x.test\r\nSubject: hi"), head)
        self.assertEqual(body, b"hello\r\nBcc: stays\r\n")
        self.assertIn(b"Message-ID: <" + composed.message_id.encode(), head)

    def test_existing_header_fields_are_preserved(self) -> None:
        octets = b"From: c@x.test\r\nDate: x\r\nMessage-ID: <1@x>\r\n\r\nhi\r\n"
        composed = complete_message(octets, ALICE, NOW, [BOB.address], reverse_path=Address("r", "x.test"))
        self.assertEqual((composed.octets, composed.message_id), (octets, "1@x"))
        self.assertEqual((str(composed.reverse_path), composed.recipients), ("r@x.test", (BOB.address,)))
        self.assertEqual(str(complete_message(octets, ALICE, NOW, [BOB.address]).reverse_path), "c@x.test")

    def test_text_without_a_header_gets_one(self) -> None:
        for octets in (b"just text", b"", b"Subject: x", b"Subject: x\ntext"):
            root = parse(complete_message(octets, ALICE, NOW, [BOB.address]).octets)
            self.assertEqual(root.text_of("from"), "Alice <alice@example.org>")
            self.assertEqual(root.defects, [])

    def test_a_message_without_author_or_recipient_is_refused(self) -> None:
        self.assertRaises(ComposeError, complete_message, b"To: a@x.test\n\n", ALICE, NOW)
        self.assertRaises(ComposeError, complete_message, b"To: nobody\n\n", ALICE, NOW, from_header=True)


class Drafts(ArchiveCase):
    def test_a_draft_comes_back_as_it_was_left(self) -> None:
        draft = written(
            text=None, markdown="*hi* ü\n", bcc=[CAROL], in_reply_to="1@x", references=["1@x"],
            attachments=[Attachment("ä.png", PNG, "image/png")],
        )  # fmt: skip
        key = save_draft(self.archive, ME, draft, NOW)
        self.assertEqual(open_draft(self.archive, key), draft)
        draft.markdown = "changed\n"
        self.assertEqual(save_draft(self.archive, ME, draft, NOW, key), key)
        self.archive.rebuild()
        self.assertEqual(open_draft(self.archive, key), draft)
        self.assertEqual(len(self.archive.list(self.archive.get(key).folder)), 1)

    def test_a_long_list_of_recipients_comes_back_whole(self) -> None:
        """Of a stranger's message, only the beginning of such a list is read."""
        people = [Mailbox(f"Person {number}", Address(f"person{number}", "example.org")) for number in range(2_500)]
        octets = draft_octets(Draft(ALICE, [BOB], bcc=people, subject="All", text="x"), NOW)
        self.assertEqual(draft_of(octets, is_draft=True).bcc, people)
        self.assertLess(len(draft_of(octets).bcc), len(people))

    def test_an_empty_draft_and_a_strangers_message_open(self) -> None:
        self.assertEqual(draft_of(draft_octets(Draft(html="<p>x</p>\n"), NOW)), Draft(html="<p>x</p>\n"))
        self.assertEqual(draft_of(b"To: x, a@b.test\r\n\r\nx").to, parse_mailboxes("a@b.test"))
        nested = b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n"
        self.assertEqual(draft_of(nested).attachments[0].name, "message.eml")
        self.assertEqual(len(self.archive.list(IN)), 0)

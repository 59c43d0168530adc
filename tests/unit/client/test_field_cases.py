"""Messages that other mail programs wrote, and that were once shown wrongly: each with its right value and neighbours.

The files of `tests/data/cases` come from field reports. Each table has the file, then inputs of the same class.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.archive.index_entry import IndexFields, index_fields, spaced
from emailsys.client.archive.values import AS_TYPED
from emailsys.client.compose.answer import ReplyTo, reply
from emailsys.client.compose.warnings import warnings
from emailsys.client.display.message import attachments, view
from emailsys.mail.address import parse as parse_address
from emailsys.mail.message.mailboxes import Mailbox
from emailsys.mail.message.mime import parse

CASES: Final = Path(__file__).resolve().parents[2] / "data" / "cases"
ARRIVED: Final = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
BOB: Final = Mailbox("Bob", parse_address("bob@example.org"))
LATER: Final = "From: ann@example.net\r\nDate: Mon, 2 Feb 2026 10:00:00 +0000\r\n"


def case(name: str) -> bytes:
    """The octets of a case."""
    return (CASES / name).read_bytes()


def message(head: str, body: bytes | str = b"hi\r\n") -> bytes:
    """A message with a few fields and a body."""
    return (LATER + head + "\r\n\r\n").encode() + (body if isinstance(body, bytes) else body.encode())


def multipart(kind: str, *parts: str) -> bytes:
    """A multipart of parts, each with its header section."""
    inner = "".join(f"--b\r\n{part}\r\n" for part in parts)
    return message(f"Content-Type: multipart/{kind}; boundary=b", f"{inner}--b--\r\n")


def facts(octets: bytes) -> IndexFields:
    """What the index knows about a message."""
    return index_fields(octets, ARRIVED)


class Drafts(SynchronousTestCase):
    def test_recipients_that_are_no_addresses_yet_are_in_the_list(self) -> None:
        for typed, shown in (
            (("To:bob",), "bob"),
            (("Cc:team", "Attach:x.pdf", ":hello"), "team"),
            (("To:ann", "Bcc:=?utf-8?q?j=C3=BCrg?="), "ann, jürg"),
        ):
            head = "".join(f"\r\n{AS_TYPED}: {one}" for one in typed)
            self.assertEqual(facts(message("Subject: x" + head)).recipients, shown)


class Bodies(SynchronousTestCase):
    def assert_bodies(self, expected: Iterable[tuple[bytes, str]]) -> None:
        for octets, body in expected:
            self.assertEqual(view(octets).body, body, octets)
            # What is shown can be found.
            self.assertIn(" ".join(body.split()[:3]), " ".join(facts(octets).body_words.split()), octets)

    def test_a_blank_alternative_gives_way_to_one_with_text(self) -> None:
        """Programs that write only HTML add an empty plain part."""
        html = "Content-Type: text/html\r\n\r\n<p>Your bill</p>"
        self.assert_bodies(
            [
                (case("alternative-empty-plain.eml"), "Your bill of 12 May is due."),
                (multipart("alternative", "\r\n\u00a0\u200b\r\n", html), "Your bill"),
                (multipart("alternative", html, "Content-Type: text/plain\r\n\r\n\r\n"), "Your bill"),
                (multipart("alternative", "\r\nplain", "Content-Type: text/html\r\n\r\n<p>&nbsp;</p>"), "plain"),
                (
                    multipart("alternative", "\r\n ", html, "Content-Type: text/html\r\n\r\n<style>p {}</style><p>"),
                    "Your bill",
                ),
            ]
        )

    def test_a_multipart_without_parts_is_text(self) -> None:
        """A mailing list may lose the boundary, or the whole parameter. The text is still there."""
        self.assert_bodies(
            [
                (case("multipart-without-parts.eml"), "The list software lost the parts, this text stayed."),
                (case("multipart-no-boundary-parameter.eml"), "This text is here."),
                (message("Content-Type: multipart/alternative; boundary=", "alone"), "alone"),
                (multipart("mixed", "Content-Type: multipart/mixed; boundary=lost\r\n\r\nwithin"), "within"),
                (message(f"Content-Type: multipart/mixed; boundary={'x' * 200}", "--y\r\n\r\nlong"), "--y\n\nlong"),
            ]
        )

    def test_a_boundary_that_is_stated_wrongly_is_guessed(self) -> None:
        body = (
            "--=_real\r\nContent-Type: text/plain\r\n\r\none\r\n--=_real\r\nContent-Type: text/html\r\n\r\n<p>two\r\n"
        )
        for stated in ("", "; boundary=other", "; boundary='=_real'", '; boundary="=_REAL"'):
            shown = view(message(f"Content-Type: multipart/mixed{stated}", f"preamble\r\n{body}--=_real--\r\n"))
            self.assertEqual(shown.body, "one\n\ntwo", stated)
            self.assertIn("part 1: its boundary was guessed from the text", shown.defects)

    def test_text_with_a_name_is_shown_and_listed(self) -> None:
        """RFC 2183 §2.1: inline parts are shown. A name does not make the whole message an attachment."""
        for octets, body, files in (
            (case("body-part-with-name.eml"), "This is the whole text of the message.", ["message.txt"]),
            (case("text-attachment-with-content-id.eml"), "the text\n\na,b\n1,2", ["data.csv"]),
            (multipart("mixed", "\r\none", "Content-Type: text/plain; name=a.txt\r\n\r\ntwo"), "one\n\ntwo", ["a.txt"]),
            (multipart("mixed", "\r\none", "Content-Type: text/x-log; name=a.log\r\n\r\ntwo"), "one", ["a.log"]),
            (
                multipart("mixed", "\r\none", "Content-Disposition: attachment; filename=a.txt\r\n\r\ntwo"),
                "one",
                ["a.txt"],
            ),
            (message("Content-Type: text/html; name=a.html", "<p>hi"), "hi", ["a.html"]),
            (message("Content-Disposition: attachment; filename=a.txt", "alone"), "alone", ["a.txt"]),
        ):
            shown = view(octets)
            self.assertEqual((shown.body, [one.name for one in shown.attachments]), (body, files), octets)
            self.assertEqual(facts(octets).attachments, len(files))

    def test_an_invitation_among_alternatives_is_a_file(self) -> None:
        """What no text says in another form is never left out."""
        calendar = "Content-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR"
        pdf = "Content-Type: application/pdf; name=a.pdf\r\n\r\n%PDF"
        html = "Content-Type: text/html\r\n\r\n<p>rich"
        nested = f"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n{html}\r\n--c\r\n{pdf}\r\n--c--"
        for octets, numbers in (
            (case("calendar-in-alternative.eml"), ["1.2"]),
            (multipart("alternative", "\r\nplain", html, calendar), ["1.3"]),
            (multipart("alternative", "\r\nplain", nested), ["1.2.2"]),
            (multipart("mixed", "\r\nplain", calendar), ["1.2"]),
            (multipart("alternative", "\r\nplain", pdf), ["1.2"]),
            (message("Content-Type: text/calendar", "BEGIN:VCALENDAR"), ["1"]),
        ):
            self.assertEqual([one.number for one in attachments(octets)], numbers, octets)
            self.assertEqual(facts(octets).attachments, 1)

    def test_a_text_below_base64_is_shown_as_it_is(self) -> None:
        """A mailing list appends its footer to whatever the message is."""
        base64 = "R3LDvMOfZSBhbiBhbGxlLCBiaXMgYmFsZCE="
        even = "R3LDvMOfZSBhbiBhbGxlIQ=="
        whole = "aGVsbG8gd29ybGQh"
        head = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64"
        line = "_" * 47
        self.assert_bodies(
            [
                (
                    case("base64-with-list-footer.eml"),
                    f"Grüße an alle, bis bald!\n\n{line}\nlist mailing list\nlist@lists.example",
                ),
                (message(head, f"{even}\r\n-- \r\nUnsubscribe here"), "Grüße an alle!\n\n-- \nUnsubscribe here"),
                (message(head, f"{whole}\r\n\r\nPosted to the list"), "hello world!\n\nPosted to the list"),
                (message(head, f"{whole}\r\n\r\n{whole}"), "hello world!hello world!"),
                (message(head, f"{base64}\r\n\r\n"), "Grüße an alle, bis bald!"),
            ]
        )
        attached = message("Content-Type: a/b\r\nContent-Transfer-Encoding: base64", f"QUJD\r\n\r\n{line}\r\nthe list")
        self.assertEqual(attachments(attached)[0].content(), b"ABC")

    def test_flowed_paragraphs_are_joined(self) -> None:
        """RFC 3676 §4."""
        flowed = "Content-Type: text/plain; format=flowed"
        self.assert_bodies(
            [
                (
                    case("flowed-delsp.eml"),
                    "This is a paragraph that the sender's program has broken: https://example.com/a-b-c-d",
                ),
                (message(flowed, "one \r\ntwo\r\nthree"), "one two\nthree"),
                (message(flowed, "> one \r\n> two\r\n>> a \r\n>> b\r\nend"), "> one two\n>> a b\nend"),
                (message(flowed, " >no quote\r\n From here"), ">no quote\nFrom here"),
                (message(flowed, "bye \r\n-- \r\nAnn"), "bye \n-- \nAnn"),
                (message("Content-Type: text/plain", "one \r\ntwo"), "one \ntwo"),
            ]
        )

    def test_a_message_inside_is_shown_below_the_text_if_nothing_says_that_it_is_a_file(self) -> None:
        inner = "Content-Type: message/rfc822\r\n%s\r\nFrom: zoe@example.com\r\nSubject: before\r\n\r\nolder text"
        shown = view(multipart("mixed", "\r\nnewer", inner % ""))
        head = "---------- Part 1.2: a message ----------\nFrom: zoe@example.com\nSubject: before"
        self.assertEqual(shown.body, f"newer\n\n{head}\n\nolder text")
        declared = multipart("mixed", "\r\nnewer", inner % "Content-Disposition: attachment\r\n")
        self.assertEqual(view(declared).body, "newer")
        for octets in (declared, multipart("mixed", "\r\nnewer", inner % "")):
            self.assertEqual([one.name for one in attachments(octets)], ["part-1.2.eml"])
            self.assertNotIn("older text", reply(octets, BOB).text or "")
        alone = multipart("mixed", "\r\n", inner % "Content-Disposition: attachment\r\n")
        self.assertEqual(view(alone).body, "older text")
        self.assertIn("part 1.2.1 is shown instead", " ".join(view(alone).defects))


class Fields(SynchronousTestCase):
    def assert_subjects(self, expected: Iterable[tuple[bytes, str]]) -> None:
        for octets, subject in expected:
            self.assertEqual(parse(octets).decoded_of("subject"), subject, octets)
            self.assertEqual(facts(octets).subject, subject, octets)

    def test_a_question_mark_in_an_encoded_word_is_text(self) -> None:
        """RFC 2047 §4.2 wants it encoded; programs of large vendors leave it."""
        self.assert_subjects(
            [
                (case("q-word-question-mark.eml"), "Grüße, wie geht's?"),
                (message("Subject: =?utf-8?Q?really=3F?_yes?="), "really?? yes"),
                (message("Subject: =?utf-8?q?a??= =?utf-8?q?b?="), "a?b"),
                (message("Subject: =?utf-8?q?a?==?utf-8?q?b?="), "ab"),
                (message("Subject: =?utf-8?q?lost =?utf-8?q?b?="), "=?utf-8?q?lost b"),
            ]
        )

    def test_a_raw_header_is_read_by_the_charset_of_the_text(self) -> None:
        greek = "Καλημέρα σε όλους"
        named = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=%s\r\n\r\nx"
        head = LATER.encode() + b"Subject: "
        self.assert_subjects(
            [
                (case("raw-gbk-subject.eml"), "测试邮件"),
                (head + greek.encode("cp1253") + f"\r\n{named % 'windows-1253'}".encode(), greek),
                (head + "Привет".encode("koi8-r") + b"\r\nContent-Type: text/plain; charset=koi8-r\r\n\r\nx", "Привет"),
                (head + "会議の資料".encode("cp932") + b"\r\n\r\nx", "会議の資料"),
                (head + "Grüße".encode("cp1252") + b"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nx", "Grüße"),
            ]
        )
        name = head + b'x\r\nContent-Type: a/b; name="' + "报告.pdf".encode("gbk") + b'"\r\n\r\nx'
        self.assertEqual(attachments(name)[0].name, "报告.pdf")
        defects = " ".join(view(case("raw-gbk-subject.eml")).defects)
        self.assertIn("read as gb2312, the charset of the text", defects)
        self.assertIn(
            "charset guessed: shift_jis", " ".join(view(head + "会議の".encode("cp932") + b"\r\n\r\nx").defects)
        )

    def test_japanese_of_vendors_is_read(self) -> None:
        """The WHATWG table: ISO-2022-JP has row 13 and half-width kana."""
        octets = case("iso-2022-jp-row13.eml")
        self.assert_subjects([(octets, "①会議 ㈱山田 Ⅱ期")])
        self.assertEqual(view(octets).body, "①会議 ㈱山田 髙橋\nよろしく\nｶﾅｶ")
        self.assertEqual(view(octets).defects, ())

    def test_file_names_keep_their_parentheses(self) -> None:
        """Without quotes they look like comments (RFC 822 §3.4.3), which no program writes there."""
        disposition = "Content-Type: a/b\r\nContent-Disposition: attachment; filename="
        for octets, name in (
            (case("filename-parentheses.eml"), "report(1).pdf"),
            (message(f"{disposition}report (final).pdf"), "report (final).pdf"),
            (message(f"{disposition}(1).pdf; size=3"), "(1).pdf"),
            (message(f'{disposition}"a(1).pdf"'), "a(1).pdf"),
            (message(f"{disposition}a.pdf (the report)"), "a.pdf"),
        ):
            self.assertEqual([one.name for one in attachments(octets)], [name], octets)

    def test_file_names_are_found_as_they_are_typed(self) -> None:
        """macOS decomposes names. NFC in the index and in the query."""
        self.assertEqual(facts(case("filename-nfd-korean.eml")).attachment_words, spaced("보고서.pdf"))
        for name in ("résumé.pdf", "Größe.pdf", "が.pdf"):
            decomposed = "".join(f"%{octet:02X}" for octet in _decomposed(name).encode())
            octets = message(f"Content-Type: a/b\r\nContent-Disposition: attachment; filename*=utf-8''{decomposed}")
            self.assertEqual(facts(octets).attachment_words, spaced(name))
            self.assertEqual(spaced(_decomposed(name)), spaced(name))

    def test_a_type_without_a_semicolon_is_read(self) -> None:
        for octets, body in (
            (case("content-type-missing-semicolon.eml"), "Hello x"),
            (message("Content-Type: text/html, charset=utf-8", "<b>ü"), "ü"),
            (message("Content-Type: text/html  charset=iso-8859-1; x=y", b"<b>\xfc"), "ü"),
            (message("Content-Type: text/html;charset=utf-8", "<b>ü"), "ü"),
        ):
            self.assertEqual(view(octets).body, body, octets)
        self.assertIn("lacks a semicolon", " ".join(view(case("content-type-missing-semicolon.eml")).defects))
        octets = message("Content-Type: a/b\r\nContent-Disposition: attachment filename=a.pdf")
        self.assertEqual(attachments(octets)[0].name, "a.pdf")

    def test_a_document_names_its_charset_if_its_part_does_not(self) -> None:
        """HTML standard §13.2.3.2."""
        html = "Content-Type: text/html"
        for octets, body in (
            (message(html, '<meta charset="windows-1251"><p>Привет'.encode("cp1251")), "Привет"),
            (message(html, b"<META content='text/html; charset=koi8-r' http-equiv=content-type>\xf0"), "П"),
            (message(html, b"<!-- <meta charset=koi8-r> --><meta charset=utf-16><p>\xc3\xbc"), "ü"),
            (message(f"{html}; charset=utf-8", "<meta charset=koi8-r><p>ü"), "ü"),
            (message(html, b"\xef\xbb\xbf<meta charset=koi8-r><p>\xc3\xbc"), "ü"),
        ):
            self.assertEqual(view(octets).body, body, octets)

    def test_damage_of_an_attachment_is_reported(self) -> None:
        head = "Content-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64"
        shown = view(multipart("mixed", "\r\nhi", f"{head}\r\n\r\nQUJD\r\n\r\n!QUJD\r\nQUJD\r\n"))
        self.assertEqual(shown.attachments[0].octets, 9)
        told = [one for one in shown.defects if "base64" in one]
        self.assertEqual(told, ["part 1.2: 1 octet outside the base64 alphabet"])

    def test_dates_are_read_as_people_write_them(self) -> None:
        noon = datetime(2026, 2, 2, 12, 0, tzinfo=UTC)
        for octets, date in (
            (case("date-0.eml"), datetime(2026, 2, 2, 10, 0, tzinfo=UTC)),
            (case("date-1.eml"), datetime(2026, 2, 2, 4, 30, tzinfo=UTC)),
            (b"Date: 2026-02-02 13:00:00.123+0100\r\n\r\n", noon),
            (b"Date: Mon, 2 Feb 2026 11:59:60 +0000\r\n\r\n", noon),
            (b"Date: Mon, 2 Feb 2026 24:00:00 +1200\r\n\r\n", noon),
            (b"Date: Mon, 2 Feb 2026 14:00:00 CEST\r\n\r\n", noon),
            (b"Date: Mon, 2 Feb 2026 14:00:00 GMT+02:00\r\n\r\n", noon),
            (b"Date: Monday, February 2, 2026 12:00 PM\r\n\r\n", noon),
            *(
                (f"Date: {text}\r\n\r\n".encode(), noon)
                for text in (
                    *("2026-02-02 08:00:00 PM +0800", "2026-02-02 07:00:00 EST", "2026-02-02 14:00:00 CEST"),
                    *("2026-02-02 14:00 GMT+2", "2026-02-02T12:00Z", "2026-02-02 17:30:00 +05:30:00"),
                    *("Mon, 2 Feb 2026 14:00:00 GMT+2", "Mon, 2 Feb 2026 14:00:00 UTC+2"),
                    *("Mon, 2 Feb 2026 14:00:00 cest", "Mon, 2 Feb 2026 13:00:00 +1", "Mon, 2 Feb 2026 17:30 +530"),
                    *("Mon, 2 Feb 2026 17:30:00 +05:30:00", "Mon Feb  2 13:00:00 CET 2026"),
                )
            ),
            (b"Received: by a; Mon, 2 Feb 2026 12:00:00 +0000\r\nReceived: by b; 1 Feb 2026 1:00 +0000\r\n\r\n", noon),
            (b"Date: soon\r\nReceived: from x; by y; Mon, 2 Feb 2026 13:00:00 +0100 (CET)\r\n\r\n", noon),
            (b"Date: Mon, 2 Feb 2126 12:00:00 +0000\r\nReceived: a; 2 Feb 2026 12:00:00 +0000\r\n\r\n", noon),
            (b"Date: Mon, 2 Feb 2026 25:00:00 +0000\r\n\r\n", ARRIVED),
        ):
            self.assertEqual(facts(octets).date, date, octets)


class Conversations(SynchronousTestCase):
    def test_people_whom_prose_names_are_no_messages(self) -> None:
        """RFC 822 §4.6.9 allowed a phrase in In-Reply-To. Two strangers would share the thread of bob's address."""
        for octets, ids in (
            (case("in-reply-to-address-1.eml"), ("q1@example.org",)),
            (case("in-reply-to-address-2.eml"), ("q2@example.org",)),
            (message("In-Reply-To: <a@x> from Bob <bob@example.org>"), ("a@x",)),
            (message('In-Reply-To: Your message of "Mon, 2 Feb 2026" <a@x>'), ("a@x",)),
            (message("In-Reply-To: Bob Example <bob@example.org> wrote on Monday"), ()),
            (message("To: bob@example.org\r\nIn-Reply-To: Bob's mail <bob@example.org>"), ()),
            (message("To: bob@example.org\r\nIn-Reply-To: <bob@example.org>"), ()),
            (message("To: bob@example.org\r\nReferences: <a@x> <Bob@example.org>"), ("a@x",)),
            (message("In-Reply-To: In reply to <id@host> of Monday"), ("id@host",)),
            (message("References: <a@x> <b@x>\r\nIn-Reply-To: <b@x>"), ("a@x", "b@x")),
        ):
            self.assertEqual(facts(octets).references, ids, octets)

    def test_ids_without_brackets_are_ids(self) -> None:
        first, second = (case(f"message-id-without-brackets{number}.eml") for number in ("", "-2"))
        self.assertEqual(facts(first).message_id, "abc1@example.net")
        self.assertEqual(facts(second).references, ("abc1@example.net",))
        self.assertEqual(reply(first, BOB).in_reply_to, "abc1@example.net")
        for field, own, references in (
            ("Message-ID: <abc1@example.net", "abc1@example.net", ()),
            ("Message-ID: abc", "abc", ()),
            ("References: a@x b@x", "", ("a@x", "b@x")),
            ("References: <long.\r\n id@x>", "", ("long.id@x",)),
            ("In-Reply-To: see my mail to bob@example.org", "", ()),
            ("Message-ID: two words", "", ()),
        ):
            found = facts(message(field))
            self.assertEqual((found.message_id, found.references), (own, references), field)


class Addresses(SynchronousTestCase):
    def test_addresses_that_only_the_world_uses_are_answered(self) -> None:
        """A quoted local part is how RFC 5321 writes them."""
        self.assertEqual(
            [str(one.address) for one in reply(case("address-consecutive-dots.eml"), BOB).to],
            ['"ann..b."@docomo.example'],
        )

    def test_an_invalid_address_is_reported_and_never_dropped_silently(self) -> None:
        for field, lost in (
            ("To: bob@example.org, Carol <carol at example.com>", ["Carol <carol at example.com>"]),
            ("Cc: <>, dave", ["<>", "dave"]),
            ("Cc: a@@b.example", ["a@@b.example"]),
            ("To: undisclosed-recipients:;", []),
            ("To: friends: c@example.com, d@example.com;", []),
        ):
            octets = message(field)
            draft = reply(octets, BOB, reply_to=ReplyTo.ALL)
            self.assertEqual([one.strip() for one in draft.unusable], lost, field)
            said = [one for one in warnings(draft) if "no usable address" in one]
            self.assertEqual(len(said), len(lost), said)
            self.assertEqual(len([one for one in view(octets).defects if "no usable address" in one]), len(lost))
        self.assertEqual(reply(message("Cc: dave"), BOB).unusable, [])

    def test_ones_own_address_with_a_tag_gets_no_copy(self) -> None:
        octets = case("reply-all-own-plus.eml")
        draft = reply(octets, BOB, lambda address: address.local.partition("+")[0] == "bob", reply_to=ReplyTo.ALL)
        self.assertEqual([str(one.address) for one in draft.cc], ["carol@example.com"])


def _decomposed(text: str) -> str:
    import unicodedata

    return unicodedata.normalize("NFD", text)

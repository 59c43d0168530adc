"""A message can be read on a terminal and its attachments saved, without any other effect."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.display.message import (
    all_headers,
    attachments,
    find_part,
    raw,
    safe_structure,
    save_attachment,
    view,
    view_part,
)
from emailsys.client.text.file_names import numbered, safe_name
from emailsys.client.text.terminal import safe_line, safe_text

WHOLE: Final = (
    b"From: =?utf-8?q?Al=1B[2Jice?= <a@b.test>\r\nDate: 1 Nov 2026 10:00:00 +0000\r\n"
    b"Subject: x\x1b]0;evil\x07\r\n\ty\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\nplain \x1b[31mred\r\n"
    b"--c\r\nContent-Type: text/html\r\n\r\n<p>rich &#27;[31m\r\n--c--\r\n"
    b'--b\r\nContent-Type: a/b; name="../../.bash\x1brc"\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\n'
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\nContent-Type: a/b\r\n\r\nfile\r\n"
    b"--b\r\nContent-Type: image/png\r\nContent-ID: <p>\r\n\r\npng\r\n--b--\r\n"
)


class Showing(SynchronousTestCase):
    def test_no_escape_sequence_reaches_the_terminal(self) -> None:
        shown = view(WHOLE)
        self.assertEqual(shown.headers[0], ("From", "Al\u241b[2Jice <a@b.test>"))
        self.assertEqual(shown.headers[2], ("Subject", "x\u241b]0;evil\u2407 y"))
        inside = "---------- Part 1.3: a message ----------\nSubject: in\n\n---------- Files of part 1.3 ----------\n"
        self.assertEqual(shown.body, f"plain \u241b[31mred\n\n{inside}Part 1.3.1: a/b")
        self.assertEqual(view(WHOLE, html=True).body, f"rich \u241b[31m\n\n{inside}Part 1.3.1: a/b")
        for text in (
            raw(WHOLE),
            *(value for _, value in all_headers(WHOLE)),
            *(row.name for row in safe_structure(WHOLE)),
        ):
            self.assertNotIn("\x1b", text)

    def test_characters_that_hide_or_reorder_text_are_removed(self) -> None:
        self.assertEqual(safe_text("a\u202egpj.exe\u200b\ufeff\x9b1m\x7f\r\nb\tc"), "agpj.exe\ufffd1m\u2421\nb\tc")
        self.assertEqual(safe_text("Z" + "\u0300" * 50), "Z" + "\u0300" * 4)
        # Terminals disagree on the width of joined emoji. Persian letters keep their joiner.
        self.assertEqual(safe_text("\U0001f468\u200d\U0001f469 \u0645\u200d"), "\U0001f468\U0001f469 \u0645\u200d")
        self.assertEqual(safe_line("a\r\nb\tc\u2028d"), "a  b c d")
        self.assertEqual(safe_text("\ud800"), "\ufffd")

    def test_defects_are_reported(self) -> None:
        shown = view(b"Content-Type: text/plain; charset=klingon\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJDR\r\n")
        self.assertEqual(shown.body, "ABC")
        self.assertEqual(len(shown.defects), 4)
        self.assertIn("klingon", " ".join(shown.defects))
        many = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\nContent-Type: x\r\n\r\n" * 99
        self.assertIn("more", view(many).defects[-1])

    def test_a_message_of_html_alone_is_read_as_text(self) -> None:
        self.assertEqual(view(b"Content-Type: text/html\r\n\r\n<b>Hi</b>").body, "Hi")
        self.assertEqual(view(b"just text\r\n", html=True).body, "just text")

    def test_of_alternatives_without_plain_text_the_last_that_can_be_shown_is(self) -> None:
        """RFC 2046 §5.1.4: the last alternative that can be shown is shown."""
        parts = [(b"text/enriched", b"poor"), (b"text/html", b"<p>rich</p>"), (b"text/calendar", b"BEGIN")]
        body = b"".join(b"--b\r\nContent-Type: " + kind + b"\r\n\r\n" + text + b"\r\n" for kind, text in parts)
        head = b"From: x@y.org\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
        self.assertEqual(view(head + body + b"--b--\r\n").body, "rich")

    def test_a_message_that_is_nothing_but_another_shows_that_ones_text(self) -> None:
        octets = b"From: x@y.org\r\nContent-Type: message/rfc822\r\n\r\nFrom: z@y.org\r\n\r\nwithin\r\n"
        self.assertEqual(view(octets).body, "within")

    def test_a_huge_text_is_cut_and_that_is_said(self) -> None:
        shown = view(b"From: a@b.example\r\nDate: 1 Jan 2026 10:00:00 +0000\r\n\r\n" + b"x" * 2_000_010)
        self.assertEqual((len(shown.body), len(shown.defects)), (2_000_000, 1))


REPORT: Final = (
    b"From: mailer-daemon@mx.example\r\nDate: Mon, 2 Feb 2026 10:00:00 +0000\r\n"
    b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
    b"--b\r\n\r\nSorry.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n"
    b"Reporting-MTA: dns; mx.example\r\n\r\n"
    b"Final-Recipient: rfc822; dora@example.com\r\nAction: failed\r\nStatus: 5.1.1\r\n"
    b"Remote-MTA: dns; mail.example.com\r\nDiagnostic-Code: smtp; 550 5.1.1 no\x1b[2J such user\r\n\r\n"
    b"Original-Recipient: rfc822;eve@example.com\r\nFinal-Recipient: rfc822;e@inner.example\r\n"
    b"Action: delayed (slow)\r\nStatus: 4.4.1\r\nWill-Retry-Until: Tue, 3 Feb 2026 10:00:00 +0000\r\n"
    b"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nSubject: lost\r\n--b--\r\n"
)


class Parts(SynchronousTestCase):
    def test_a_delivery_report_says_who_why_and_what_to_do(self) -> None:
        """RFC 3464."""
        body = view(REPORT).body
        for words in (
            "Sorry.",
            "To dora@example.com: the message was not delivered.",
            "The server mail.example.com said: 550 5.1.1 no\u241b[2J such user",
            "Check the part before the @ for typing mistakes.",
            "To eve@example.com (forwarded to e@inner.example): the message is not delivered yet",
            "It is tried until Tue, 3 Feb 2026 10:00:00 +0000.",
        ):
            self.assertIn(words, body)
        self.assertEqual([one.number for one in attachments(REPORT)], ["1.2", "1.3"])

    def test_a_report_stands_above_the_text_which_may_be_long(self) -> None:
        """The returned message is in the text."""
        body = view(REPORT).body
        self.assertTrue(body.startswith("---------- What the report says ----------\nTo dora@example.com: "), body)
        self.assertIn("+0000.\n\n---------- The text of the message ----------\nSorry.", body)
        alone = b"Content-Type: message/delivery-status\r\n\r\nFinal-Recipient: rfc822;a@b.test\r\nAction: failed\r\n"
        self.assertNotIn("The text of the message", view(alone).body)

    def test_a_notification_of_reading_says_who_has_read(self) -> None:
        """RFC 8098."""
        for kind, words in (
            (b"displayed", "bob@example.org has opened the message."),
            (b"deleted", "bob@example.org has deleted the message without opening it."),
            (b"odd", "bob@example.org has answered a request for a notification."),
        ):
            octets = (
                b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\n"
                b"Content-Type: message/disposition-notification\r\n\r\nFinal-Recipient: rfc822;bob@example.org\r\n"
                b"Disposition: manual-action/MDN-sent-manually; " + kind + b"/error\r\n--b--\r\n"
            )
            self.assertIn(words, view(octets).body)

    def test_files_of_a_message_inside_are_named_with_their_numbers(self) -> None:
        """They are in none of the lists, and the reader could not know that there are any."""
        head = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nSee below.\r\n--a\r\n"
        inside = (
            b"Content-Type: message/rfc822\r\n\r\n"
            b"From: ann@a.test\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
            b"%s--b\r\nContent-Type: application/pdf; name*=utf-8''plan%%0A.pdf\r\n\r\nPDF\r\n--b--\r\n--a--\r\n"
        )
        for text, number in ((b"--b\r\n\r\nThe plan.\r\n", "1.2.1.2"), (b"", "1.2.1.1")):
            octets = head + inside % text
            body = view(octets).body
            self.assertIn("---------- Part 1.2: a message ----------\nFrom: ann@a.test\n", body)
            self.assertIn(f"- Files of part 1.2 ----------\nPart {number}: plan .pdf, application/pdf", body)
            found = find_part(octets, number)
            self.assertEqual(found and found.content(), b"PDF")

    def test_the_first_piece_of_a_cut_message_is_shown(self) -> None:
        """RFC 2046 §5.2.2: the other pieces are octets without a header of their own."""
        head = b"Content-Type: message/partial; id=a@b; total=2; number=%d\r\n\r\n"
        first = view(head % 1 + b"Subject: long\r\nContent-Type: text/html\r\n\r\n<p>It begins here")
        self.assertEqual(first.body, "It begins here")
        self.assertIn("piece 1 of 2 of a longer message", first.defects[0])
        second = view(head % 2 + b"and ends here")
        self.assertEqual([one.content() for one in second.attachments], [b"and ends here"])
        self.assertIn("piece 2 of 2 of a longer message", second.defects[0])

    def test_the_header_of_a_returned_message_can_be_read(self) -> None:
        octets = b"Content-Type: message/rfc822-headers\r\n\r\nSubject: lost\r\n"
        shown = view_part(octets, "1")
        self.assertEqual(shown and shown.body, "Subject: lost\n")
        self.assertEqual([one.name for one in attachments(octets)], ["part-1.txt"])

    def test_a_report_inside_an_attached_message_is_not_this_message_s(self) -> None:
        head = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nSee.\r\n--a\r\n"
        inside = b"Content-Type: message/rfc822\r\n\r\n" + REPORT + b"--a--\r\n"
        self.assertNotIn("What the report says", view(head + inside).body)
        self.assertIn("What the report says", view(b"Content-Type: message/rfc822\r\n\r\n" + REPORT).body)

    def test_a_value_of_the_sender_begins_no_line(self) -> None:
        said = view(REPORT.replace(b"no\x1b[2J such user", b"=?utf-8?q?no=0ATo_me=3A_fine?=")).body
        self.assertIn("said: 550 5.1.1 no To me: fine\n", said)
        inner = b"Content-Type: message/rfc822\r\n\r\nSubject: =?utf-8?q?x=0AFrom=3A_boss?=\r\n\r\ny\r\n--a--\r\n"
        body = view(b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nSee.\r\n--a\r\n" + inner).body
        self.assertIn("Subject: x From: boss\n", body)

    def test_reports_that_make_no_sense_are_shown_without_them(self) -> None:
        for status in (b"", b"\r\n\r\n\r\n", b"Action: failed\r\n", b"\xff\x00:;", b"Final-Recipient: ;\r\n"):
            octets = (
                b"Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\n"
                b"Content-Type: message/delivery-status\r\n\r\n" + status + b"\r\n--b--\r\n"
            )
            self.assertEqual(view(octets).body, "x", status)

    def test_each_part_can_be_viewed_and_saved_by_its_number(self) -> None:
        numbers = [row.number for row in safe_structure(WHOLE)]
        for number in numbers:
            part, shown = find_part(WHOLE, number), view_part(WHOLE, number)
            assert part is not None
            assert shown is not None
            self.assertNotIn("\x1b", shown.body)
            part.content()
        contents = {number: part.content() for number in numbers if (part := find_part(WHOLE, number)) is not None}
        self.assertEqual(contents["1.1.1"], b"plain \x1b[31mred")
        self.assertEqual(contents["1.2"], b"ABC")
        self.assertTrue(contents["1.1"].startswith(b"Content-Type: multipart/alternative; boundary=c\r\n\r\n--c"))
        within = view_part(WHOLE, "1.3")
        assert within is not None
        self.assertEqual((within.headers, [one.number for one in within.attachments]), ((("Subject", "in"),), ["1"]))
        html, image = view_part(WHOLE, "1.1.2"), view_part(WHOLE, "1.4")
        assert html is not None
        assert image is not None
        self.assertEqual(html.body, "rich \u241b[31m")
        self.assertIn("image/png of 3 octets, which has no text", image.body)
        self.assertEqual((find_part(WHOLE, "1.9"), view_part(WHOLE, "9")), (None, None))


class Saving(SynchronousTestCase):
    def test_files_are_listed_with_safe_names(self) -> None:
        found = attachments(WHOLE)
        self.assertEqual([(one.number, one.name, one.octets) for one in found], [
            ("1.2", "bash rc", 3), ("1.3", "part-1.3.eml", 38), ("1.4", "part-1.4.png", 3),
        ])  # fmt: skip
        self.assertEqual(found[0].content(), b"ABC")
        self.assertEqual(found[1].content(), b"Subject: in\r\nContent-Type: a/b\r\n\r\nfile")

    def test_nothing_is_overwritten_and_no_link_is_followed(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        attached = attachments(WHOLE)[0]
        target = folder / "target"
        os.symlink(target, folder / "bash rc")
        self.assertEqual(save_attachment(attached, folder).name, "bash rc (2)")
        self.assertEqual(save_attachment(attached, folder, "../a.txt").read_bytes(), b"ABC")
        self.assertEqual(save_attachment(attached, folder, "a.txt").name, "a (2).txt")
        self.assertFalse(target.exists())

    def test_a_failed_save_leaves_no_file(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()

        def full(descriptor: int) -> None:
            raise OSError("full")

        self.patch(os, "fsync", full)
        self.assertRaises(OSError, save_attachment, attachments(WHOLE)[0], folder)
        self.assertEqual(list(folder.iterdir()), [])

    def test_an_unverified_author_is_marked_above_the_text(self) -> None:
        """RFC 8601 §2.7.4: the mark of the server that received the message."""
        mark = b"Authentication-Results: mail.home.test;\r\n\tauth=none (did not log in)\r\n"
        received = b"Received: from x by mail.home.test with ESMTP id q; Sun, 29 Nov 2026 12:00:00 +0000\r\n"
        message = received + b"From: boss@home.test\r\n\r\nPay at once.\r\n"
        self.assertEqual(view(message).warnings, ())
        (warning,) = view(mark + message).warnings
        self.assertIn("From is an address of mail.home.test", warning)
        self.assertIn("did not log in", warning)

    def test_a_name_of_dots_is_shown(self) -> None:
        """It is part of the name that is shown and saved, together with the number of the part."""
        part = b'--b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename="%b"\r\n\r\nx\r\n'
        parts = b"".join(part % name for name in (b".", b"..", b"con"))
        octets = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + parts
        names = [one.name for one in attachments(octets)]
        self.assertEqual(names, ["part-1.1 (.).pdf", "part-1.2 (..).pdf", "attachment con"])
        self.assertEqual([safe_name(name) for name in names], names)

    def test_any_attachment_name_becomes_valid_on_every_system(self) -> None:
        for name, safe in (
            ("../../etc/passwd", "passwd"),
            ("C:\\Windows\\a.exe", "a.exe"),
            ("..", "attachment"),
            ("", "attachment"),
            ("con.txt", "attachment con.txt"),
            (".hidden", "hidden"),
            ('a<b>:"|?*.txt', "a_b______.txt"),
            ("x\u202egpj.exe", "x gpj.exe"),
            ("a\x00b\nc", "ab c"),
            ("trailing. . ", "trailing"),
            ("-rf", "rf"),
            ("/tmp/--output=x.txt", "output=x.txt"),
            ("--", "attachment"),
            (" . -x", "x"),
        ):
            self.assertEqual(safe_name(name), safe, repr(name))
        # A colon is part of a name, unless it follows the letter of a drive.
        self.assertEqual(
            [safe_name(name) for name in ("Re: AW: hello", "C:x.pdf", "12:30", "\n:x", "1:30", "a/1:30", "b/C:x")],
            ["Re_ AW_ hello", "x.pdf", "12_30", "_x", "1_30", "1_30", "x"],
        )
        self.assertEqual(safe_name("ä" * 300 + ".pdf"), "ä" * 88 + ".pdf")
        self.assertEqual(len(safe_name("x" * 300 + "." + "y" * 50)), 180)
        self.assertEqual((numbered("a", 2), numbered(".a", 3)), ("a (2)", ".a (3)"))

"""Text of messages: how much of their parts is converted."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.text.message_text import read_text
from emailsys.mail.message.mime import parse

HTML = b"Content-Type: text/html\r\n\r\n"
TOO_LONG = "part 1: too long to be shown completely; save the message to read all of it"


class MostOfAMessageTests(SynchronousTestCase):
    """What takes long to convert is cut, and told."""

    def read(self, octets: bytes) -> tuple[str, list[str]]:
        text, defects, _ = read_text(parse(octets), 2_000_000)
        return text, defects

    def test_long_html_is_cut(self) -> None:
        for element in (b"<div>", b"<td>", b"<blockquote>"):
            text, defects = self.read(HTML + b"<p>begin" + (element + b"x") * 100_000 + b"end")
            self.assertTrue(text.startswith("begin") and "end" not in text)
            self.assertEqual(defects, [TOO_LONG])

    def test_all_of_a_message_with_fewer_tags_is_shown(self) -> None:
        text, defects = self.read(HTML + b"<p>x</p>" * 30_000 + b"end")
        self.assertEqual((text[-3:], defects), ("end", []))

    def test_all_parts_together_are_cut(self) -> None:
        """Each of 10,000 parts is short."""
        part = b"--b\r\n" + HTML + b"<p>" * 50 + b"x\r\n"
        text, defects = self.read(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + part * 2_000 + b"--b--\r\n")
        shown = text.count("x")
        self.assertGreater(shown, 1_000)
        self.assertIn(f"part 1.{shown + 2}: too long to be shown completely", "\n".join(defects))

    def test_a_short_part_behind_a_long_one_is_shown(self) -> None:
        """A long table does not hide the answer below it."""
        parts = b"".join(b"--b\r\n" + HTML + html + b"\r\n" for html in (b"<td>x" * 100_000, b"<p>answer</p>"))
        text, defects = self.read(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + parts + b"--b--\r\n")
        self.assertTrue(text.endswith("answer"))
        self.assertEqual(defects, [TOO_LONG.replace("part 1:", "part 1.1:")])

    def test_preformatted_text_is_cut(self) -> None:
        """Each line costs as much as a tag."""
        text, defects = self.read(HTML + b"<pre>" + b"x\r\n" * 1_500_000)
        self.assertEqual(len(text), 1_999_999)
        self.assertEqual(defects[:1], ["part 1: its preformatted text is too long: the rest of that is not shown"])

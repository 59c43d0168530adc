"""Replies of servers, good and bad, as the client reads them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail.reply import Reply
from emailsys.wire.smtp.replies import MAX_LINE, MAX_LINES, MAX_OCTETS, ReplyReader, ReplySyntaxError


def read(octets: bytes) -> list[Reply]:
    """All replies in those octets."""
    reader = ReplyReader()
    reader.feed(octets)
    replies = []
    while (reply := reader.next_reply()) is not None:
        replies.append(reply)
    return replies


class ReplyReaderTests(SynchronousTestCase):
    """RFC 5321 §4.2, RFC 2034."""

    def test_a_reply_has_a_code_an_enhanced_code_and_a_text(self) -> None:
        """As nearly every server writes it."""
        self.assertEqual(read(b"250 2.1.0 Ok\r\n"), [Reply(250, "2.1.0", "Ok")])

    def test_a_reply_may_be_a_code_alone(self) -> None:
        """RFC 5321 §4.2 has the text optional, and the blank with it."""
        self.assertEqual(read(b"250\r\n354 \r\n"), [Reply(250, "", ""), Reply(354, "", "")])

    def test_lines_of_one_reply_are_joined_without_their_enhanced_codes(self) -> None:
        """RFC 2034 §4 repeats the code on each line."""
        octets = b"550-5.7.1 we know you\r\n550-5.7.1 and do not\r\n550 5.7.1 want you\r\n"
        self.assertEqual(read(octets), [Reply(550, "5.7.1", "we know you\nand do not\nwant you")])

    def test_an_enhanced_code_of_another_class_is_only_text(self) -> None:
        """A version number, say."""
        self.assertEqual(read(b"250 4.9.1 is our version\r\n"), [Reply(250, "", "4.9.1 is our version")])

    def test_lf_alone_ends_a_line_of_a_reply(self) -> None:
        """Old servers write so, and nothing of a message is decided by it."""
        self.assertEqual(read(b"220-a\n220 b\n"), [Reply(220, "", "a\nb")])

    def test_control_octets_and_foreign_octets_are_escaped(self) -> None:
        """A peer writes neither on a terminal nor a line of its own into a log; UTF-8 stays (RFC 6531)."""
        [reply] = read(b"550 no\x1b[2J\x00 \xff gr\xc3\xbc\xc3\x9fe\r\n")
        self.assertEqual(reply.text, "no\\x1b[2J\\x00 \\xff grüße")

    def test_a_reply_comes_only_when_it_is_complete(self) -> None:
        """Half a line and a line that others follow are no reply yet."""
        reader = ReplyReader()
        reader.feed(b"250-mx\r\n250 SI")
        self.assertIsNone(reader.next_reply())
        self.assertEqual(reader.waiting, 12)
        reader.feed(b"ZE\r\n220 x")
        self.assertEqual(reader.next_reply(), Reply(250, "", "mx\nSIZE"))
        self.assertEqual(reader.waiting, 5)
        reader.discard()
        self.assertEqual(reader.waiting, 0)

    def test_a_line_that_is_no_reply_is_refused(self) -> None:
        """Codes have three digits in the ranges of RFC 5321 §4.2, ASCII ones, and a blank or hyphen behind them."""
        arabic = "٢٥٠ ok".encode()
        for octets in (b"", b"25", b"25x ok", b"150 no", b"600 no", b"260 no", b"2500 ok", b"+OK", arabic):
            with self.assertRaises(ReplySyntaxError):
                read(octets + b"\r\n")

    def test_a_code_that_changes_within_a_reply_is_refused(self) -> None:
        """RFC 5321 §4.2.1."""
        with self.assertRaisesRegex(ReplySyntaxError, "both 250 and 550"):
            read(b"250-a\r\n550 b\r\n")

    def test_a_line_without_end_is_refused_at_its_bound(self) -> None:
        """Ended or not: 64 MB without CRLF cost no memory."""
        for end in (b"", b"\r\n"):
            with self.assertRaisesRegex(ReplySyntaxError, "longer than"):
                read(b"250 " + b"x" * MAX_LINE + end)

    def test_an_endless_reply_is_refused_at_its_bound(self) -> None:
        """By lines, and by octets."""
        with self.assertRaisesRegex(ReplySyntaxError, "endless"):
            read(b"250-x\r\n" * (MAX_LINES + 1))
        with self.assertRaisesRegex(ReplySyntaxError, "endless"):
            read((b"250-" + b"x" * 1000 + b"\r\n") * (MAX_OCTETS // 1000 + 1))

"""The line reader cuts lines at CRLF and names the flaws of malformed lines."""

import re

from twisted.trial.unittest import SynchronousTestCase

from emailsys.wire.lines import Flaw, LineReader


def reader(*pieces: bytes) -> LineReader:
    lines = LineReader()
    for piece in pieces:
        lines.feed(piece)
    return lines


class Lines(SynchronousTestCase):
    def test_lines_are_returned_without_crlf_one_at_a_time(self) -> None:
        lines = reader(b"EHLO a\r\nNOOP\r\nQU")
        self.assertEqual([lines.next_line(512) for _ in range(3)], [b"EHLO a", b"NOOP", None])
        lines.feed(b"IT\r")
        self.assertIsNone(lines.next_line(512))
        lines.feed(b"\n")
        self.assertEqual(lines.next_line(512), b"QUIT")
        self.assertEqual(lines.waiting, 0)

    def test_lf_alone_ends_a_line_and_is_named(self) -> None:
        lines = reader(b"NOOP\n\nNOOP\r\n")
        self.assertEqual([lines.next_line(512) for _ in range(3)], [Flaw.LF_ALONE, Flaw.LF_ALONE, b"NOOP"])

    def test_cr_alone_inside_a_line_is_named(self) -> None:
        lines = reader(b"NOOP\rNOOP\r\nNOOP\r\r\nNOOP\r\n")
        self.assertEqual([lines.next_line(512) for _ in range(3)], [Flaw.CR_ALONE, Flaw.CR_ALONE, b"NOOP"])

    def test_the_limit_counts_crlf(self) -> None:
        lines = reader(b"a" * 510 + b"\r\n" + b"a" * 511 + b"\r\n")
        self.assertEqual([lines.next_line(512) for _ in range(2)], [b"a" * 510, Flaw.TOO_LONG])

    def test_an_overlong_line_is_discarded_as_it_arrives_and_named_once(self) -> None:
        lines = LineReader()
        for _ in range(1000):
            lines.feed(b"a" * 65536)
            self.assertIsNone(lines.next_line(512))
            self.assertEqual(lines.waiting, 0)
        lines.feed(b"\r\nNOOP\r\n")
        self.assertEqual([lines.next_line(512) for _ in range(3)], [Flaw.TOO_LONG, b"NOOP", None])

    def test_only_a_whole_line_that_matches_is_removed(self) -> None:
        pattern = re.compile(rb"RETR (\d)\r\n")
        lines = reader(b"RETR 1\r\nNOOP\r\nRETR 2\r")
        found = lines.next_match(pattern)
        assert found is not None
        self.assertEqual((found[1], lines.waiting), (b"1", 13))
        self.assertIsNone(lines.next_match(pattern))
        self.assertEqual(lines.next_line(512), b"NOOP")
        self.assertIsNone(lines.next_match(pattern))
        lines.feed(b"\n")
        self.assertEqual((lines.next_line(512), lines.waiting), (b"RETR 2", 0))

    def test_the_end_of_an_overlong_line_never_matches(self) -> None:
        lines = reader(b"a" * 600)
        self.assertIsNone(lines.next_line(512))
        lines.feed(b"RETR 1\r\nRETR 2\r\n")
        pattern = re.compile(rb"RETR (\d)\r\n")
        self.assertIsNone(lines.next_match(pattern))
        self.assertEqual(lines.next_line(512), Flaw.TOO_LONG)
        found = lines.next_match(pattern)
        assert found is not None
        self.assertEqual(found[1], b"2")

    def test_a_flawed_line_can_be_looked_at(self) -> None:
        """Of an over-long one the beginning is kept, however it arrives."""
        self.assertEqual((lines := reader(b"NOOP a\n")).next_line(512), Flaw.LF_ALONE)
        self.assertEqual(lines.flawed, b"NOOP a")
        self.assertEqual((lines := reader(b"NO\rOP\r\n")).next_line(512), Flaw.CR_ALONE)
        self.assertEqual(lines.flawed, b"NO\rOP")
        start = b"GET /" + b"a" * 1000
        self.assertEqual((lines := reader(b"NOOP\r\n" + start + b"\r\n")).next_line(512), b"NOOP")
        self.assertEqual(lines.next_line(512), Flaw.TOO_LONG)
        self.assertEqual(lines.flawed, start[:256])
        lines = LineReader()
        for piece in (start[:300], start[300:], b"b" * 600, b"\r\n"):
            lines.feed(piece)
            self.assertIn(lines.next_line(512), (None, Flaw.TOO_LONG))
        self.assertEqual(lines.flawed, start[:256])

    def test_a_block_is_taken_between_lines(self) -> None:
        lines = reader(b"BDAT 5\r\nab", b"\ncdNO", b"OP\r\n")
        self.assertEqual(lines.next_line(512), b"BDAT 5")
        self.assertEqual(lines.take(5), b"ab\ncd")
        self.assertEqual(lines.next_line(512), b"NOOP")
        self.assertEqual(lines.take(5), b"")
        lines.feed(b"abc")
        self.assertEqual(lines.take(5), b"abc")

    def test_octets_that_are_put_back_come_first(self) -> None:
        lines = reader(b"x\r\n.\r\nRSET\r\nNO")
        block = lines.take()
        lines.feed(b"OP\r\n")
        lines.put_back(block[6:])
        self.assertEqual([lines.next_line(512) for _ in range(3)], [b"RSET", b"NOOP", None])
        lines.feed(b"a\r\nb")
        lines.next_line(512)
        self.assertEqual(lines.take(), b"b")

    def test_discard_removes_unfinished_and_overlong_lines(self) -> None:
        lines = reader(b"STARTTLS\r\nNOOP\r\nNO")
        lines.next_line(512)
        self.assertEqual(lines.discard(), 8)
        lines.feed(b"a" * 600)
        lines.next_line(512)
        lines.discard()
        lines.feed(b"QUIT\r\n")
        self.assertEqual(lines.next_line(512), b"QUIT")

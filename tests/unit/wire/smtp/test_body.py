"""Messages as they arrive: what makes a message refused, however its octets were cut."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from emailsys.mail import reply as replies
from emailsys.mail.reply import Reply
from emailsys.wire.smtp.body import BodyRules, ChunkedMessage, StuffedMessage

STRICT = BodyRules(1_000_000, accepts_nul=False, accepts_long_lines=False)


def refusal(message: bytes, block: int, rules: BodyRules = STRICT) -> Reply | None:
    """The refusal of a message that arrives in blocks of one size."""
    reader = StuffedMessage(rules)
    octets = message + b".\r\n"
    for start in range(0, len(octets), block):
        reader.take(octets[start : start + block])
    return reader.refusal


class BodyTests(SynchronousTestCase):
    def test_a_line_has_998_octets_at_most(self) -> None:
        """RFC 5321 §4.5.3.1.6. However the message is cut, and wherever the line is."""
        for before in (b"", b"x\r\n", b"x" * 997 + b"\r\n", b"y\r\n" * 700):
            for length, expected in ((998, None), (999, replies.LINE_TOO_LONG), (5000, replies.LINE_TOO_LONG)):
                message = before + b"a" * length + b"\r\n" + before
                for block in (1, 7, 999, 1000, 1001, 100_000):
                    self.assertEqual(refusal(message, block), expected, (len(before), length, block))

    def test_lines_of_any_length_are_told_apart(self) -> None:
        chance = random.Random(1)
        for _ in range(300):
            lengths = [chance.choice((0, 1, 500, 997, 998, 999, 1000, 1001)) for _ in range(chance.randint(1, 6))]
            message = b"".join(b"a" * length + b"\r\n" for length in lengths)
            expected = replies.LINE_TOO_LONG if max(lengths) > 998 else None
            self.assertEqual(refusal(message, chance.choice((3, 499, 1000, 4096))), expected, lengths)

    def test_nul_is_refused_and_noted(self) -> None:
        message = b"Subject: x\r\n\r\na\0b\r\n"
        for block in (1, 5, 100):
            self.assertEqual(refusal(message, block), replies.NUL_IN_MESSAGE)
        reader = ChunkedMessage(BodyRules(1000))
        reader.begin_chunk(len(message), last=True)
        self.assertEqual((reader.take(message), reader.refusal, reader.has_nul), (message, None, True))

    def test_nul_and_long_lines_are_accepted_if_the_rules_allow_them(self) -> None:
        self.assertIsNone(refusal(b"\0" * 5000 + b"\r\n", 1000, BodyRules(10_000)))

"""Lines of lists: the texts of strangers, on one line."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.web.mail.summaries import one_line


class LineTests(SynchronousTestCase):
    def test_control_characters_and_line_ends_become_blanks(self) -> None:
        for text, line in (
            ("a  plain\u00a0subject ", "a plain subject"),
            ("one\r\n\ttwo\x1b[31m\u202ethree", "one two [31m three"),
            ("caf\u00e9 \U0001f40d", "caf\u00e9 \U0001f40d"),
            ("\x00", ""),
        ):
            self.assertEqual(one_line(text), line)

    def test_a_long_text_is_cut(self) -> None:
        self.assertEqual(one_line("ab" * 400, 5), "ababa…")

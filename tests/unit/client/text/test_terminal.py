"""Text of messages keeps the columns of a terminal straight."""

from __future__ import annotations

from rich.cells import cell_len
from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.text.terminal import safe_line


class WidthTests(SynchronousTestCase):
    def test_emoji_have_the_same_width_in_all_terminals(self) -> None:
        """Of variation selectors, skin tones and joiners, terminals make one cell, two or four."""
        for written, shown in (
            ("\u2764\ufe0f love", "\u2764 love"),
            ("1\ufe0f\u20e3", "1\u20e3"),
            ("\U0001f44d\U0001f3fd ok", "\U0001f44d ok"),
            ("\u261d\ufe0f\U0001f3fd", "\u261d"),
            ("\U0001f468\U0001f3fd\u200d\U0001f469\U0001f3fe\u200d\U0001f467", "\U0001f468\U0001f469\U0001f467"),
            ("\U0001f3f3\ufe0f\u200d\U0001f308", "\U0001f3f3\U0001f308"),
            ("\U0001f1e9\U0001f1ea", "\U0001f1e9\U0001f1ea"),
            # Letters of scripts that use a joiner keep it.
            ("\u0915\u094d\u200d\u0937", "\u0915\u094d\u200d\u0937"),
        ):
            self.assertEqual(safe_line(written), shown)
            if "\u200d" not in shown:
                self.assertEqual(cell_len(shown), sum(map(cell_len, shown)))

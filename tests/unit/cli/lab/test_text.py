"""Lessons as text: 80 columns, and nothing of an attacker reaches the terminal as it is."""

from __future__ import annotations

import click
from twisted.trial.unittest import SynchronousTestCase

from emailsys.cli.lab import text
from emailsys.lab.base.values import Result, Side, Step
from emailsys.lab.base.view import View
from emailsys.lab.table import all_lessons
from emailsys.wiretap.conversation import Role


class TextTests(SynchronousTestCase):
    """What is printed."""

    def assert_fits(self, words: str) -> None:
        plain = click.unstyle(words)
        self.assertEqual([line for line in plain.splitlines() if len(line) > text.WIDTH], [])

    def test_every_lesson_fits_into_80_columns(self) -> None:
        """A projector shows few columns."""
        for lesson in all_lessons():
            for words in (
                text.opening(lesson),
                text.title_of(lesson, True),
                text.title_of(lesson, False),
                text.closing(lesson),
            ):
                self.assert_fits(words)

    def test_conversations_fit_and_have_no_control_characters(self) -> None:
        """Long lines wrap, also those that were changed."""
        view = View("smtp", Role.SERVER, "127.0.0.1:1")
        view.from_client(b"\x1b[31m" + b"MAIL " * 80 + b"\r\n", tampered="changed", was="x" * 300)
        view.from_server(b"354 go\r\n")
        view.from_client(b"".join(b"line %d\r\n" % number for number in range(20)) + b".\r\n")
        step = Step("What is seen", "Some words.", [view.conversation()])
        shown = text.step_text(step)
        self.assert_fits(shown)
        explained = text.step_text(step, explain=True)
        self.assert_fits(explained)
        self.assertIn("RFC 5321", explained)
        self.assertNotIn("RFC 5321", shown)
        plain = click.unstyle(shown)
        self.assertNotIn("\x1b", plain)
        self.assertIn("(13 more lines of the message)", plain)
        self.assertIn("line 19", plain)
        self.assertRegex(plain, rf"(?m)^ +\d+ \{text.MARK} C  ")

    def test_a_wrong_verdict_says_so(self) -> None:
        """The colour alone would not reach everybody."""
        lesson = all_lessons()[0]
        for is_protected, harmed, wrong in ((True, True, True), (True, False, False), (False, False, True)):
            side = Side(is_protected, "", Result((), harmed, "octets"), 0.1)
            self.assertEqual(
                "NOT what the lesson expects" in " ".join(click.unstyle(text.verdict(lesson, side)).split()), wrong
            )
            self.assertEqual(side.as_expected, not wrong)

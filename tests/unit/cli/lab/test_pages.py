"""Reports of lessons as pages."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.cli.lab.pages import write_report
from emailsys.lab.base.lesson import Report
from emailsys.lab.base.values import Result, Side, Step
from emailsys.lab.base.view import View
from emailsys.lab.table import all_lessons
from emailsys.wiretap.conversation import Role

HOSTILE = b"<script>alert(1)</script>\x1b[31m"


class PageTests(SynchronousTestCase):
    """A folder of pages."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        view = View("smtp", Role.SERVER, "127.0.0.1:1")
        view.from_client(HOSTILE + b"\r\n", tampered="changed", was="NOOP")
        step = Step("What is seen", "Some words.", [view.conversation()])
        sides = [Side(on, "a switch", Result([step], not on, "these octets"), 0.1) for on in (False, True)]
        self.report = Report(all_lessons()[0], sides)

    def test_the_index_leads_to_each_page_and_has_what_failed(self) -> None:
        """Links are names of files beside it."""
        failed = all_lessons()[1]
        index = write_report(self.folder, [self.report], [(failed, "no daemon")]).read_text("utf-8")
        name = f"{self.report.lesson.name}.html"
        self.assertIn(f'<a href="{name}">', index)
        self.assertIn("not played to its end: no daemon", index)
        self.assertEqual(index.count("<a href="), 1)
        self.assertEqual({path.name for path in self.folder.iterdir()}, {"index.html", name})

    def test_a_page_has_both_sides_and_nothing_of_the_attacker_unescaped(self) -> None:
        """The page of a lesson is safe to open."""
        write_report(self.folder, [self.report], [])
        page = (self.folder / f"{self.report.lesson.name}.html").read_text("utf-8")
        self.assertNotIn("<script", page)
        self.assertNotIn("\x1b", page)
        self.assertIn("&lt;script&gt;", page)
        self.assertIn("It was “NOOP”.", page)
        for words in ("Without the protection: the verdict", "With the protection: the verdict", "A switch."):
            self.assertIn(words, page)
        for question in self.report.lesson.ask:
            self.assertIn(question.replace("'", "&#39;"), page)

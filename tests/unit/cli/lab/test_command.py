"""The command `lab`, as far as it needs no daemon."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from click.shell_completion import ShellComplete

import emailsys
from emailsys.cli.main import program
from emailsys.config.exit_status import Exit
from emailsys.lab.table import all_lessons
from tests.unit.cli.cli_case import CLICase

PAGE: Final = Path(emailsys.__file__).resolve().parent.parent / "docs" / "lab.md"


class LabCommandTests(CLICase):
    """Lists, and calls that cannot be carried out."""

    def test_the_list_has_every_lesson(self) -> None:
        """Names are unique, and the page for teachers has each."""
        listed = json.loads(self.fine("lab", "list", "--json"))
        names = [lesson["name"] for lesson in listed]
        self.assertEqual(names, [lesson.name for lesson in all_lessons()])
        self.assertEqual(len(set(names)), len(names))
        page = PAGE.read_text("utf-8")
        for lesson in all_lessons():
            self.assertIn(f"| `{lesson.name}` | {lesson.minutes} |", page)
        self.assertIn(names[0], self.fine("lab", "list"))

    def test_names_are_completed_in_a_shell(self) -> None:
        """Those that were typed already are not offered again."""
        complete = ShellComplete(program, {}, "emailsys", "_EMAILSYS_COMPLETE")
        offered = [one.value for one in complete.get_completions(["lab", "run"], "cert")]
        self.assertEqual(offered, ["certificate-wrong-name", "certificate-expired", "certificate-untrusted"])
        offered = [one.value for one in complete.get_completions(["lab", "run", "certificate-expired"], "cert")]
        self.assertEqual(offered, ["certificate-wrong-name", "certificate-untrusted"])

    def test_an_unknown_lesson_is_refused_with_a_suggestion(self) -> None:
        """A typing error costs no time."""
        self.assertIn("starttls-stripped", self.refused(Exit.USAGE, "lab", "run", "starttls-striped"))
        self.assertIn("emailsys lab list", self.refused(Exit.USAGE, "lab", "run", "zzz"))

    def test_names_and_all_exclude_each_other(self) -> None:
        """Exactly one of them says what to run."""
        self.refused(Exit.USAGE, "lab", "run")
        self.refused(Exit.USAGE, "lab", "run", "--all", "starttls-stripped")

    def test_a_page_that_cannot_be_written_costs_no_lesson(self) -> None:
        """A wrong folder is noticed before the daemon starts."""
        self.refused(Exit.NO_INPUT, "lab", "run", "smuggling", "--export", str(self.state / "no" / "page.html"))
        self.refused(Exit.USAGE, "lab", "run", "smuggling", "open-relay", "--export", "page.html")

    def test_pause_needs_a_person(self) -> None:
        """A script would wait for ever."""
        self.refused(Exit.USAGE, "lab", "run", "starttls-stripped", "--pause", typed=b"")
        self.refused(Exit.USAGE, "lab", "run", "starttls-stripped", "--pause", "--json")

"""The verbs that list messages: on a narrow terminal, by structured searches, and with their number."""

from __future__ import annotations

import contextlib
import io
import json
import re

from rich.cells import cell_len
from rich.console import Console, ConsoleDimensions

from emailsys.cli.main import run
from emailsys.client.archive.values import Addition, Folder
from emailsys.config.exit_status import Exit
from tests.unit.cli.mail.mail_case import Case


class Screen(io.StringIO):
    """Standard output that is a terminal."""

    def isatty(self) -> bool:
        return True


class ListVerbTests(Case):
    def on_terminal(self, columns: int, *words: str) -> list[str]:
        """Run a verb on a terminal of some width. Return its lines."""
        self.patch(Console, "size", ConsoleDimensions(columns, 24))
        out = Screen()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            self.assertEqual(run(["mail", *words]), 0)
        return re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue()).splitlines()

    def add(self, subject: str, sender: str = "bob@example.org", folder: str = "Inbox", more: str = "") -> str:
        text = f"From: {sender}\r\nSubject: {subject}\r\n{more}Date: Mon, 9 Mar 2026 10:00:00 +0000\r\n\r\nx\r\n"
        return self.mailbox.archive.add(Addition(text.encode(), Folder("alice", folder)))

    def test_a_message_has_one_line_however_narrow_the_terminal_is(self) -> None:
        """Long values are cut, and the narrowest terminals leave columns out; nothing becomes a record."""
        key = self.add(
            "A subject of many words that no terminal shows in full " * 3, "Someone With A Long Name <s@x.test>"
        )
        self.add("日本語の長い件名がここにあります" * 4)
        self.mailbox.archive.set_tags([key], ["invoice", "work"])
        for columns in (40, 60, 80, 120):
            for verb in (("list",), ("search", "subject:subject OR subject:日本語 OR First OR Second")):
                lines = self.on_terminal(columns, *verb)
                self.assertEqual(len(lines), 5, lines)
                self.assertLessEqual(max(map(cell_len, lines)), columns, lines)
                line = next(one for one in lines if key[:8] in one)
                self.assertIn("A sub", line)
                self.assertIn("…", line)
        self.assertEqual(self.on_terminal(40, "list")[0].split(), ["key", "date", "from", "subject"])
        self.assertEqual(self.on_terminal(120, "list")[0].split()[-2:], ["size", "tags"])

    def test_searches_have_or_and_parentheses(self) -> None:
        for query, subjects in (
            ("First OR Second", {"First", "Second"}),
            ("text (First OR nowhere)", {"First"}),
            ("subject:(Second OR nowhere)", {"Second"}),
            ("NOT First", {"Second"}),
        ):
            found = json.loads(self.fine("search", "--json", query))
            self.assertEqual({one["subject"] for one in found}, subjects, query)
        status, _, err = self.run_it("search", "First OR")
        self.assertEqual((status, "each side" in err), (Exit.USAGE, True), err)
        self.assertIn("write OR", self.run_it("search", "First or Second")[2])

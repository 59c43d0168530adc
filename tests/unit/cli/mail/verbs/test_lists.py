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
                # A date of another year is longer.
                self.assertIn("A su", line)
                self.assertIn("…", line)
        self.assertEqual(self.on_terminal(40, "list")[0].split(), ["key", "date", "from", "subject"])
        self.assertEqual(self.on_terminal(120, "list")[0].split()[-2:], ["size", "tags"])

    def test_keys_that_may_be_missing_are_told(self) -> None:
        """A verb that gets these keys would act on a part of the messages, and say that it acted on all."""
        for verb in (("list",), ("search", "First OR Second")):
            for limit, said in ((1, "The list ends at the limit of 1 message. To list more: -n NUMBER\n"), (3, "")):
                status, out, err = self.run_it(*verb, "--keys", "-n", str(limit))
                self.assertEqual((status, len(out.split()), err), (0, min(limit, 2), said))

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

    def test_a_list_is_sorted_in_either_direction(self) -> None:
        self.add("Large", "adam@x.test", more=f"X: {'x' * 3000}\r\n")
        for options, subjects in (
            (("--sort", "subject"), ["First", "Large", "Second"]),
            (("--sort", "subject", "--reverse"), ["Second", "Large", "First"]),
            (("--sort", "from"), ["Large", "First", "Second"]),
            (("--sort", "size", "-n", "1"), ["Large"]),
            (("--sort", "size", "--reverse"), ["First", "Second", "Large"]),
        ):
            for verb in (
                ("list",),
                ("search", "is:unread"),
                ("list", "--unread"),
                ("list", "-A"),
                ("list", "-A", "-u"),
            ):
                found = json.loads(self.fine(*verb, *options, "--json"))
                self.assertEqual(sorted(one["subject"] for one in found), sorted(subjects), (verb, options))
                if "from" not in options:
                    self.assertEqual([one["subject"] for one in found], subjects, (verb, options))
        self.assertEqual(self.run_it("list", "--sort", "colour")[0], Exit.USAGE)

    def test_conversations_are_trees(self) -> None:
        self.add("Root", more="Message-ID: <r@x>\r\n")
        self.add("Re: Root", more="Message-ID: <1@x>\r\nReferences: <r@x>\r\n")
        self.add("Own", folder="Sent", more="Message-ID: <2@x>\r\nReferences: <r@x> <1@x>\r\n")
        found = json.loads(self.fine("list", "--threads", "--json"))
        depths = {one["subject"]: one["depth"] for one in found}
        self.assertEqual(depths, {"First": 0, "Second": 0, "Root": 0, "Re: Root": 1})
        self.assertNotIn("depth", json.loads(self.fine("list", "--json"))[0])
        key = found[[one["subject"] for one in found].index("Root")]["key"]
        lines = self.fine("thread", key).splitlines()
        self.assertEqual([line.split("\t")[5] for line in lines[1:]], ["Root", "└ Re: Root", "  └ Own"])
        self.assertEqual(len(self.fine("thread", key, "--keys").splitlines()), 3)

    def test_one_folder_of_all_accounts(self) -> None:
        text = b"Subject: At work\r\n\r\nx\r\n"
        self.mailbox.archive.add(Addition(text, Folder("work", "Inbox")))
        found = json.loads(self.fine("list", "inbox", "--all-accounts", "--json"))
        self.assertEqual({(one["account"], one["subject"]) for one in found} - {("work", "At work")},
                         {("alice", "First"), ("alice", "Second")})  # fmt: skip
        self.assertIn("no folder 'nope'", self.run_it("list", "nope", "-A")[2])
        self.assertEqual(self.run_it("list", "-A", "-a", "work")[0], Exit.USAGE)

    def test_a_search_is_saved_used_renamed_and_removed(self) -> None:
        made = json.loads(self.fine("saved", "add", "One or two", "First", "OR", "nowhere", "--json"))
        self.assertEqual(made, {"name": "One or two", "query": "First OR nowhere"})
        self.fine("saved", "add", "all", "is:unread")
        self.mailbox.saved_searches.put("blank", " ")
        found = json.loads(self.fine("search", "--saved", "ONE OR TWO", "--json"))
        self.assertEqual([one["subject"] for one in found], ["First"])
        self.assertEqual(json.loads(self.fine("search", "--saved", "One or two", "Second", "--json")), [])
        self.assertEqual(
            self.fine("saved", "list").splitlines()[1:], ["all\tis:unread", "blank\t ", "One or two\tFirst OR nowhere"]
        )
        for words, status in (
            (("saved", "add", "Bad", "First OR"), Exit.USAGE),
            (("saved", "add", "Blank", " ", ""), Exit.USAGE),
            (("search", "--saved", "blank", " "), Exit.USAGE),
            (("saved", "add", "", "First"), Exit.IO),
            (("saved", "add", "a\nb", "First"), Exit.IO),
            (("saved", "rename", "nope", "x"), Exit.NO_INPUT),
            (("saved", "rename", "all", "one OR two"), Exit.IO),
            (("saved", "remove", "nope"), Exit.NO_INPUT),
            (("search", "--saved", "nope"), Exit.NO_INPUT),
            (("search",), Exit.USAGE),
        ):
            self.assertEqual(self.run_it(*words)[0], status, words)
        self.assertEqual(json.loads(self.fine("saved", "rename", "all", "All", "--json"))["name"], "All")
        self.fine("saved", "remove", "One or two", "--json")
        self.fine("saved", "remove", "blank")
        self.assertEqual(json.loads(self.fine("saved", "list", "--json")), [{"name": "All", "query": "is:unread"}])
        (self.mailbox.paths.archive / ".searches.json").write_text("[")
        self.assertIn("is damaged", self.run_it("saved", "list")[2])

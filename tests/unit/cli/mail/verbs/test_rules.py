"""The verb rules: list, test and apply."""

from __future__ import annotations

from emailsys.client.archive.values import Flag, Folder
from emailsys.config.exit_status import Exit
from tests.unit.cli.mail.mail_case import Case

_RULE = """
[[accounts.alice.rules]]
name = "bob's"
from = "bob@example.org"
subject = "sec"
folder = "Work"
tags = ["bob"]
read = true
"""


class RulesTests(Case):
    """Alice has a rule for messages of Bob."""

    def setUp(self) -> None:
        super().setUp()
        self.write(_RULE)

    def write(self, rule: str) -> None:
        path = self.mailbox.paths.accounts
        path.write_text(path.read_text().partition("\n[[")[0] + "\n" + rule)

    def test_rules_are_listed_and_tried_and_nothing_changes(self) -> None:
        listed = self.json("rules", "list")
        self.assertEqual(listed["rules"][0]["if"], "from: bob@example.org, subject: sec")
        self.assertEqual(listed["rules"][0]["then"], "Work, #bob, read")
        self.assertGreater(listed["rules"][0]["line"], 10)
        self.assertIn("bob's", self.fine("rules", "list", "-a", "alice"))
        tried = self.json("rules", "test", "--folder", "Inbox")
        self.assertEqual(
            [(one["key"], one["rules"], one["folder"]) for one in tried], [(self.second, ["bob's"], "Work")]
        )
        # A message that is named is in the answer, whether a rule matches or not.
        self.assertEqual(self.json("rules", "test", self.first)[0]["rules"], [])
        self.assertIn("Work", self.fine("rules", "test", self.second))
        self.assertEqual(self.folder_of(self.second), "Inbox")

    def test_rules_are_applied_to_what_is_here(self) -> None:
        """Without the folder, the message stays where it is, and that is told."""
        _, _, err = self.run_it("rules", "apply")
        self.assertIn("no folder Work", err)
        self.assertIn("emailsys mail folder add alice/Work", err)
        self.assertIn("in alice/Inbox", err)
        self.assertEqual(self.folder_of(self.second), "Inbox")
        self.mailbox.archive.add_folder(Folder("alice", "Work"))
        self.assertEqual(self.json("rules", "apply"), {"tried": 2, "matched": 1, "notes": []})
        moved = self.mailbox.archive.get(self.second)
        self.assertEqual((moved.folder.name, moved.tags, moved.flags), ("Work", ("bob",), Flag.SEEN))
        self.assertEqual(self.folder_of(self.first), "Inbox")
        self.assertEqual(self.json("rules", "apply", self.second)["matched"], 1)

    def test_errors_are_reported_with_file_and_line_and_other_verbs_go_on(self) -> None:
        self.write(_RULE.replace("read = true", "red = true"))
        status, _, err = self.run_it("rules", "list")
        self.assertEqual(status, Exit.CONFIG)
        self.assertRegex(err, r"mail\.toml: line \d+: accounts\.alice\.rules\[1\]\.red: found true; allowed: ")
        self.assertIn("line", self.refused(Exit.CONFIG, "rules", "test", self.second))
        self.assertIn("line", self.refused(Exit.CONFIG, "rules", "apply"))
        self.fine("list")

    def test_an_account_without_rules_is_named(self) -> None:
        self.write("")
        self.assertIn("mail.toml", self.refused(Exit.NO_INPUT, "rules", "apply"))
        self.refused(Exit.USAGE, "rules", "test")
        self.refused(Exit.USAGE, "rules", "test", self.first, "--folder", "Inbox")
        self.refused(Exit.USAGE, "rules", "apply", self.first, "--folder", "Inbox")
        self.write(_RULE)
        self.refused(
            Exit.USAGE,
            "rules",
            "apply",
            self.mailbox.save_draft(self.mailbox.account("alice"), self.mailbox.blank(self.mailbox.account("alice"))),
        )

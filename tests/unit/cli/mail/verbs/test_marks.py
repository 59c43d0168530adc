"""Verbs that move and delete messages: the folder that the user saw decides."""

from __future__ import annotations

import json

from emailsys.config.exit_status import Exit
from tests.unit.cli.mail.mail_case import Case


class SeenFolderTests(Case):
    """Option --from of delete, move and spam."""

    def test_a_message_that_is_deleted_twice_stays_in_trash(self) -> None:
        """The second `delete` says how to delete it for good."""
        self.fine("delete", self.first)
        self.assertIn(
            "1 message in Trash already. To delete for good: emailsys mail delete --from Trash KEY",
            self.refused(Exit.FAILED, "delete", self.first),
        )
        status, out, _ = self.run_it("delete", self.first, "--json")
        told = {"trashed": [], "gone": [], "left": [self.first]}
        self.assertEqual((status, json.loads(out), self.folder_of(self.first)), (Exit.FAILED, told, "Trash"))
        self.assertIn("1 message deleted for good", self.run_it("delete", "--from", "trash", self.first)[2])
        self.refused(Exit.NO_INPUT, "show", self.first)

    def test_keys_from_a_list_of_trash_need_its_name(self) -> None:
        """A list of keys in a pipe does not say where they were seen."""
        self.fine("delete", self.first)
        keys = self.fine("list", "--keys", "Trash")
        self.assertEqual(self.run_it("delete", "-", typed=f"{keys}{self.second}\n".encode())[0], Exit.FAILED)
        self.assertEqual([*map(self.folder_of, (self.first, self.second))], ["Trash", "Trash"])
        self.fine("undelete", self.second)
        # What somebody has restored since the list was made is not deleted.
        status, out, _ = self.run_it(
            "delete", "-", "--from", "alice/Trash", "--json", typed=f"{keys}{self.second}\n".encode()
        )
        told = {"trashed": [], "gone": [self.first], "left": [self.second]}
        self.assertEqual((status, json.loads(out)), (Exit.FAILED, told))
        self.assertEqual(self.folder_of(self.second), "Inbox")
        self.refused(Exit.NO_INPUT, "delete", self.second, "--from", "nowhere")

    def test_messages_outside_the_folder_that_was_seen_stay(self) -> None:
        """`move` and `spam` leave them, say how many, and exit with status 1; `--for-good` obeys, too."""
        self.fine("move", self.first, "--from", "Inbox", "--to", "Archive")
        status, out, err = self.run_it("move", self.first, self.second, "--from", "inbox", "--to", "Sent", "--json")
        self.assertEqual(status, Exit.FAILED)
        self.assertEqual(json.loads(out), [{"key": self.second, "account": "alice", "folder": "Sent"}])
        self.assertIn("1 message moved to Sent.\n1 message not changed", err)
        self.assertEqual(self.run_it("spam", self.first, "--from", "Sent")[0], Exit.FAILED)
        self.assertEqual(self.run_it("delete", "--for-good", self.first, "--from", "Sent")[0], Exit.FAILED)
        self.assertEqual(self.folder_of(self.first), "Archive")
        self.fine("spam", self.first, "--from", "Archive")
        self.assertEqual(self.folder_of(self.first), "Spam")

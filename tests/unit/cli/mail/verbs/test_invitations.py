"""The verb invite."""

from __future__ import annotations

from emailsys.client.archive.values import Addition, Flag, Folder
from emailsys.config.exit_status import Exit
from tests.unit.cli.mail.mail_case import Case
from tests.unit.client.compose.test_invitation_reply import invitation


class InviteTests(Case):
    """Alice is invited."""

    def setUp(self) -> None:
        super().setUp()
        self.key = self.mailbox.archive.add(Addition(invitation(), Folder("alice", "Inbox")))

    def test_nothing_is_answered_without_yes(self) -> None:
        self.assertIn("olga@example.net", self.fine("invite", self.key))
        self.assertEqual(self.json("invite", self.key)["sequence"], 0)
        self.assertIn("Tell olga@example.net", self.refused(Exit.FAILED, "invite", self.key, "accept", typed="n\n"))
        self.refused(Exit.USAGE, "invite", self.key, "accept", typed=b"")
        self.assertEqual(self.subjects("Outbox"), [])
        self.assertFalse(self.mailbox.archive.get(self.key).flags & Flag.ANSWERED)
        self.fine("invite", self.key, "tentative", "--later", typed="y\n")
        self.assertEqual(self.subjects("Outbox"), ["Tentative: Board; meeting"])
        self.assertTrue(self.mailbox.archive.get(self.key).flags & Flag.ANSWERED)

    def test_other_messages_cannot_be_answered(self) -> None:
        self.assertIn("no invitation", self.refused(Exit.DATA, "invite", self.first, "accept", "--yes"))

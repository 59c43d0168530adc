"""Replies between two accounts of one client."""

from __future__ import annotations

from emailsys.client.archive.values import Addition, Folder
from tests.unit.cli.mail.mail_case import Case


class TwoAccounts(Case):
    """Alice and work are accounts of the same client, and write to each other."""

    def answered(self, account: str, *words: str) -> set[str]:
        octets = (
            b"From: alice@example.org\r\nTo: work@example.org\r\nCc: alice+cc@example.org, d@example.test\r\n\r\nx\r\n"
        )
        key = self.mailbox.archive.add(Addition(octets, Folder(account, "Inbox")))
        document = self.json("reply", key, "-m", "Yes.", "--later", *words)
        self.assertEqual(document.get("account", account), account)
        return set(self.mailbox.outbox.get(document["key"]).recipients)

    def test_an_answer_goes_to_the_other_account(self) -> None:
        """The account that received the message answers its author, which is another account of the client."""
        self.assertEqual(self.answered("work"), {"alice@example.org"})

    def test_an_answer_to_all_leaves_out_the_answering_account_alone(self) -> None:
        self.assertEqual(
            self.answered("work", "--all"), {"alice@example.org", "alice+cc@example.org", "d@example.test"}
        )
        self.assertEqual(self.answered("alice", "--all"), {"work@example.org", "d@example.test"})

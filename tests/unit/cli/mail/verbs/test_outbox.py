"""Verbs that send, and their exit statuses: drafts, aliases, and messages that other programs work on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from emailsys.cli.mail import session as mail_session
from emailsys.client.archive.archive import Archive
from emailsys.client.archive.values import ArchiveError
from emailsys.client.base.process_lock import LockTaken
from emailsys.client.compose.draft import Draft
from emailsys.client.online import MailTransfer
from emailsys.client.send.outbox import Outbox
from emailsys.client.send.sender import SendResult
from emailsys.config.exit_status import Exit
from emailsys.mail.address import parse
from tests.unit.cli.mail.mail_case import Case
from tests.unit.client.screen.screen_case import ALICE, BOB, account


class OutboxVerbTests(Case):
    """The verbs draft send, outbox send, outbox retry, send and sendmail."""

    def later(self) -> str:
        key: str = self.json("send", "dora@example.org", "-s", "x", "-m", "x", "--later")["key"]
        return key

    def leave_in_doubt(self) -> str:
        key = self.later()
        job = self.mailbox.outbox.begin(key)
        assert job is not None
        self.mailbox.outbox.record_last_octets(job)
        self.mailbox.outbox.end(job)
        return key

    def flushing(self, results: Sequence[SendResult]) -> None:
        async def flush(_transfer: Any, _accounts: Any) -> Sequence[SendResult]:
            return results

        self.patch(MailTransfer, "flush", flush)
        self.patch(mail_session, "run_once", self.at_once)

    def test_a_draft_that_cannot_be_removed_is_not_called_unsent(self) -> None:
        """The message is in the outbox. The draft that stays is named."""
        key = self.mailbox.save_draft(self.mailbox.account("alice"), Draft(ALICE, [BOB], subject="x", text="x\n"))

        def purge(_archive: Archive, _keys: Any) -> None:
            raise ArchiveError("No space left on device")

        self.patch(Archive, "purge", purge)
        status, _, err = self.run_it("draft", "send", key, "--later")
        self.assertEqual((status, len(self.mailbox.outbox.list())), (Exit.OK, 1))
        self.assertIn(f"in the outbox, but its draft {key} could not be removed: No space left on device", err)

    def test_a_draft_that_is_not_sent_is_not_saved_twice(self) -> None:
        draft = Draft(ALICE, [BOB], subject="", text="The file is attached.\n")
        key = self.mailbox.save_draft(self.mailbox.account("alice"), draft)
        status, _, err = self.run_it("draft", "send", key, typed="n\n")
        self.assertEqual((status, len(self.subjects("Drafts"))), (Exit.FAILED, 1), err)
        self.assertIn(f"emailsys mail draft edit {key}", err)

    def test_an_alias_chooses_the_account(self) -> None:
        """An account that has the address itself goes before one with the alias."""
        alias = parse("sales@example.org")
        self.mailbox.accounts_file.put(replace(account("work"), aliases=(alias, parse("alice@example.org"))))
        ready = b"To: dora@example.org\r\nSubject: x\r\n\r\nx\r\n"
        for address, owner in (("Sales@example.org", "work"), ("alice@example.org", "alice")):
            for words in (("send", "d@example.org", "--from", address, "-m", "x"), ("sendmail", "-t", "-f", address)):
                key = self.json(*words, "--later", typed=ready)["key"]
                self.assertEqual(self.mailbox.outbox.get(key).account, owner, words)

    def test_a_message_in_doubt_beside_a_sent_one_is_reported_by_the_exit_status(self) -> None:
        key = self.leave_in_doubt()
        self.flushing([SendResult("k", "alice", accepted=("dora@example.org",), by_another=True)])
        status, out, _ = self.run_it("outbox", "send", "--json", typed=b"")
        sent, kept = json.loads(out)
        self.assertEqual((status, sent["by_another"]), (Exit.TEMPORARY, True))
        self.assertEqual((kept["key"], kept["by_another"]), (key, False))

    def test_a_message_that_another_program_takes_out_or_sends_ends_no_flush(self) -> None:
        """It is taken out between the list of messages in doubt and the answer to the question."""
        key = self.leave_in_doubt()
        self.flushing([])
        in_doubt = Outbox.in_doubt

        def listed(outbox: Outbox, accounts: Sequence[str]) -> Any:
            found = in_doubt(outbox, accounts)
            self.mailbox.outbox.stop(key)
            return found

        self.patch(Outbox, "in_doubt", listed)
        self.assertIn("No message is due.", self.run_it("outbox", "send", "--again")[2])

    def test_retry_says_that_a_message_is_being_sent(self) -> None:
        key = self.later()

        def retry(_outbox: Outbox, _key: str) -> None:
            raise LockTaken(7)

        self.patch(Outbox, "retry", retry)
        self.assertIn("process 7 is sending it now", self.refused(Exit.TEMPORARY, "outbox", "retry", key))

"""Removal of accounts with and without their mail, the mail that waits on servers, and fetching it again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from unittest import SkipTest

from emailsys.cli.mail import session
from emailsys.client.accounts.blocking_secrets import CommandSecrets
from emailsys.client.accounts.values import Account
from emailsys.client.archive import snooze
from emailsys.client.archive.values import ArchiveError, Folder
from emailsys.client.fetch.fetcher import Fetcher
from emailsys.client.fetch.journal import FetchedIds
from emailsys.client.fetch.values import FetchError, FetchOptions, FetchResult, ServerMessage
from emailsys.config.exit_status import Exit
from tests.unit.cli.mail.mail_case import Case
from tests.unit.client.screen.screen_case import account


class RemovalTests(Case):
    def setUp(self) -> None:
        super().setUp()

        # A reactor runs only once in a process, and the system's keyring is not asked.
        self.patch(session, "run_once", lambda work: None)

    def removed(self, *words: str, typed: str | bytes = b"") -> str:
        status, _, err = self.run_it("account", "remove", *words, typed=typed)
        self.assertEqual(status, 0, err)
        return err

    def test_an_account_without_mail_leaves_no_folder(self) -> None:
        folder = self.mailbox.paths.archive / "work"
        self.assertTrue(folder.is_dir())
        self.assertEqual(self.removed("work", "--yes"), "Removed the account work.\n")
        self.assertFalse(folder.exists())
        self.assertNotIn("work", self.mailbox.archive.accounts())

    def test_without_a_terminal_mail_stays_and_the_user_is_told_where(self) -> None:
        said = self.removed("alice", "--yes")
        self.assertIn(f"Its mail stays in {self.mailbox.paths.archive / 'alice'}", said)
        self.assertEqual(len(self.mailbox.archive.list(Folder("alice", "Inbox"))), 2)

    def test_on_a_terminal_the_user_is_asked(self) -> None:
        said = self.removed("alice", typed="y\ny\n")
        self.assertIn("Delete its mail on this computer too (2 messages in Inbox)?", said)
        self.assertFalse((self.mailbox.paths.archive / "alice").exists())
        self.mailbox.archive.refresh()
        self.assertEqual((self.mailbox.archive.search("text"), self.mailbox.archive.reports), ([], []))

    def test_deleted_mail_can_be_fetched_again(self) -> None:
        pop3 = self.mailbox.account("alice").pop3
        assert pop3 is not None
        ids = FetchedIds(self.mailbox.paths.state / "fetched", pop3.host, pop3.username)
        ids.load()
        ids.add(["one"], 1)
        self.removed("alice", "--delete-mail", "--yes")
        ids.load()
        self.assertEqual(len(ids), 0)

    def test_a_folder_that_is_not_empty_stays(self) -> None:
        """Mail that a running fetch delivers meanwhile, and files of the user's own."""
        folder = self.mailbox.paths.archive / "work"
        (folder / "notes.txt").write_text("mine")
        self.assertIn(f"stays in {folder}", self.removed("work", "--yes"))
        self.assertTrue((folder / "Inbox").is_dir())
        self.mailbox.accounts_file.put(account("work"))
        (folder / "notes.txt").unlink()
        (folder / "Sent" / ".hidden").touch()
        self.assertIn(f"stays in {folder}", self.removed("work", "--yes", "--delete-mail"))
        self.assertTrue((folder / "Sent" / ".hidden").exists())

    def test_kept_mail_is_kept_although_there_is_none_yet(self) -> None:
        self.removed("work", "--yes", "--keep-mail")
        self.assertTrue((self.mailbox.paths.archive / "work" / "Inbox").is_dir())

    def test_a_message_that_is_not_in_the_index_is_mail(self) -> None:
        file = self.mailbox.paths.archive / "work" / "Inbox" / "a.eml"
        file.write_bytes(b"Subject: hi\r\n\r\nhi\r\n")
        self.assertIn("Its mail stays", self.removed("work", "--yes"))
        self.assertEqual(len(list(file.parent.glob("*.eml"))), 1)

    def test_a_removal_that_failed_is_repeated(self) -> None:
        """Also beside what an earlier one has left."""
        left = self.mailbox.paths.archive / ".removed-alice"
        (left / "Inbox").mkdir(parents=True)
        (left / "Inbox" / "a.eml").touch()

        def refuse(path: Path) -> None:
            raise PermissionError(13, "Permission denied", str(path))

        words = ("account", "remove", "alice", "--delete-mail", "--yes")
        patch = self.patch(shutil, "rmtree", refuse)
        self.assertIn("Permission denied", self.refused(Exit.IO, *words))
        self.assertEqual(self.mailbox.find_account("alice").name, "alice")
        patch.restore()
        self.removed(*words[2:])
        self.assertEqual((left.exists(), (self.mailbox.paths.archive / "alice").exists()), (False, False))
        self.assertNotIn("alice", self.mailbox.accounts_file.load())

    def test_mail_that_is_kept_elsewhere_by_a_link_is_deleted(self) -> None:
        """The next removal of an account is not stopped by the link."""
        folder, elsewhere = self.mailbox.paths.archive / "alice", self.folder / "elsewhere"
        folder.rename(elsewhere)
        try:
            folder.symlink_to(elsewhere, target_is_directory=True)
        except OSError as refused:
            raise SkipTest("no right to make links") from refused
        self.removed("alice", "--delete-mail", "--yes")
        self.assertEqual(([*elsewhere.iterdir()], folder.is_symlink()), ([], False))
        work = self.mailbox.paths.archive / "work"
        work.rename(self.folder / "of work")
        work.symlink_to(self.folder / "of work", target_is_directory=True)
        self.assertIn("stays in", self.removed("work", "--yes"))
        self.assertTrue((work / "Inbox").is_dir())

    def test_mail_stays_if_the_file_of_accounts_cannot_be_changed(self) -> None:
        self.mailbox.paths.accounts.write_text(
            'accounts.alice = {address = "alice@example.test", pop3 = {host = "a.test"}, smtp = {host = "a.test"}}\n'
        )
        said = self.refused(Exit.CONFIG, "account", "remove", "alice", "--delete-mail", "--yes")
        self.assertIn("edit it by hand", said)
        self.assertEqual(len(self.mailbox.archive.list(Folder("alice", "Inbox"))), 2)

    def test_rules_with_an_error_keep_spam_where_it_is(self) -> None:
        with self.mailbox.paths.accounts.open("a") as file:
            file.write('\n[[accounts.alice.rules]]\nfrom = "x"\nfoldr = "Y"\n')
        said = self.refused(Exit.CONFIG, "spam", self.first, "--rule")
        self.assertIn("foldr", said)
        self.assertEqual(self.folder_of(self.first), "Inbox")


class ServerTests(Case):
    def test_waiting_lists_all_accounts_although_one_fails(self) -> None:
        alice = self.mailbox.account("alice")
        broken = Account("broken", alice.address, pop3=alice.pop3)
        self.mailbox.accounts_file.put(broken)
        self.mailbox.accounts_file.put(Account("smtp-only", alice.address))

        def preview(fetcher: Fetcher, account: Account, lines: int = 0, limit: int = 100) -> Sequence[ServerMessage]:
            if account.name == "broken":
                raise FetchError("no connection", transient=True)
            return [ServerMessage(f"uid-{account.name}", 10, b"Subject: hello\r\n\r\n", False)]

        self.patch(Fetcher, "preview", preview)
        self.patch(CommandSecrets, "prefetch", lambda *_: None)
        status, out, err = self.run_it("waiting", "--json")
        self.assertEqual((status, err), (75, "broken: no connection\n"))
        listed = [(one["account"], one["uid"]) for one in json.loads(out)]
        self.assertEqual(listed, [("alice", "uid-alice"), ("work", "uid-work")])

    def test_a_fetch_tells_that_snoozed_messages_stay(self) -> None:
        def wake(*_: object) -> list[str]:
            raise ArchiveError("the index is damaged")

        def fetch_all(fetcher: Fetcher, accounts: Sequence[Account], wanted: FetchOptions) -> Sequence[FetchResult]:
            return [FetchResult(one.name) for one in accounts]

        self.patch(Fetcher, "fetch_all", fetch_all)
        self.patch(CommandSecrets, "prefetch", lambda *_: None)
        self.patch(snooze, "wake", wake)
        self.mailbox.archive.add_folder(Folder("alice", "Snoozed"))
        status, _, err = self.run_it("fetch", "alice")
        self.assertEqual(status, 0)
        self.assertIn("Snoozed messages were not brought back: the index is damaged", err)

    def test_a_new_data_folder_tells_how_to_fetch_again(self) -> None:
        asked: list[bool] = []

        def fetch_all(fetcher: Fetcher, accounts: Sequence[Account], wanted: FetchOptions) -> Sequence[FetchResult]:
            asked.append(wanted.again)
            return [FetchResult(one.name, on_server=3) for one in accounts]

        self.patch(Fetcher, "fetch_all", fetch_all)
        self.patch(CommandSecrets, "prefetch", lambda *_: None)
        status, _, err = self.run_it("fetch", "alice", "work")
        self.assertEqual(status, 0, err)
        self.assertIn("To fetch them: emailsys mail fetch work --again", err)
        self.assertNotIn("emailsys mail fetch alice --again", err)
        self.run_it("fetch", "work", "--again")
        self.assertEqual(asked, [False, True])
        self.assertEqual(self.run_it("fetch", "--again", "--watch")[0], 64)

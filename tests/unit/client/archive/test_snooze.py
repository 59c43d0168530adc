"""Messages that are out of sight until a moment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from emailsys.client.archive.snooze import snooze, snoozed_until, wake
from emailsys.client.archive.values import ArchiveError, ArchiveFull, Flag, Folder
from emailsys.client.compose.draft import Draft
from emailsys.client.rules.spam import move_to_spam
from tests.unit.cli.mail.mail_case import Case
from tests.unit.client.screen.screen_case import ALICE, BOB, NOW


class SnoozeTests(Case):
    """From a folder to Snoozed, and back at its time."""

    def state(self, key: str) -> tuple[str, bool]:
        summary = self.mailbox.archive.get(key)
        return summary.folder.name, summary.is_unread

    def test_a_message_comes_back_unread_where_it_was(self) -> None:
        archive = self.mailbox.archive
        archive.add_folder(Folder("alice", "Work"))
        archive.move([self.first], Folder("alice", "Work"))
        archive.set_flags([self.first, self.second], add=Flag.SEEN)
        archive.set_note(self.first, {"other": 1})
        snooze(archive, [archive.get(self.first)], NOW + timedelta(hours=1))
        # Once more, for longer: it still knows where it was.
        snooze(archive, [archive.get(self.first)], NOW + timedelta(hours=2))
        snooze(archive, [archive.get(self.second)], NOW + timedelta(hours=3))
        self.assertEqual(self.state(self.first), ("Snoozed", False))
        self.assertEqual(snoozed_until(archive, archive.get(self.first)), NOW + timedelta(hours=2))
        self.assertEqual(wake(archive, NOW + timedelta(hours=1)), [])
        self.assertEqual(wake(archive, NOW + timedelta(hours=2)), [self.first])
        self.assertEqual((self.state(self.first), archive.note(self.first)), (("Work", True), {"other": 1}))
        self.assertEqual(self.state(self.second), ("Snoozed", False))

    def test_where_its_folder_is_gone_it_comes_back_to_inbox(self) -> None:
        archive = self.mailbox.archive
        archive.add_folder(Folder("alice", "Work"))
        archive.move([self.first], Folder("alice", "Work"))
        snooze(archive, [archive.get(self.first)], NOW)
        archive.remove_folder(Folder("alice", "Work"))
        wake(archive, NOW)
        self.assertEqual(self.state(self.first)[0], "Inbox")

    def test_a_message_that_is_purged_meanwhile_keeps_no_other_asleep(self) -> None:
        archive = self.mailbox.archive
        snooze(archive, [archive.get(self.first), archive.get(self.second)], NOW)
        note = archive.note

        def purged(key: str) -> Mapping[str, Any] | None:
            if key == self.second:
                archive.purge([key])
            return note(key)

        self.patch(archive, "note", purged)
        self.assertEqual(wake(archive, NOW), [self.first])

    def test_on_a_full_disk_messages_come_back_later(self) -> None:
        archive = self.mailbox.archive
        snooze(archive, [archive.get(self.first)], NOW)

        def full(*_: object, **__: object) -> None:
            raise ArchiveFull("the disk is full")

        patch = self.patch(archive, "set_flags", full)
        self.assertEqual((wake(archive, NOW), self.state(self.first)[0]), ([], "Snoozed"))
        patch.restore()
        self.assertEqual(wake(archive, NOW), [self.first])

    def test_a_message_moved_to_snoozed_by_hand_stays_there(self) -> None:
        archive = self.mailbox.archive
        archive.add_folder(Folder("alice", "Snoozed"))
        archive.move([self.first], Folder("alice", "Snoozed"))
        self.assertEqual((wake(archive, NOW), snoozed_until(archive, archive.get(self.first))), ([], None))

    def test_a_message_in_the_outbox_is_not_snoozed(self) -> None:
        key = self.mailbox.queue(self.mailbox.account("alice"), Draft(ALICE, [BOB], subject="x", text="x\n"))
        self.assertRaises(ArchiveError, snooze, self.mailbox.archive, [self.mailbox.archive.get(key)], NOW)
        self.assertRaises(ArchiveError, move_to_spam, self.mailbox.archive, [self.mailbox.archive.get(key)])

    def test_the_verb_and_the_fetch(self) -> None:
        """The fetch of an account without servers is enough to bring it back."""
        self.json("snooze", self.first, "--until", "+2h")
        self.assertEqual(self.folder_of(self.first), "Snoozed")
        later = self.mailbox.now() + timedelta(hours=3)
        wake(self.mailbox.archive, later)
        self.assertEqual(self.folder_of(self.first), "Inbox")


class SpamTests(Case):
    """The folder Spam, and rules for senders."""

    def test_spam_and_a_rule_once(self) -> None:
        found = self.json("spam", self.first, self.second, "--rule")
        self.assertEqual(found["rules"], ["bob@example.org"])
        # Their dates are the same, so that their keys decide the order.
        self.assertEqual(sorted(self.subjects("Spam")), ["First", "Second"])
        self.assertEqual(self.json("spam", self.first, "--rule")["rules"], [])
        (rule,) = self.mailbox.account("alice").rules
        self.assertEqual((rule.conditions[0].patterns, rule.folder), (("bob@example.org",), "Spam"))
        self.assertEqual(self.mailbox.account("work").rules, ())

    def test_ones_own_address_gets_no_rule(self) -> None:
        octets = self.mailbox.archive.octets(self.first).replace(b"Bob <bob@example.org>", b"alice+x@example.org")
        self.mailbox.archive.replace(self.first, octets)
        self.assertEqual(self.json("spam", self.first, "--rule")["rules"], [])

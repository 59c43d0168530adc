"""Columns of a message list."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.archive.values import Flag, Folder, Summary
from emailsys.client.display.list_text import correspondent, flag_letters, short_date, size, size_text, tree_prefix

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=timezone(timedelta(hours=1)))


def summary(sender: str, recipients: str = "", folder: str = "Inbox", unverified: bool = False) -> Summary:
    """A message with a sender as the index has it."""
    return Summary(
        "key", 1, Folder("alice", folder), NOW, "x", sender, recipients, "", 1, 0, Flag.NONE, (), "", 1, unverified
    )


class CorrespondentTests(SynchronousTestCase):
    def test_a_long_name_or_address_is_not_taken_for_a_whole_one(self) -> None:
        """The beginning of a long address may be the address of somebody else."""
        for sender, shown in (
            ("Bob <bob@example.org>", "Bob"),
            ("bob@example.org", "bob@example.org"),
            ("support@internetbankingplc.com", "support@internetbankingplc.com"),
            ("support@internetbankingplc.com.evil.example", "support@internetbankingplc.co…"),
            ("evil@evil.example (support@bank.example)", "evil@evil.example (support@ba…"),
            ("N" * 31, "N" * 29 + "…"),
            ("", "-"),
        ):
            self.assertEqual(correspondent(summary(sender)), shown)

    def test_sent_mail_names_its_recipients_and_an_unverified_sender_is_marked(self) -> None:
        self.assertEqual(correspondent(summary("alice@example.org", "Bob", "Sent")), "To: Bob")
        self.assertEqual(correspondent(summary("alice@example.org", folder="Drafts")), "To: -")
        self.assertEqual(correspondent(summary("bob@example.org", unverified=True)), "(?) bob@example.org")


class ColumnTests(SynchronousTestCase):
    def test_sizes_are_short(self) -> None:
        for octets, column, sentence in (
            (1, "1", "1 octet"),
            (999, "999", "999 octets"),
            (1_000, "1.0k", "1.0 KiB"),
            (10_189, "10k", "10 KiB"),
            (1_023_487, "999k", "999 KiB"),
            (1_023_488, "1.0M", "1.0 MiB"),
            (1 << 40, "1024G", "1024 GiB"),
        ):
            self.assertEqual((size(octets), size_text(octets)), (column, sentence))

    def test_dates_are_short_in_the_zone_of_the_reader(self) -> None:
        for date, shown, narrow in (
            (datetime(2026, 11, 29, 23, 30, tzinfo=UTC), "00:30", "00:30"),
            (datetime(2026, 11, 29, 22, 30, tzinfo=UTC), "29 Nov", "29 Nov"),
            (datetime(2026, 2, 5, tzinfo=UTC), " 5 Feb", " 5 Feb"),
            (datetime(2025, 11, 30, tzinfo=UTC), "2025-11-30", "2025"),
            (datetime(2028, 1, 1, tzinfo=UTC), "2028-01-01", "2028"),
        ):
            self.assertEqual((short_date(date, NOW), short_date(date, NOW, is_narrow=True)), (shown, narrow))

    def test_flags_are_letters(self) -> None:
        self.assertEqual(flag_letters(Flag.NONE), "N")
        self.assertEqual(flag_letters(Flag.SEEN | Flag.FLAGGED | Flag.ANSWERED | Flag.FORWARDED), "!rf")

    def test_deep_answers_are_not_indented_further(self) -> None:
        self.assertEqual([tree_prefix(depth) for depth in (0, 1, 2)], ["", "└ ", "  └ "])
        self.assertEqual(tree_prefix(9), tree_prefix(100))

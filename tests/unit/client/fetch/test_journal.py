"""The journal of fetched ids is on disk before it is trusted, and a crash cannot falsify it."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.fetch.journal import FetchedIds, numbered_ids


class JournalTests(SynchronousTestCase):
    """One maildrop."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())

    def ids(self, host: str = "pop.example.org") -> FetchedIds:
        ids = FetchedIds(self.folder, host, "alice@example.org")
        ids.load()
        return ids

    def journal(self) -> Path:
        (path,) = self.folder.glob("*.ids")
        return path

    def test_recorded_ids_are_known_after_a_restart(self) -> None:
        self.ids().add(["a", "b 2"], 1000)
        ids = self.ids()
        self.assertEqual((len(ids), ids.fetched_at("a"), "b 2" in ids, "b" in ids), (2, 1000, True, False))

    def test_the_first_fetch_counts(self) -> None:
        ids = self.ids()
        ids.add(["a"], 1000)
        ids.add(["a"], 2000)
        self.assertEqual(self.ids().fetched_at("a"), 1000)

    def test_ids_that_were_dropped_are_new_and_can_be_added_again(self) -> None:
        ids = self.ids()
        ids.forget()
        self.assertEqual([*self.folder.glob("*.ids")], [])
        ids.add(["a", "b"], 1000)
        ids.forget()
        self.assertEqual((len(ids), len(self.ids())), (0, 0))
        ids.add(["a"], 2000)
        self.assertEqual(self.ids().fetched_at("a"), 2000)
        ids.remove()
        ids.remove()
        self.assertEqual(len(self.ids()), 0)

    def test_maildrops_do_not_share_a_journal(self) -> None:
        self.ids().add(["a"], 1000)
        self.assertNotIn("a", self.ids("pop.example.net"))

    def test_a_torn_line_says_nothing_and_is_cut_off(self) -> None:
        ids = self.ids()
        ids.add(["abcdef"], 1000)
        whole = self.journal().read_bytes()
        self.journal().write_bytes(whole + b"1000 ghi")
        ids = self.ids()
        self.assertNotIn("ghi", ids)
        ids.add(["jkl"], 1000)
        self.assertEqual(self.journal().read_bytes(), whole + b"1000 jkl\n")

    def test_lines_that_are_none_are_passed_over(self) -> None:
        self.ids().add(["a"], 1000)
        self.journal().write_bytes(b"nonsense\n\xff\n1000 b\n")
        self.assertEqual(len(self.ids()), 1)

    def test_ids_that_left_the_server_are_pruned_once_there_are_many(self) -> None:
        ids = self.ids()
        ids.add([str(number) for number in range(3000)], 1000)
        ids.keep_only({"1", "2"})
        self.assertEqual(len(ids), 2)
        ids.add(["new"], 2000)
        again = self.ids()
        self.assertEqual((len(again), again.fetched_at("1"), "new" in again), (3, 1000, True))

    def test_an_empty_maildrop_may_be_a_mistake_and_makes_nothing_forgotten(self) -> None:
        ids = self.ids()
        ids.add([str(number) for number in range(3000)], 1000)
        ids.keep_only(set())
        self.assertEqual(len(ids), 3000)

    def test_an_id_that_cannot_be_synced_is_not_recorded(self) -> None:
        ids = self.ids()
        ids.add(["a"], 1000)
        before = self.journal().read_bytes()

        def refuse(descriptor: int) -> None:
            raise OSError(5, "Input/output error")

        self.patch(os, "fsync", refuse)
        self.assertRaises(OSError, ids.add, ["b"], 1000)
        self.assertNotIn("b", ids)
        self.assertEqual(self.journal().read_bytes(), before)

    @settings(deadline=None, suppress_health_check=(HealthCheck.too_slow,))
    @given(st.lists(st.sampled_from("abc"), max_size=12))
    def test_messages_with_one_id_are_told_apart(self, uids: list[str]) -> None:
        told = numbered_ids(enumerate(uids, 1))
        self.assertEqual([number for number, _ in told], list(range(1, len(uids) + 1)))
        self.assertEqual(len({uid for _, uid in told}), len(uids))

"""The watch over other nodes: which have ended, and which hang."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.store.node.watch import SILENT_FOR, NodeWatch, Sign


class NodeWatchTests(SynchronousTestCase):
    """A node with number 3, seen from another one."""

    def setUp(self) -> None:
        self.watch = NodeWatch()
        self.now = 1000.0

    def look(self, sign: Sign | None, after: float = 2.0) -> tuple[list[int], list[Sign]]:
        """Let the watch see a sign, some seconds after the last look. Returns what it decides."""
        self.now += after
        return self.watch.look([3], {} if sign is None else {3: sign}, self.now, patience=30.0)

    def test_a_node_without_a_connection_has_ended_after_some_seconds(self) -> None:
        """Before that, it may run, and only its connection was lost."""
        for _ in range(int(SILENT_FOR // 2)):
            self.assertEqual(self.look(None), ([], []))
        self.assertEqual(self.look(None), ([3], []))

    def test_a_node_that_came_back_has_all_its_seconds_again(self) -> None:
        for _ in range(3):
            self.look(None)
        self.assertEqual(self.look(Sign(7, "noon", 1)), ([], []))
        self.assertEqual(self.look(None), ([], []))
        self.assertEqual(self.look(None), ([], []))

    def test_a_node_whose_sign_stays_the_same_hangs(self) -> None:
        sign = Sign(7, "noon", 1)
        looks = [self.look(sign) for _ in range(17)]
        self.assertEqual([hanging for _, hanging in looks], [[]] * 15 + [[sign]] * 2)
        self.assertEqual({tuple(ended) for ended, _ in looks}, {()})

    def test_a_node_that_gives_signs_lives_on(self) -> None:
        looks = [self.look(Sign(7, "noon", number)) for number in range(60)]
        self.assertEqual(looks, [([], [])] * 60)

    def test_time_in_which_nobody_looked_counts_as_a_few_seconds(self) -> None:
        """The database was stopped, and its clients had no way to give a sign."""
        sign = Sign(7, "noon", 1)
        self.look(sign)
        self.assertEqual(self.look(sign, after=600.0), ([], []))

    def test_a_node_whose_signs_may_not_be_read_never_hangs(self) -> None:
        sign = Sign(7, "noon", None)
        self.assertEqual([self.look(sign) for _ in range(60)], [([], [])] * 60)

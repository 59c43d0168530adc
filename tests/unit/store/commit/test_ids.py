"""Ids are unique and increase with time."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.store.commit.ids import NODES, IdSource, id_text, node_of


class IdTests(SynchronousTestCase):
    """The ids of a node."""

    def setUp(self) -> None:
        self.now = 1_800_000_000.0

    def source(self, node: int = 7, last_id: int = 0) -> IdSource:
        return IdSource(node, last_id, lambda: self.now)

    def test_a_later_message_has_a_higher_id(self) -> None:
        source = self.source()
        made = []
        for step in (0.0, 0.0, 0.001, 5.0, 0.0):
            self.now += step
            made.append(source.make())
        self.assertEqual(made, sorted(set(made)))
        self.assertLess(made[-1], 1 << 63)

    def test_a_clock_that_goes_back_makes_no_id_twice(self) -> None:
        source = self.source()
        made = [source.make() for _ in range(10)]
        self.now -= 86_400
        made += [source.make() for _ in range(10)]
        self.assertEqual(made, sorted(set(made)))

    def test_more_ids_than_a_millisecond_has_borrow_from_the_next(self) -> None:
        source = self.source()
        made = [source.make() for _ in range(10_000)]
        self.assertEqual(made, sorted(set(made)))
        self.assertEqual({node_of(number) for number in made}, {7})

    def test_a_restart_with_the_clock_behind_goes_on_above_what_was_committed(self) -> None:
        last = [self.source().make() for _ in range(3)][-1]
        self.now -= 3600
        self.assertGreater(self.source(last_id=last).make(), last)

    def test_a_restart_within_the_same_millisecond_repeats_nothing(self) -> None:
        first = self.source()
        made = {first.make() for _ in range(100)}
        self.assertNotIn(self.source(last_id=max(made)).make(), made)

    def test_two_nodes_never_make_the_same_id(self) -> None:
        low, high = self.source(0), self.source(NODES - 1)
        made = [source.make() for _ in range(100) for source in (low, high)]
        self.assertEqual(len(set(made)), 200)
        self.assertEqual({node_of(number) for number in made}, {0, NODES - 1})

    def test_the_text_of_ids_keeps_their_order(self) -> None:
        numbers = [0, 1, 31, 32, 1023, 1024, self.source().make(), (1 << 63) - 1]
        texts = [id_text(number) for number in numbers]
        self.assertEqual(texts, sorted(set(texts)))
        self.assertEqual({len(text) for text in texts}, {14})

"""Counters decay, and their table has a bounded size."""

from __future__ import annotations

import math

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys.policy.decaying_counters import DecayingCounters, growing_delay


class DecayingCountersTests(SynchronousTestCase):
    """A limit of three, and a half-life of a minute."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.counters: DecayingCounters[str] = DecayingCounters(self.clock, 3, 60.0, most=4)

    def test_a_key_is_full_at_its_limit_and_others_are_not(self) -> None:
        for number in range(3):
            self.assertFalse(self.counters.is_full("a"), number)
            self.counters.add("a")
        self.assertTrue(self.counters.is_full("a"))
        self.assertFalse(self.counters.is_full("b"))

    def test_a_count_loses_half_in_each_half_life(self) -> None:
        for _ in range(3):
            self.counters.add("a")
        self.clock.advance(60)
        self.assertAlmostEqual(self.counters.count("a"), 1.5)
        self.clock.advance(60)
        self.assertAlmostEqual(self.counters.count("a"), 0.75)
        self.assertFalse(self.counters.is_full("a"))

    def test_a_count_that_is_taken_back_does_not_count(self) -> None:
        self.counters.add("a")
        self.counters.add("a")
        self.counters.take_back("a")
        self.assertEqual(self.counters.count("a"), 1)
        self.counters.take_back("a")
        self.counters.take_back("a")
        self.assertEqual((self.counters.count("a"), len(self.counters)), (0, 0))

    def test_a_full_table_drops_the_key_that_was_counted_first(self) -> None:
        """Each address of a botnet is a key. Memory stays bounded, and the active addresses stay counted."""
        for key in "abcdaef":
            self.counters.add(key)
        self.assertEqual([self.counters.count(key) for key in "abcdef"], [2, 0, 0, 1, 1, 1])

    def test_decayed_keys_are_dropped(self) -> None:
        for key in "abc":
            self.counters.add(key)
        self.clock.advance(600)
        self.counters.add("d")
        self.counters.add("d")
        self.assertEqual(len(self.counters), 1)

    def test_without_a_limit_no_key_is_full(self) -> None:
        counters: DecayingCounters[str] = DecayingCounters(self.clock, math.inf, 60.0)
        for _ in range(1000):
            counters.add("a")
        self.assertFalse(counters.is_full("a"))

    def test_the_delay_of_any_count_is_at_most_four_seconds(self) -> None:
        """Without a limit, an attack has thousands of failures."""
        self.assertEqual([growing_delay(count) for count in (3, 4, 7, 1_100, 1e9)], [0, 0.5, 4, 4, 4])

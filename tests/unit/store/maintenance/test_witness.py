"""Witnessed time: a clock that is set back leaves no gap that nobody saw."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import StaticPool
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from emailsys.store.maintenance.witness import WitnessedTime
from emailsys.store.schema.columns import SECOND
from emailsys.store.schema.tables import clock_looks

T = TypeVar("T")
DAY = 86_400


class _Database:
    """A table in memory, and a monotonic clock."""

    def __init__(self) -> None:
        self._engine = create_engine("sqlite://", poolclass=StaticPool)
        self.passed = 0.0
        with self._engine.begin() as connection:
            clock_looks.create(connection)

    def seconds(self) -> float:
        return self.passed

    async def run(self, name: str, job: Callable[[Connection], T]) -> T:
        with self._engine.begin() as connection:
            return job(connection)


class WitnessTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.database = _Database()
        self.wall = 1.8e9
        self.start()

    def start(self) -> None:
        """What a daemon does when it starts."""
        self.witness = WitnessedTime(self.database, lambda: self.wall)  # type: ignore[arg-type]
        self.gap = self.look()

    def look(self) -> float:
        """Return the gap that was found, in seconds."""
        _, gap = self.successResultOf(Deferred.fromCoroutine(self.witness.look()))
        return gap / SECOND

    def run_for(self, seconds: int, jump: float = 0.0) -> float:
        """Let time pass, and look. Returns the gap that was found."""
        self.database.passed += seconds
        self.wall += seconds + jump
        return self.look()

    def days_ago(self, days: int) -> float:
        """Return how long ago by the wall clock so many days of witnessed time began."""
        now = round(self.wall * SECOND)
        return (now - self.witness.ago(now, days * DAY * SECOND)) / SECOND / DAY

    def twenty_days_after_a_stop_of_two(self) -> None:
        self.wall += 2 * DAY
        self.start()
        self.assertEqual(self.gap, 2 * DAY)
        for _ in range(20 * 24):
            self.run_for(3600)
        self.assertAlmostEqual(self.days_ago(30), 32)

    def test_a_clock_that_is_set_back_past_the_last_look_leaves_no_gap(self) -> None:
        self.twenty_days_after_a_stop_of_two()
        for back in (1200, 7200):
            self.assertEqual(self.run_for(600, -back), 0)
        self.assertAlmostEqual(self.days_ago(30), 32)

    def test_a_clock_that_is_set_back_while_the_daemon_is_stopped_leaves_no_gap(self) -> None:
        self.twenty_days_after_a_stop_of_two()
        self.wall -= 1200
        self.start()
        self.assertEqual(self.gap, 0)

    def test_a_stop_after_a_clock_that_was_ahead_is_a_gap(self) -> None:
        self.run_for(600)
        self.assertEqual(self.run_for(600, 400 * DAY), 400 * DAY)
        self.wall -= 397 * DAY
        self.start()
        self.assertEqual(self.gap, 3 * DAY)

    def test_a_clock_that_was_ahead_for_a_while_leaves_no_gap(self) -> None:
        self.run_for(600)
        self.assertEqual(self.run_for(600, 400 * DAY), 400 * DAY)
        self.assertEqual(self.run_for(600, -400 * DAY), 0)
        self.assertAlmostEqual(self.days_ago(30), 30)

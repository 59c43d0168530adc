"""Periodic maintenance tasks: when a step runs, and what happens after a failed step."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import override

from emailsys.interfaces import StoreError
from emailsys.store.maintenance.periodic import MaintenanceTask
from emailsys.telemetry import Telemetry
from tests.contract.engines import ClockedReactor

# Seconds that a clock adds up without an error.
PAUSE = 0.125


class Weeding(MaintenanceTask):
    """A task with a number of steps. A step may be slow or fail."""

    def __init__(self, clock: Clock, telemetry: Telemetry, work: int) -> None:
        super().__init__("weeding", ClockedReactor(clock), telemetry, PAUSE, 4.0)
        self.work = work
        self.steps = 0
        self.lasts: Deferred[None] | None = None
        self.fails: Exception | None = None

    @override
    async def step(self) -> bool:
        self.steps += 1
        if self.fails is not None:
            raise self.fails
        if self.lasts is not None:
            await self.lasts
        self.work = max(0, self.work - 1)
        return self.work > 0


class MaintenanceTaskTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.telemetry = Telemetry()

    def weeding(self, work: int) -> Weeding:
        weeding = Weeding(self.clock, self.telemetry, work)
        weeding.start()
        return weeding

    def test_between_two_steps_mail_has_the_store_for_itself(self) -> None:
        weeding = self.weeding(3)
        for steps in (1, 2, 3):
            self.clock.advance(PAUSE / 2)
            self.assertEqual(weeding.steps, steps - 1)
            self.clock.advance(PAUSE / 2)
            self.assertEqual(weeding.steps, steps)
        self.clock.advance(3)
        self.assertEqual(weeding.steps, 3)

    def test_a_wake_ends_a_rest_and_does_not_disturb_a_step(self) -> None:
        weeding = self.weeding(1)
        self.clock.advance(PAUSE)
        weeding.work = 1
        weeding.wake()
        self.clock.advance(PAUSE)
        self.assertEqual(weeding.steps, 2)
        lasts: Deferred[None] = Deferred()
        weeding.lasts = lasts
        weeding.wake()
        self.clock.advance(PAUSE)
        weeding.wake()
        self.clock.advance(60)
        self.assertEqual(weeding.steps, 3)
        lasts.callback(None)
        self.clock.advance(4)
        self.assertEqual(weeding.steps, 4)

    def test_mail_that_never_ceases_does_not_put_the_work_off_for_ever(self) -> None:
        """Each settled message wakes the sweeper, far more often than it runs a step."""
        weeding = self.weeding(100)
        for _ in range(160):
            weeding.wake()
            self.clock.advance(PAUSE / 16)
        self.assertGreaterEqual(weeding.steps, 9)

    def test_a_step_that_fails_is_tried_again_after_a_rest(self) -> None:
        weeding = self.weeding(2)
        for error in (StoreError("busy"), ValueError("a defect")):
            weeding.fails = error
            self.clock.advance(4)
        self.assertEqual(self.telemetry.counters["weeding-postponed"], 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        weeding.fails = None
        self.clock.advance(4)
        self.assertEqual(weeding.steps, 3)

    def test_after_the_stop_no_step_is_begun(self) -> None:
        weeding = self.weeding(3)
        self.clock.advance(PAUSE)
        lasts: Deferred[None] = Deferred()
        weeding.lasts = lasts
        self.clock.advance(PAUSE)
        weeding.stop()
        lasts.callback(None)
        weeding.wake()
        self.clock.advance(60)
        self.assertEqual(weeding.steps, 2)

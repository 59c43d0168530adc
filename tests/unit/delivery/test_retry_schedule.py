"""Schedule: intervals grow from minutes to hours; a warning after four hours, expiry after five days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import QueueSettings
from emailsys.delivery.retry_schedule import Forecast, ForecastKind, after_attempt, forecast, interval

ARRIVED = datetime(2026, 1, 1, tzinfo=UTC)
DEFAULT = QueueSettings()
HOUR = timedelta(hours=1)


def foretold(down: timedelta, settings: QueueSettings = DEFAULT) -> list[Forecast]:
    return list(forecast(settings, ARRIVED, ARRIVED + down, lambda: 0.5))


class Schedule(SynchronousTestCase):
    def test_intervals_grow_up_to_the_longest(self) -> None:
        seconds = [interval(DEFAULT, attempts, 0.5) for attempts in (0, 1, 2, 5, 6, 100, 10_000)]
        self.assertEqual(seconds, [300, 600, 1200, 9600, 14400, 14400, 14400])

    def test_chance_spreads_them_by_a_tenth(self) -> None:
        self.assertAlmostEqual(interval(DEFAULT, 0, 0.0), 270)
        self.assertAlmostEqual(interval(DEFAULT, 0, 1.0), 330)

    def test_the_end_is_the_end(self) -> None:
        end = ARRIVED + timedelta(days=5)
        step = after_attempt(DEFAULT, 30, ARRIVED, end - timedelta(seconds=1), True, 0.5)
        self.assertEqual(step.due_at, end, "one attempt is made at the very end")
        self.assertIsNone(after_attempt(DEFAULT, 31, ARRIVED, end, True, 0.5).due_at)

    def test_a_sender_is_warned_once(self) -> None:
        later = ARRIVED + 5 * HOUR
        self.assertTrue(after_attempt(DEFAULT, 7, ARRIVED, later, False, 0.5).warn)
        self.assertFalse(after_attempt(DEFAULT, 7, ARRIVED, later, True, 0.5).warn)

    def test_seconds_are_possible(self) -> None:
        quick = QueueSettings(first_retry=1, max_retry=2, warn_after=3, give_up_after=6)
        told = [(round((f.at - ARRIVED).total_seconds()), f.kind.name) for f in foretold(HOUR, quick)]
        self.assertEqual(
            told,
            [
                (0, "ATTEMPT_FAILS"),
                (1, "ATTEMPT_FAILS"),
                (3, "ATTEMPT_FAILS"),
                (3, "WARNING"),
                (5, "ATTEMPT_FAILS"),
                (6, "ATTEMPT_FAILS"),
                (6, "GIVEN_UP"),
            ],
        )


class Foretelling(SynchronousTestCase):
    def test_a_host_down_for_three_hours_gets_the_mail_without_a_warning(self) -> None:
        told = foretold(3 * HOUR)
        self.assertEqual(told[-1].kind, ForecastKind.DELIVERED)
        self.assertGreaterEqual(told[-1].at, ARRIVED + 3 * HOUR)
        self.assertNotIn(ForecastKind.WARNING, [step.kind for step in told])

    def test_a_host_down_for_a_day_costs_one_warning(self) -> None:
        kinds = [step.kind for step in foretold(24 * HOUR)]
        self.assertEqual(kinds.count(ForecastKind.WARNING), 1)
        self.assertEqual(kinds[-1], ForecastKind.DELIVERED)

    def test_a_host_down_for_a_week_ends_in_a_bounce(self) -> None:
        told = foretold(timedelta(days=7))
        self.assertEqual(told[-1], Forecast(ARRIVED + timedelta(days=5), ForecastKind.GIVEN_UP))

    def test_a_host_that_is_up_gets_the_mail_at_once(self) -> None:
        self.assertEqual(foretold(timedelta(0)), [Forecast(ARRIVED, ForecastKind.DELIVERED)])

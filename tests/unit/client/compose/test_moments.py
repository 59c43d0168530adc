"""Times as people type them."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.compose.moments import BadMoment, parse_moment

#: A Monday.
NOW = datetime(2026, 3, 23, 12, 0, tzinfo=UTC)


class MomentTests(SynchronousTestCase):
    """Spans, times of day, weekdays and dates, in the time zone of the machine."""

    def setUp(self) -> None:
        self.addCleanup(self.in_zone, os.environ.get("TZ"))
        self.in_zone("UTC")

    def in_zone(self, name: str | None) -> None:
        if name is None:
            os.environ.pop("TZ", None)
        else:
            os.environ["TZ"] = name
        if hasattr(time, "tzset"):
            time.tzset()

    def at(self, text: str) -> str:
        return f"{parse_moment(text, NOW):%a %d %H:%M}"

    def test_relative_and_absolute_times_are_understood(self) -> None:
        for text, expected in (
            ("+90m", "Mon 23 13:30"),
            ("+2h", "Mon 23 14:00"),
            ("+3d", "Thu 26 12:00"),
            ("+1w", "Mon 30 12:00"),
            ("2h", "Mon 23 14:00"),
            ("3D", "Thu 26 12:00"),
            ("1w", "Mon 30 12:00"),
            ("18:30", "Mon 23 18:30"),
            ("9:00", "Tue 24 09:00"),
            ("tomorrow", "Tue 24 08:00"),
            ("Tomorrow, 7.15", "Tue 24 07:15"),
            ("today 23:59", "Mon 23 23:59"),
            ("fri", "Fri 27 08:00"),
            ("Monday 9:00", "Mon 30 09:00"),
            ("monday 13:00", "Mon 23 13:00"),
            ("2026-03-25", "Wed 25 08:00"),
            ("2026-03-25 18:30", "Wed 25 18:30"),
            ("2026-03-25T18:30", "Wed 25 18:30"),
        ):
            self.assertEqual(self.at(text), expected, text)

    def test_an_invalid_time_is_refused_with_examples(self) -> None:
        for text in ("", "now", "25:00", "9:60", "9", "+3", "+3y", "mo", "2026-02-30", "2026-03-25T", "2026-13-01T9",
                     "tomorrow 9", "at 9:00", "+99999w +1d", "\u0669:\u0660\u0660", "9999-12-31T23:59+99:00",
                     "0001-01-01T00:00"):  # fmt: skip
            self.assertIn("Examples: +2h", str(self.assertRaises(BadMoment, parse_moment, text, NOW)), text)

    def test_a_time_in_the_past_is_refused(self) -> None:
        for text in ("2026-03-22", "today", "today 11:59", "+0m", "2026-03-23T13:00+02:00"):
            self.assertIn("has passed", str(self.assertRaises(BadMoment, parse_moment, text, NOW)), text)

    def test_a_span_beyond_the_calendar_is_refused(self) -> None:
        late = datetime(9999, 12, 1, tzinfo=UTC)
        self.assertRaises(BadMoment, parse_moment, "+99999w", late)

    def test_days_keep_the_time_of_day_when_summer_time_begins_and_hours_do_not(self) -> None:
        """Clocks in Berlin go from 2:00 to 3:00 on 29 March 2026."""
        if not hasattr(time, "tzset"):
            raise SkipTest("needs Unix")
        self.in_zone("Europe/Berlin")
        now = datetime(2026, 3, 28, 19, 0, tzinfo=UTC)
        for text, expected in (
            ("+1d", "2026-03-29T20:00:00+02:00"),
            ("+24h", "2026-03-29T21:00:00+02:00"),
            ("tomorrow 9:00", "2026-03-29T09:00:00+02:00"),
            ("2026-03-29T09:00Z", "2026-03-29T11:00:00+02:00"),
        ):
            self.assertEqual(parse_moment(text, now).isoformat(), expected, text)

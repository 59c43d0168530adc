"""Padding of rows to a power of two, so that few statements are prepared."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from emailsys.store.engine.base import pad_to_power_of_two


class PaddingTests(SynchronousTestCase):
    """The number of rows is always a power of two."""

    def test_the_last_row_is_repeated_up_to_a_power_of_two(self) -> None:
        for count, length in ((1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (200, 256)):
            rows = list(range(count))
            self.assertEqual(pad_to_power_of_two(rows), rows + [count - 1] * (length - count))

    def test_no_row_stays_no_row(self) -> None:
        self.assertEqual(pad_to_power_of_two([]), [])

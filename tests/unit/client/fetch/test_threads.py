"""Calls in threads: their results, and what happens if one of them fails."""

from __future__ import annotations

from threading import Event
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.fetch.threads import run_in_threads

# Seconds. A call that is never stopped waits so long.
_PATIENCE: Final = 20.0


def fail() -> bool:
    raise ValueError("a defect")


class ThreadTests(SynchronousTestCase):
    def test_results_in_order_although_the_first_one_is_the_last_to_end(self) -> None:
        second = Event()

        def first() -> str:
            return "first" if second.wait(_PATIENCE) else "alone"

        def set_it() -> str:
            second.set()
            return "second"

        self.assertEqual(run_in_threads([first, set_it], lambda: None), ["first", "second"])

    def test_a_failure_is_told_at_once_where_the_others_run_until_they_are_stopped(self) -> None:
        stopped = Event()
        seen: list[bool] = []
        with self.assertRaises(ValueError):
            run_in_threads([lambda: seen.append(stopped.wait(_PATIENCE)), fail], stopped.set, ends_at_error=True)
        self.assertEqual(seen, [True])

    def test_elsewhere_the_others_end_first(self) -> None:
        stopped: list[bool] = []
        with self.assertRaises(ValueError):
            run_in_threads([fail, lambda: True], lambda: stopped.append(True))
        self.assertEqual(stopped, [])

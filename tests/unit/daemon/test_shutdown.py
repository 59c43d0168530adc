"""Only the first SIGTERM or SIGINT stops the daemon, and no SIGHUP is lost."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from emailsys.daemon import shutdown


class _RunningReactor:
    def callWhenRunning(self, function: Callable[[], None]) -> None:
        function()


class ShutdownTests(SynchronousTestCase):
    """L{shutdown.end_once} with handlers that count."""

    def setUp(self) -> None:
        self.stops: list[int] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
            signal.signal(number, lambda number, frame: self.stops.append(number))
        shutdown.end_once(_RunningReactor())
        self.stop_once: Any = signal.getsignal(signal.SIGTERM)

    def test_later_signals_change_nothing(self) -> None:
        """The signal that came first stops the daemon."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            self.stop_once(number, None)
        self.assertEqual(self.stops, [signal.SIGTERM])

    def test_a_second_signal_inside_the_first_one_changes_nothing(self) -> None:
        """Two signals that come together: Python may run the second handler between any two lines of the first."""
        inside = 0

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal inside
            if frame.f_code is not self.stop_once.__code__:
                return None
            if event == "line":
                inside += 1
                sys.settrace(None)
                self.stop_once(signal.SIGINT, None)
                sys.settrace(trace)
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            self.stop_once(signal.SIGTERM, None)
        finally:
            sys.settrace(before)
        self.assertGreater(inside, 0)
        self.assertEqual(len(self.stops), 1)

    def test_a_signal_that_is_ignored_stays_ignored(self) -> None:
        """As `nohup` and shells start a program in the background."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        shutdown.end_once(_RunningReactor())
        self.assertEqual(signal.getsignal(signal.SIGINT), signal.SIG_IGN)


class HangUpTests(SynchronousTestCase):
    """SIGHUP, from the start of the daemon."""

    reloads = 0

    def setUp(self) -> None:
        if sys.platform == "win32":
            raise SkipTest("needs Unix")
        self.addCleanup(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP))

    def reload(self) -> None:
        self.reloads += 1

    def test_a_reload_during_the_start_is_done_after_it(self) -> None:
        """An upgrade of the store takes minutes, and the certificates may be renewed meanwhile."""
        if sys.platform != "win32":
            shutdown.on_hang_up(self.reload)
            self.addCleanup(shutdown.forget_hang_ups, self.reload)
            shutdown.note_hang_ups()
            shutdown.handle_hang_ups()
            self.assertEqual(self.reloads, 0)
            shutdown.note_hang_ups()
            for _ in range(2):
                signal.raise_signal(signal.SIGHUP)
            self.assertEqual(self.reloads, 0)
            shutdown.handle_hang_ups()
            self.assertEqual(self.reloads, 1)
            signal.raise_signal(signal.SIGHUP)
            self.assertEqual(self.reloads, 2)

    def test_no_reload_follows_the_drain(self) -> None:
        if sys.platform != "win32":
            shutdown.on_hang_up(self.reload)
            shutdown.handle_hang_ups()
            shutdown.forget_hang_ups(self.reload)
            signal.raise_signal(signal.SIGHUP)
            self.assertEqual(self.reloads, 0)

"""Ends of a command that has started daemons: no code that a signal interrupts can hide the request."""

from __future__ import annotations

import contextlib
import signal

from twisted.trial.unittest import SynchronousTestCase

from emailsys.cli.tryout.end_signals import Ended, until_ended


class UntilEndedTests(SynchronousTestCase):
    """Blocks that a signal ends."""

    def setUp(self) -> None:
        self.cleanups: list[object] = []
        self.before = signal.getsignal(signal.SIGTERM)

    def _clean_up(self) -> None:
        # A second signal during the cleanup does nothing.
        signal.raise_signal(signal.SIGTERM)
        self.cleanups.append(signal.getsignal(signal.SIGTERM))

    def _assert_ended(self) -> None:
        self.assertEqual(self.cleanups, [signal.SIG_IGN])
        self.assertEqual(signal.getsignal(signal.SIGTERM), self.before)

    def test_a_signal_ends_the_block(self) -> None:
        """Nothing after the signal runs but the cleanup."""
        with self.assertRaises(Ended), until_ended(self._clean_up, "stopping"):
            signal.raise_signal(signal.SIGTERM)
            self.fail("the block went on")
        self._assert_ended()

    def test_an_exception_that_replaces_it(self) -> None:
        """Python makes a RuntimeError of what ends `__set_name__` in an import."""
        with self.assertRaises(Ended), until_ended(self._clean_up, "stopping"):
            try:
                signal.raise_signal(signal.SIGTERM)
            except Ended:
                raise RuntimeError("Error calling __set_name__") from None
        self._assert_ended()

    def test_an_exception_that_is_lost(self) -> None:
        """C code reports what a callback raises, and goes on."""
        with self.assertRaises(Ended), until_ended(self._clean_up, "stopping"):
            with contextlib.suppress(Ended):
                signal.raise_signal(signal.SIGTERM)
            self.cleanups.clear()
        self._assert_ended()

    def test_other_exceptions_and_a_plain_end(self) -> None:
        """They stay what they are, and the cleanup runs."""
        with until_ended(lambda: self.cleanups.append("plain"), "stopping"):
            pass
        with self.assertRaises(ZeroDivisionError), until_ended(lambda: self.cleanups.append("failed"), "stopping"):
            raise ZeroDivisionError
        self.assertEqual(self.cleanups, ["plain", "failed"])
        self.assertEqual(signal.getsignal(signal.SIGTERM), self.before)

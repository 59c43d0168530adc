"""Handlers of signals for the time of a block."""

from __future__ import annotations

import signal
import threading

from twisted.trial.unittest import SynchronousTestCase

from emailsys.platforms.signals import handled


class HandledTests(SynchronousTestCase):
    """SIGTERM, which every system has."""

    def setUp(self) -> None:
        self.came: list[int] = []
        self.addCleanup(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, signal.SIG_IGN))

    def hear(self, number: int, frame: object) -> None:
        self.came.append(number)

    def test_signals_are_handled_in_the_block_alone(self) -> None:
        """A signal that no system has is passed over."""
        with handled(("SIGTERM", "SIGNONE"), self.hear):
            signal.raise_signal(signal.SIGTERM)
        self.assertEqual(self.came, [signal.SIGTERM])
        self.assertIs(signal.getsignal(signal.SIGTERM), signal.SIG_IGN)

    def test_a_signal_that_is_ignored_stays_ignored_on_request(self) -> None:
        """As SIGHUP under nohup."""
        with handled(("SIGTERM",), self.hear, even_ignored=False):
            signal.raise_signal(signal.SIGTERM)
        self.assertEqual(self.came, [])

    def test_another_thread_changes_nothing(self) -> None:
        """Python would raise ValueError there."""

        def run() -> None:
            with handled(("SIGTERM",), self.hear):
                self.came.append(0)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        self.assertEqual(self.came, [0])

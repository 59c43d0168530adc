"""The log of a daemon in the background: a few files, and no more than a disk should bear."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from unittest import SkipTest

from twisted.internet import reactor
from twisted.logger import ILogObserver, Logger
from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.monitoring_settings import MonitoringSettings
from emailsys.daemon import twistd_log
from emailsys.telemetry import Telemetry


class LogFileTests(SynchronousTestCase):
    """It lies in the state folder, on the disk of the store."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        if sys.platform != "win32":
            self.addCleanup(signal.signal, signal.SIGUSR1, signal.getsignal(signal.SIGUSR1))

    def open_log(self) -> ILogObserver:
        return twistd_log.open_log(str(self.path), MonitoringSettings())

    def test_a_log_that_grows_is_opened_anew_and_a_few_old_files_are_kept(self) -> None:
        """Else a busy system would fill the disk of its own store with lines about it."""
        self.patch(twistd_log, "ROTATE_OCTETS", 500)
        telemetry = Telemetry(Logger(namespace="emailsys", observer=self.open_log()))
        for number in range(1000):
            telemetry.event("accepted", n=number)
        kept = sorted(path.name.removeprefix(self.path.name) for path in self.path.parent.glob(f"{self.path.name}*"))
        self.assertEqual(kept, ["", *(f".{number}" for number in range(1, twistd_log.OLD_FILES + 1))])
        self.assertIn("accepted n=999\n", self.path.read_text())
        # The last but one is beside it, and none is much larger than it may be.
        self.assertIn("accepted n=9", Path(f"{self.path}.1").read_text())
        self.assertLess(max(path.stat().st_size for path in self.path.parent.glob(f"{self.path.name}*")), 600)

    def test_at_sigusr1_a_log_that_was_moved_is_opened_anew(self) -> None:
        """logrotate moves it and sends the signal; with `create` it also leaves an empty file there."""
        if sys.platform == "win32":
            raise SkipTest("Windows has no SIGUSR1")
        telemetry = Telemetry(Logger(namespace="emailsys", observer=self.open_log()))
        rotate = signal.getsignal(signal.SIGUSR1)
        assert callable(rotate)
        for number, then in enumerate((lambda: None, self.path.touch)):
            telemetry.event("accepted", n=number)
            self.path.rename(f"{self.path}.moved{number}")
            then()
            self.patch(reactor, "callFromThread", lambda call, *arguments: call(*arguments))
            rotate(signal.SIGUSR1, None)
            telemetry.event("accepted", n=number + 10)
            with self.subTest(number):
                self.assertIn(f"accepted n={number}\n", Path(f"{self.path}.moved{number}").read_text())
                self.assertIn(f"accepted n={number + 10}\n", self.path.read_text())
        telemetry.event("accepted", n=99)
        rotate(signal.SIGUSR1, None)
        self.assertIn("accepted n=99\n", Path(f"{self.path}.1").read_text())

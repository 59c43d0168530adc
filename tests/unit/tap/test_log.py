"""The log of a daemon in the background: a few files, and no more than a disk should bear."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase

from emailsys.tap import log
from emailsys.telemetry import Telemetry


class LogFileTests(SynchronousTestCase):
    """It lies in the state folder, on the disk of the store."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        if sys.platform != "win32":
            self.addCleanup(signal.signal, signal.SIGUSR1, signal.getsignal(signal.SIGUSR1))

    def test_a_log_that_grows_is_opened_anew_and_a_few_old_files_are_kept(self) -> None:
        """Else a busy system would fill the disk of its own store with lines about it."""
        self.patch(log, "ROTATE_OCTETS", 500)
        telemetry = Telemetry(Logger(namespace="emailsys", observer=log.open_log(str(self.path))))
        for number in range(1000):
            telemetry.event("accepted", n=number)
        kept = sorted(path.name.removeprefix(self.path.name) for path in self.path.parent.glob(f"{self.path.name}*"))
        self.assertEqual(kept, ["", *(f".{number}" for number in range(1, log.OLD_FILES + 1))])
        self.assertIn("accepted n=999\n", self.path.read_text())
        # The last but one is beside it, and none is much larger than it may be.
        self.assertIn("accepted n=9", Path(f"{self.path}.1").read_text())
        self.assertLess(max(path.stat().st_size for path in self.path.parent.glob(f"{self.path.name}*")), 600)

"""The mail log stays open until another one is."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.monitoring_settings import MonitoringSettings
from emailsys.daemon.mail_log import MailLogFile
from emailsys.telemetry import Telemetry


class MailLogFileTests(SynchronousTestCase):
    def test_a_log_that_cannot_be_opened_leaves_the_former_one_in_use(self) -> None:
        """Events went nowhere, because the former one was closed first."""
        folder = Path(self.mktemp())
        folder.mkdir()
        telemetry = Telemetry()
        log = MailLogFile(replace(MonitoringSettings(), mail_log=folder / "first"), telemetry)
        self.addCleanup(log.close)
        log.reopen()
        log.settings = replace(log.settings, mail_log=folder / "missing" / "second")
        log.reopen()
        telemetry.event("accepted", number=1)
        first = (folder / "first").read_text()
        self.assertIn("mail-log-refused", first)
        self.assertIn("accepted", first)
        log.settings = replace(log.settings, mail_log=folder / "second")
        log.reopen()
        telemetry.event("accepted", number=2)
        self.assertEqual((folder / "first").read_text(), first)
        self.assertIn("number=2", (folder / "second").read_text())
        log.settings = replace(log.settings, mail_log=None)
        log.reopen()
        telemetry.event("accepted", number=3)
        self.assertNotIn("number=3", (folder / "second").read_text())

    def test_a_pipe_never_holds_the_daemon(self) -> None:
        """Neither one without a reader, nor one whose reader has stopped reading: the events are lost."""
        if sys.platform == "win32":
            raise SkipTest("Windows has no such files")
        path = Path(self.mktemp())
        os.mkfifo(path)
        telemetry = Telemetry()
        log = MailLogFile(replace(MonitoringSettings(), mail_log=path), telemetry)
        self.addCleanup(log.close)
        log.reopen()
        self.assertEqual(telemetry.counters["mail-log-refused"], 1)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self.addCleanup(os.close, reader)
        log.reopen()
        for _ in range(20):
            telemetry.event("accepted", text="x" * 65536)
        self.assertIn(b"accepted", os.read(reader, 100))

"""Messages before there is a log: in the format of the configuration, even of a faulty one."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.monitoring_settings import LogFormat
from emailsys.daemon.log_output import settings_of_faulty


class FaultyTests(SynchronousTestCase):
    def test_a_variable_goes_before_the_file(self) -> None:
        file = Path(self.mktemp())
        file.write_text('[monitoring]\nlog_format = "auto"\nspy = 1\n', "utf-8")
        self.assertIs(settings_of_faulty(file).log_format, LogFormat.AUTO)
        self.patch(os, "environ", {"EMAILSYS_MONITORING__LOG_FORMAT": "json"})
        for path in (file, None):
            self.assertIs(settings_of_faulty(path).log_format, LogFormat.JSON)

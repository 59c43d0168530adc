"""The .tac file of docs/embedding.md, run by twistd."""

from __future__ import annotations

import os
import re
import shutil
import signal
import smtplib
import subprocess
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.control.control_socket import NoDaemon, ask
from emailsys.control.requests import Status
from tests.live.programs.command_blocks import CHECKOUT
from tests.live.programs.daemon import PATIENCE, TWISTD
from tests.live.programs.lab import wait_for
from tests.system.daemon.test_embedding import CONFIG

PAGE = CHECKOUT / "docs" / "embedding.md"
# What stands beside the mail system.
BESIDE = """
from twisted.application.internet import TimerService
from twisted.python import log
TimerService(999, log.msg, "the shop is open").setServiceParent(application)
"""


class TacTests(SynchronousTestCase):
    def test_the_example_of_the_page(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="emailsys-tac-"))
        self.addCleanup(shutil.rmtree, folder)
        example = re.search(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
        assert example is not None
        self.assertLessEqual(len([line for line in example[1].splitlines() if line]), 8)
        (folder / "mail.tac").write_text(example[1] + BESIDE)
        (folder / "emailsys.toml").write_text(CONFIG)
        command = [TWISTD, "-noy", "mail.tac", "--pidfile="]
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

        def listening() -> dict[str, list[str]] | None:
            self.assertIsNone(process.poll(), (folder / "log").read_text())
            try:
                return dict(ask(folder / "mail", Status())["result"]["listening"])
            except NoDaemon:
                return None

        [address] = wait_for(listening)["smtp"]
        host, _, port = address.rpartition(":")
        with smtplib.SMTP(host, int(port), timeout=60) as client:
            self.assertEqual(client.noop()[0], 250)
        process.send_signal(signal.SIGTERM)
        # twistd ends itself by the same signal.
        self.assertEqual(process.wait(PATIENCE), -signal.SIGTERM)
        text = (folder / "log").read_text()
        self.assertIn("the shop is open", text)
        self.assertIn("stopped", text)
        self.assertFalse((folder / "mail" / "control.sock").exists())

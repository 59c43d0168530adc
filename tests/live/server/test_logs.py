"""The log of a daemon in a container: each line on stdout and stderr is a JSON object."""

from __future__ import annotations

import json
import signal
import sys

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.exit_status import Exit
from tests.live.programs.daemon import BIN, Daemon
from tests.live.programs.wire import smtp

# Runs twistd in a process in which one command raises an exception that nobody expected.
_FAULTY = (
    "import sys; from emailsys.policy.access import Delivery\n"
    "def broken(*_): raise RuntimeError('nobody expected this')\n"
    "Delivery.validateTo = broken\n"
    "from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"
)


class JSONLinesTests(SynchronousTestCase):
    """Start, traffic, a fault and the stop."""

    def test_each_line_is_an_object(self) -> None:
        """Lines before the log is open, Twisted's own, events, an alarm, a traceback, and what is printed."""
        if sys.platform == "win32":
            raise RuntimeError("needs Unix")
        daemon = Daemon('[monitoring]\nlog_format = "json"\n')
        self.addCleanup(daemon.close)
        daemon.user()
        daemon.signal(signal.SIGTERM)
        daemon.wait()
        daemon.start([sys.executable, "-c", _FAULTY, "-n", "emailsys"])
        with smtp(daemon) as wire:
            self.assertEqual(wire.code(b"MAIL FROM:<a@example.org>"), 250)
            self.assertEqual(wire.code(b"RCPT TO:<bob@example.test>"), 451)
        daemon.signal(signal.SIGHUP)
        daemon.signal(signal.SIGTERM)
        daemon.wait()
        entries = [json.loads(line) for line in daemon.log.splitlines()]
        for entry in entries:
            self.assertRegex(entry["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$", entry)
            self.assertIn(entry["level"], ("info", "warn", "error", "critical"), entry)
            self.assertTrue(entry["event"], entry)
        events = [entry["event"] for entry in entries]
        self.assertLessEqual({"start", "started", "message", "stopped", "smtp-exception"}, set(events))
        (fault,) = [entry for entry in entries if "traceback" in entry]
        self.assertIn("nobody expected this", fault["traceback"])

    def test_a_configuration_that_is_wrong(self) -> None:
        """The daemon does not start; a collector reads why."""
        daemon = Daemon()
        self.addCleanup(daemon.close)
        daemon.signal(signal.SIGTERM)
        daemon.wait()
        before = len(daemon.log)
        daemon.config_path.write_text(daemon.config_path.read_text() + '[monitoring]\nlog_format = "json"\nspy = 1\n')
        for program in ([str(BIN / "twistd"), "-n", "emailsys"], [str(BIN / "emailsys"), "serve"]):
            daemon.launch(program)
            self.assertEqual(daemon.wait(), Exit.CONFIG)
        first, second = (json.loads(line) for line in daemon.log[before:].splitlines())
        self.assertEqual((first["level"], first["event"]), ("critical", "start"))
        self.assertIn("monitoring.spy", second["text"])

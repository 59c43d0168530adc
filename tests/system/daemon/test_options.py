"""The options of `twistd emailsys`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from emailsys.config.loader import embedded
from emailsys.config.locations import choose_state
from emailsys.config.settings import Settings
from emailsys.daemon import Options, makeService, startup


class OptionsTests(TestCase):
    """Options of `twistd emailsys`."""

    def twistd(self, **changes: object) -> dict[str, object]:
        """Return twistd's own options after those of emailsys were read."""
        parent = {"pidfile": "twistd.pid", "nodaemon": False, "logfile": None, "syslog": False, **changes}
        options = Options()
        options.parent = parent  # type: ignore[assignment]  # twistd's own Options, of which ours need a mapping
        options.parseOptions(["--state", "/srv/state"])
        self.assertEqual(options["state"], "/srv/state")
        return parent

    def test_no_pid_file_and_no_log_go_to_the_working_directory(self) -> None:
        """In the background, the log is in the state folder, unless the operator names another file."""
        self.assertEqual(self.twistd()["pidfile"], "")
        self.assertEqual(self.twistd()["logfile"], "/srv/state/emailsys.log")
        self.assertIsNone(self.twistd(nodaemon=True)["logfile"])
        self.assertIsNone(self.twistd(syslog=True)["logfile"])
        self.assertEqual(self.twistd(logfile="/var/log/mail")["logfile"], "/var/log/mail")
        self.assertEqual(self.twistd(pidfile="/run/mail.pid")["pidfile"], "/run/mail.pid")

    def test_twistd_in_the_background_has_the_store_tried_first(self) -> None:
        """In the foreground, the store is opened only once."""
        asked: list[object] = []
        umask = os.umask(0o022)
        self.addCleanup(os.umask, umask)
        chosen = choose_state("/s", {}, False)

        def prepared(
            choice: object, settings: Settings, background: bool, predecessor: object, kind: object
        ) -> SimpleNamespace:
            self.assertIs(choice, chosen)
            asked.append(background)
            return SimpleNamespace(settings=settings, succession=SimpleNamespace())

        settings = embedded(Path("/s"))
        lost: list[int] = []
        if sys.platform != "win32":
            self.addCleanup(signal.signal, signal.SIGHUP, signal.getsignal(signal.SIGHUP))
            signal.signal(signal.SIGHUP, lambda number, frame: lost.append(number))

        def read(*options: object) -> tuple[object, Settings]:
            self.assertEqual(options, ("/s", "/c"))
            # An operator may send it before the configuration is read: it is noted, and does not end the process.
            if sys.platform != "win32":
                signal.raise_signal(signal.SIGHUP)
            return chosen, settings

        self.patch(startup, "read_configuration", read)
        self.patch(startup, "prepare_with", prepared)
        for nodaemon in (False, True):
            options = Options()
            parent = {"pidfile": "", "nodaemon": nodaemon, "logfile": "x", "syslog": False}
            options.parent = parent  # type: ignore[assignment]  # as above
            options.parseOptions(["--state", "/s", "--config", "/c"])
            makeService(options)
        self.assertEqual(lost, [])
        self.assertEqual(asked, [True, False])

    def test_the_plugin_finds_options_and_service(self) -> None:
        """twistd imports both by these names."""
        from twisted.plugins.emailsys_plugin import emailsys

        self.assertIs(emailsys.options, Options)
        self.assertIs(emailsys.makeService, makeService)
        self.assertIsNotNone(reactor)

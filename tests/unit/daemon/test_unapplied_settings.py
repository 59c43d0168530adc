"""What SIGHUP says of settings that it does not apply."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.loader import embedded, load
from emailsys.config.settings import Listen
from emailsys.daemon.unapplied_settings import SettingsWatch
from tests.fakes.net.smtp_house import Events


class SettingsWatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.write_text('hostname = "mx.example.org"\n[listen]\nsmtp = "127.0.0.1:0"\n')
        self.telemetry = Events()
        settings = load(self.path, Path("state"))
        # The daemon has taken a free port.
        running = replace(settings, smtp_listen=Listen((("127.0.0.1", 50025),)))
        self.watch = SettingsWatch(running, self.telemetry)

    def test_an_unchanged_file_needs_no_restart(self) -> None:
        """Nor does a port that the system chose differ from the file."""
        self.watch.report()
        self.assertEqual(self.telemetry.lines, [])

    def test_changed_settings_are_named_as_the_file_writes_them(self) -> None:
        self.path.write_text(
            'hostname = "mx.example.org"\n[listen]\nsmtp = "127.0.0.1:2525"\n[queue]\nfirst_retry = "1m"\n'
            '[outbound.timeouts]\nconnect = "5s"\n[[routing.routes]]\nhost = "smtp.example"\n'
        )
        self.watch.report()
        [event] = self.telemetry.of("restart-needed")
        settings = "listen.smtp,queue.first_retry,routing.routes,outbound.timeouts.connect"
        self.assertEqual(event, {"settings": settings})

    def test_a_file_that_is_wrong_is_told_before_the_restart_that_would_fail(self) -> None:
        self.path.write_text("[queue]\nfirst_retry = -1\n")
        self.watch.report()
        [event] = self.telemetry.of("config-refused")
        self.assertIn("queue.first_retry: found -1", str(event["why"]))
        self.path.unlink()
        self.watch.report()
        self.assertIn("cannot be read", str(self.telemetry.of("config-refused")[1]["why"]))

    def test_without_a_file_nothing_can_change(self) -> None:
        watch = SettingsWatch(embedded(Path("state")), self.telemetry)
        watch.report()
        self.assertEqual(self.telemetry.lines, [])

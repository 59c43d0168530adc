"""What a reload applies, what it leaves to a restart, and what it refuses."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.loader import embedded, load
from emailsys.config.settings import CertificateFiles, Listen, Settings
from emailsys.daemon.reload import Reload, Reloaded, changed_keys, is_live, why_restart
from tests.fakes.net.smtp_house import Events


class ReloadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.write_text('hostname = "mx.example.org"\n[listen]\nsmtp = "127.0.0.1:0"\n')
        self.telemetry = Events()
        settings = load(self.path, Path("state"))
        # The daemon has taken a free port.
        self.running = replace(settings, smtp_listen=Listen((("127.0.0.1", 50025),)))
        self.applied: list[Settings] = []
        self.subject = self.reload_of(self.running)

    def reload_of(self, settings: Settings) -> Reload:
        def certificates(found: Settings) -> tuple[CertificateFiles, ...]:
            return found.tls.certificates

        def fit(found: Settings) -> Settings:
            return replace(found, pop3=replace(found.pop3, max_connections=min(found.pop3.max_connections, 9)))

        return Reload(settings, self.telemetry, certificates, fit, self.applied.append)

    def test_an_unchanged_file_needs_no_restart(self) -> None:
        """Nor does a port that the system chose differ from the file."""
        self.assertEqual(self.subject.reload(), Reloaded())
        self.assertEqual((self.telemetry.lines, self.applied), ([], []))

    def test_live_keys_are_applied_and_the_others_are_named(self) -> None:
        """As the file writes them. A second reload applies nothing again, and still names what waits for a restart."""
        self.path.write_text(
            'hostname = "mx.example.org"\n[listen]\nsmtp = "127.0.0.1:2525"\n[queue]\nfirst_retry = "1m"\n'
            '[outbound.timeouts]\nconnect = "5s"\n[[routing.routes]]\nhost = "smtp.example"\n'
            '[pop3]\ntakeover_after = "2m"\nsession_timeout = "20m"\nmax_connections = 40\n'
        )
        self.assertEqual(self.subject.reload(only_check=True), self.subject.reload(only_check=True))
        self.assertEqual((self.telemetry.lines, self.applied), ([], []), "a check changes and logs nothing")
        outcome = self.subject.reload()
        live = ("pop3.session_timeout", "pop3.max_connections", "queue.first_retry", "routing.routes")
        self.assertEqual(outcome.applied, live)
        waiting = ["listen.smtp", "pop3.takeover_after", "outbound.timeouts.connect"]
        self.assertEqual([key for key, _ in outcome.restart], waiting)
        [now] = self.applied
        self.assertEqual((now.queue.first_retry, now.routing.routes[0].host), (60.0, "smtp.example"))
        self.assertEqual((now.pop3.session_timeout, now.pop3.max_connections), (1200.0, 9))
        kept = (now.smtp_listen, now.pop3.takeover_after, now.outbound.timeouts.connect)
        before = (self.running.smtp_listen, self.running.pop3.takeover_after, self.running.outbound.timeouts.connect)
        self.assertEqual(kept, before)
        self.assertEqual(self.telemetry.of("config-reloaded"), [{"settings": ",".join(live)}])
        again = self.subject.reload()
        self.assertEqual((again.applied, again.restart, len(self.applied)), ((), outcome.restart, 1))
        self.assertEqual(self.telemetry.of("restart-needed"), [{"settings": ",".join(waiting)}] * 2)

    def test_what_could_not_be_put_into_force_is_tried_again(self) -> None:
        """One step of SIGHUP fails unexpectedly. The next SIGHUP is not told that nothing has changed."""
        self.path.write_text(self.path.read_text() + '[queue]\nfirst_retry = "1m"\n')
        applied = self.applied.append
        faults = [ZeroDivisionError()]

        def apply(settings: Settings) -> None:
            if faults:
                raise faults.pop()
            applied(settings)

        self.subject._apply = apply
        steps: list[str] = []
        outcome = self.subject.run(False, lambda: steps.append("before"), lambda: steps.append("after"))
        self.assertEqual((outcome.is_done, steps, self.applied), (False, ["before", "after"], []))
        self.assertEqual(self.subject.reload().applied, ("queue.first_retry",))
        self.assertEqual([one.queue.first_retry for one in self.applied], [60.0])
        self.assertEqual(self.subject.reload().applied, ())

    def test_a_file_that_is_wrong_changes_nothing(self) -> None:
        """Each error is logged and returned. Correct parts of the file are not applied either."""
        right = self.path.read_text()
        cases = {
            "[queue]\nfirst_retry = -1\n[smtp]\nmax_recipients = 5\n": "queue.first_retry: found -1",
            "[queue\n": "is not TOML: Expected ']' at the end of a table declaration (at line 4",
            '[[tls.certificates]]\nchain = "none.pem"\nkey = "none.key"\n': "tls.certificates: ",
        }
        for text, told in cases.items():
            self.path.write_text(right + text)
            problem = "; ".join(self.subject.reload().problems)
            self.assertIn(told, problem)
            self.assertIn(str(self.path), problem)
            self.assertEqual(self.telemetry.of("config-refused")[-1], {"why": problem})
        self.path.unlink()
        self.assertIn("cannot be read", self.subject.reload().problems[0])
        self.assertEqual(self.applied, [])

    def test_without_a_file_nothing_can_change(self) -> None:
        self.assertEqual(self.reload_of(embedded(Path("state"))).reload(), Reloaded())

    def test_every_key_is_either_live_or_has_a_reason(self) -> None:
        """Each key below names a setting, so that a renamed one does not silently need a restart."""

        def keys(value: object, path: str = "") -> list[str]:
            found = []
            for field in fields(value):  # type: ignore[arg-type]
                inner = getattr(value, field.name)
                if is_dataclass(inner) and not isinstance(inner, Listen):
                    found += keys(inner, f"{path}{field.name}.")
                else:
                    found.append(f"{path}{field.name}")
            return found

        known = keys(self.running)
        for key in known:
            self.assertTrue(is_live(key) or why_restart(key))
        for key in ("smtp.max_recipients", "tls.certificates", "monitoring.log_level", "store.default_quota"):
            self.assertIn(key, known)
            self.assertTrue(is_live(key), key)
        for key in (
            "hostname",
            "store.url",
            "pop3.takeover_after",
            "pop3.workers",
            "workers",
            "web.listen",
            "wiretap.enabled",
            "login.max_waiting",
        ):
            self.assertIn(key, known)
            self.assertFalse(is_live(key), key)

    def test_keys_of_listening_addresses_are_those_of_the_file(self) -> None:
        after = replace(self.running, pop3s_listen=Listen((("::1", 995),)))
        self.assertEqual(list(changed_keys(self.running, after)), ["listen.pop3s"])

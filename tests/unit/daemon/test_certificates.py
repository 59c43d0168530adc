"""The daemon reads its certificates again, and reports those that clients reject or will reject soon."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys import pki
from emailsys.config.exit_status import Exit
from emailsys.config.settings import CertificateFiles
from emailsys.daemon.certificates import CHECK_EVERY, LOOK_EVERY, READ_EVERY, CertificateWatch
from emailsys.daemon.sent_notices import SentNotices
from emailsys.interfaces import StoreFull
from emailsys.net.tls.server import ServerTLS
from emailsys.supervisor import StartupError
from emailsys.telemetry import Telemetry
from tests.fakes.net.tls_pipe import served

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class WatchTests(SynchronousTestCase):
    """On a clock of the test."""

    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.files = served(*pki.ensure_development_ca(self.folder, now=NOW).certificates)
        self.state = Path(self.mktemp())
        self.state.mkdir()
        self.now = NOW
        self.clock = Clock()
        self.events: list[tuple[str, dict[str, object]]] = []
        self.telemetry = Telemetry(also=lambda name, fields: self.events.append((name, dict(fields))))
        self.tls = ServerTLS(self.files, lambda: self.now)
        self.read = 0

    def names(self) -> tuple[CertificateFiles, ...]:
        self.read += 1
        return self.files

    def watch(self) -> CertificateWatch:
        watch = CertificateWatch(self.clock, self.tls, self.telemetry, self.names, SentNotices(self.state))
        watch.start()
        self.addCleanup(watch.stop)
        return watch

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([CHECK_EVERY] * int(seconds / CHECK_EVERY))
        self.now += timedelta(seconds=seconds)

    def test_changed_files_are_read_when_they_stay_the_same(self) -> None:
        """A pair that is half written waits; the former one is served as long. Nothing has to be told to the daemon."""
        watch = self.watch()
        files, other = self.files[0], served(*pki.ensure_development_ca(Path(self.mktemp()), now=NOW).certificates)[0]
        before = self.tls.pairs[0].leaf
        self.clock.pump([LOOK_EVERY] * 3)
        self.assertEqual(self.read, 0, "nothing has changed")
        files.chain.write_bytes(other.chain.read_bytes())
        self.clock.advance(LOOK_EVERY)
        files.key.write_bytes(b"-----BEGIN")
        self.clock.advance(LOOK_EVERY)
        self.assertEqual((self.read, self.tls.pairs[0].leaf), (0, before), "still being written")
        files.key.write_bytes(other.key.read_bytes())
        self.clock.pump([LOOK_EVERY] * 2)
        self.assertEqual(self.read, 1)
        self.assertNotEqual(self.tls.pairs[0].leaf, before)
        self.assertEqual([name for name, _ in self.events], ["certificates-reloaded"])
        self.clock.pump([LOOK_EVERY] * 3)
        self.assertEqual((self.read, watch.status()["problems"]), (1, []))
        files.key.unlink()
        self.clock.pump([LOOK_EVERY] * 5)
        self.assertEqual(self.read, 2, "refused once, and not at each look")

    def test_good_certificates_are_read_once_a_day_and_nothing_is_reported(self) -> None:
        """Only that they were read."""
        watch = self.watch()
        self.pass_time(READ_EVERY)
        self.assertEqual((self.read, [name for name, _ in self.events]), (1, ["certificates-reloaded"]))
        self.assertEqual(watch.status()["problems"], [])
        self.assertEqual(watch.status()["expires"], "2027-04-02T12:00:00Z")

    def test_an_expired_certificate_raises_an_alarm_at_the_start_and_every_hour(self) -> None:
        """It may have been renewed meanwhile."""
        self.now += timedelta(days=400)
        watch = self.watch()
        self.assertEqual([name for name, _ in self.events], ["certificate-invalid"] * 2)
        self.assertIn("expired on 2027-04-02 12:00 UTC", watch.status()["problems"][0])
        pki.ensure_development_ca(self.folder, now=self.now)
        self.pass_time(CHECK_EVERY)
        self.assertEqual((self.read, watch.status()["problems"]), (1, []))

    def test_a_clock_that_is_set_right_ends_the_alarm(self) -> None:
        """A machine without a battery starts in 1970 and serves what it has."""
        self.now = datetime(1970, 1, 1, tzinfo=UTC)
        self.tls = ServerTLS(self.files, lambda: self.now)
        watch = self.watch()
        self.assertIn("is not valid before", watch.status()["problems"][0])
        self.now = NOW
        self.assertEqual(watch.status()["problems"], [])

    def test_the_last_14_days_are_reported(self) -> None:
        """Each time that the certificates are read."""
        self.now += timedelta(days=390)
        watch = self.watch()
        self.assertEqual({name for name, _ in self.events}, {"certificate-warning"})
        self.assertIn("expires on 2027-04-02 12:00 UTC, in 7 days: renew it", watch.status()["problems"][0])

    def test_a_pair_that_is_refused_is_reported_and_read_again_within_an_hour(self) -> None:
        """It may have been half written."""
        whole = self.files[0].key.read_bytes()
        self.files[0].key.write_text("half")
        watch = self.watch()
        watch.reload()
        self.assertEqual(watch.status()["problems"], list(self.tls.refused))
        self.files[0].key.write_bytes(whole)
        self.pass_time(CHECK_EVERY)
        self.assertEqual((self.read, watch.status()["problems"]), (2, []))

    def test_the_postmaster_gets_one_mail_near_the_end_and_one_after_it(self) -> None:
        """Also if the daemon is restarted in between."""
        mails: list[list[str]] = []

        async def mail(problems: Sequence[str]) -> bool:
            mails.append(list(problems))
            return True

        self.watch().mail_by(mail)
        self.assertEqual(mails, [])
        for days, number in ((384, 1), (385, 1), (398, 2), (400, 2)):
            self.now = NOW + timedelta(days=days)
            self.tls.reload()
            self.watch().mail_by(mail)
            with self.subTest(days):
                self.assertEqual(len(mails), number)
        self.assertIn("expires on 2027-04-02 12:00 UTC, in 13 days: renew it", mails[0][0])
        self.assertIn("expired on 2027-04-02 12:00 UTC", mails[1][0])
        self.assertEqual(len(mails[0]), 2)

    def test_a_mail_that_cannot_be_stored_is_sent_an_hour_later(self) -> None:
        """The disk is full, or there is no domain yet."""
        outcomes = iter((StoreFull("the disk is full"), False, True, True))

        async def mail(problems: Sequence[str]) -> bool:
            outcome = next(outcomes)
            if isinstance(outcome, StoreFull):
                raise outcome
            return outcome

        self.now += timedelta(days=390)
        watch = self.watch()
        watch.mail_by(mail)
        self.assertEqual(self.events[-1], ("certificate-notice-postponed", {"error": "the disk is full"}))
        self.pass_time(5 * CHECK_EVERY)
        self.assertIs(next(outcomes), True)

    def test_no_failure_ends_the_checks(self) -> None:
        """An expected one is reported; an unexpected one is logged with its traceback."""
        watch = CertificateWatch(self.clock, self.tls, self.telemetry, self.fail_once_each(), SentNotices(self.state))
        watch.start()
        self.addCleanup(watch.stop)
        self.pass_time(3 * READ_EVERY)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(
            [(name, fields.get("why")) for name, fields in self.events],
            [("certificates-refused", "the disk is gone"), ("certificates-reloaded", None)],
        )

    def fail_once_each(self) -> Callable[[], tuple[CertificateFiles, ...]]:
        failures = iter((StartupError("the disk is gone", Exit.CONFIG), ZeroDivisionError()))

        def names() -> tuple[CertificateFiles, ...]:
            for failure in failures:
                raise failure
            return self.files

        return names

"""Metrics for Prometheus, and the file of the mail log."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.monitoring_settings import LogFormat
from emailsys.interfaces import StoreError
from emailsys.mail.address import Address
from emailsys.mail.envelope import Envelope, Recipient, RemoteRoute
from emailsys.monitoring.mail_log import MailLog
from emailsys.monitoring.metrics import Metrics, MonitoringPage, Sources, monitoring_site
from emailsys.telemetry import Telemetry, json_line, plain_line
from tests.fakes.store.memory_store import MemoryStore

DAVE = Address("dave", "example.net")


class MetricsTests(SynchronousTestCase):
    """A scrape over HTTP."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore(self.clock)
        self.telemetry = Telemetry()
        sources = Sources(
            self.telemetry,
            self.store.queue_operations,
            lambda: {"smtp": 3},
            lambda: 7.5,
            lambda: (2, 9, 4096, None),
        )
        self.problem: str | None = None
        self.page = MonitoringPage(self.telemetry, lambda: self.problem)
        self.page.metrics = Metrics(sources, self.clock.seconds)
        self.site = monitoring_site(self.page, self.clock)

    def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        protocol: Any = self.site.buildProtocol(None)
        transport = StringTransport()
        protocol.makeConnection(transport)
        protocol.dataReceived(f"{method} {path} HTTP/1.0\r\n\r\n".encode())
        head, _, body = transport.value().decode().partition("\r\n\r\n")
        return int(head.split()[1]), body

    def queue_one(self) -> None:
        recipients = (Recipient(DAVE, (RemoteRoute(DAVE),)),)
        self.store.accept("Q1", b"x", Envelope(None, recipients, datetime(2026, 1, 1, tzinfo=UTC)))

    def test_events_sessions_queue_and_store_are_told(self) -> None:
        self.telemetry.event("accepted")
        self.telemetry.event("accepted")
        self.queue_one()
        status, text = self.get("/metrics")
        self.assertEqual(status, 200)
        for line in (
            "emailsys_up_seconds 7.5",
            'emailsys_events_total{event="accepted"} 2.0',
            'emailsys_sessions{service="smtp"} 3.0',
            'emailsys_queue_recipients{state="waiting"} 1.0',
            "emailsys_queue_domains 1.0",
            "emailsys_queue_oldest_timestamp_seconds 1.7672256e+09",
            "emailsys_store_commits_total 2.0",
            "emailsys_store_waiting_octets 4096.0",
        ):
            self.assertIn(line + "\n", text)
        self.assertNotIn("emailsys_store_free_octets", text)

    def test_a_queue_that_takes_long_to_count_is_counted_seldom(self) -> None:
        """With a million rows, a count takes two seconds of one of three readers."""
        summary = self.store.queue_operations.summary

        async def slow() -> Any:
            self.clock.advance(2)
            return await summary()

        self.patch(self.store.queue_operations, "summary", slow)
        self.get("/metrics")
        self.queue_one()
        for wait, seen in ((97, False), (2, True)):
            self.clock.advance(wait)
            _, text = self.get("/metrics")
            self.assertEqual('emailsys_queue_recipients{state="waiting"} 1.0' in text, seen)

    def test_the_queue_is_not_counted_at_every_scrape(self) -> None:
        self.get("/metrics")
        self.queue_one()
        self.assertIn('state="waiting"} 0.0', self.get("/metrics")[1])
        self.clock.advance(15)
        self.assertIn('state="waiting"} 1.0', self.get("/metrics")[1])

    def test_health_and_readiness(self) -> None:
        """A container is restarted if it is not healthy, and gets no connections as long as it is not ready."""
        self.assertEqual((self.get("/healthz"), self.get("/readyz")), ((200, "ok\n"), (200, "ok\n")))
        self.problem, self.page.metrics = "no domain has been added", None
        self.assertEqual(self.get("/healthz")[0], 200)
        for path in ("/readyz", "/metrics"):
            self.assertEqual(self.get(path), (503, "no mail is accepted: no domain has been added\n"))

    def test_anything_but_get_of_a_page_is_404(self) -> None:
        self.assertEqual(self.get("/")[0], 404)
        self.assertEqual(self.get("/metrics", "POST")[0], 404)
        self.assertEqual(self.get("/readyz", "POST")[0], 404)

    def test_a_store_that_fails_is_told_as_an_error(self) -> None:
        def broken() -> Deferred[Any]:
            raise StoreError("not now")

        self.patch(self.store.queue_operations, "summary", broken)
        self.assertEqual(self.get("/metrics")[0], 500)
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)


class MailLogTests(SynchronousTestCase):
    """The formats plain and JSON."""

    def open(self, form: LogFormat) -> tuple[Path, MailLog]:
        path = Path(self.mktemp())
        log = MailLog(path, form, lambda: datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC))
        self.addCleanup(log.close)
        return path, log

    def test_each_event_is_a_json_object_on_a_line(self) -> None:
        path, log = self.open(LogFormat.JSON)
        telemetry = Telemetry(also=log.write)
        telemetry.event("accepted", queue_id="q1", octets=7, tls=None, sender=DAVE, helo="a\nb")
        (line,) = path.read_text().splitlines()
        self.assertEqual(
            json.loads(line),
            {
                "event": "accepted",
                "time": "2026-01-01T12:00:00.000005Z",
                "queue_id": "q1",
                "octets": 7,
                "tls": None,
                "sender": "dave@example.net",
                "helo": "a\nb",
            },
        )

    def test_text_from_a_peer_cannot_add_a_line_to_the_log(self) -> None:
        path, log = self.open(LogFormat.PLAIN)
        log.write("accepted", {"helo": "a\nforged event"})
        self.assertEqual(path.read_text(), "2026-01-01T12:00:00.000005Z accepted helo='a\\nforged event'\n")
        self.assertEqual(json_line("x", {"helo": "\u2028\n"}).count("\n"), 0)
        self.assertEqual(plain_line("x", {"n": 1}), "x n=1")

    def test_a_rotated_file_is_opened_anew(self) -> None:
        path, log = self.open(LogFormat.PLAIN)
        log.write("one", {})
        moved = path.rename(path.with_name("moved"))
        log.write("two", {})
        log.reopen()
        log.write("three", {})
        self.assertIn("two", moved.read_text())
        self.assertNotIn("three", moved.read_text())
        self.assertIn("three", path.read_text())
        log.close()
        log.write("four", {})
        self.assertNotIn("four", path.read_text())
        self.assertEqual(path.stat().st_mode & 0o007, 0)

    def test_a_full_disk_stops_the_log_and_not_the_mail(self) -> None:
        log = MailLog(Path("/dev/full"), LogFormat.PLAIN)
        self.addCleanup(log.close)
        log.write("accepted", {})

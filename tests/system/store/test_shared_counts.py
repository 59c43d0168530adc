"""Sending limits of two nodes on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime

from twisted.internet.defer import Deferred, gatherResults

from emailsys.config.settings import SendingSettings
from emailsys.delivery.clock import Timing
from emailsys.delivery.sending_limits import SendingLimits
from emailsys.mail.address import parse
from emailsys.mail.envelope import Client, Envelope, Recipient, RemoteRoute
from emailsys.telemetry import Telemetry
from tests.contract.engines import PostgreSQLCase

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class SharedCountsTests(PostgreSQLCase):
    def limits_of(self, store: object) -> SendingLimits:
        settings = SendingSettings(recipients_per_hour=30, recipients_per_day=0)
        timing = Timing(self.clock, lambda: NOW, lambda: 0.5)
        return SendingLimits(settings, store.sent_counts, lambda ip: None, timing, Telemetry())  # type: ignore[attr-defined]

    async def test_nodes_that_count_at_the_same_time_allow_a_limit_once(self) -> None:
        other = self.open_again(self.url.render_as_string(hide_password=False))
        nodes = [self.limits_of(store) for store in (self.store, other)]
        path = parse("bob@away.test")
        admitted = []
        for number in range(60):
            # Several senders, so that each transaction locks several rows.
            sender = parse(f"user{number % 3}@home.test")
            envelope = Envelope(
                sender, [Recipient(path, (RemoteRoute(path),))], NOW, client=Client("s", "::1", account=sender)
            )
            for node in nodes:
                counted = node.admit(envelope)
                assert isinstance(counted, Deferred)
                admitted.append(counted)
        decisions = await gatherResults(admitted)
        held = [decision for decision in decisions if any(recipient.hold for recipient in decision.envelope.recipients)]
        self.assertEqual((len(decisions), len(held)), (120, 30))
        counts = {count.sender: count.recipients for count in await self.store.sent_counts.load(0)}
        self.assertEqual(counts, {f"user{number}@home.test": 30 for number in range(3)})
        for node in nodes:
            await node.stop()

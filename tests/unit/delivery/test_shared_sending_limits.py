"""Sending limits where other nodes may count the same senders."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from emailsys.config.settings import SendingSettings
from emailsys.delivery.acceptance import QueueingIntake
from emailsys.delivery.sending_limits import SendingLimits
from emailsys.interfaces import StoreError
from tests.unit.delivery import test_sending_limits as cases


class SharedHolding(cases.Holding):
    """The same, where other nodes may count the same senders."""

    is_shared = True


class SharedTelling(cases.Telling):
    """The same, where other nodes may count the same senders."""

    is_shared = True


class SharedRemembering(cases.Remembering):
    """The same, where other nodes may count the same senders."""

    is_shared = True


class Nodes(cases.Limited):
    """Two nodes with one store."""

    is_shared = True

    def start(self, settings: SendingSettings) -> None:
        super().start(settings)
        self.one = self.limits, self.intake
        super().start(settings)
        self.other = self.limits, self.intake

    def on(self, node: tuple[SendingLimits, QueueingIntake]) -> None:
        """Send the next messages to a node."""
        self.limits, self.intake = node

    def test_two_nodes_allow_a_limit_once(self) -> None:
        for node in (self.one, self.other) * 6:
            self.on(node)
            self.send(1)
        self.assertEqual((self.held(), len(self.store.waiting)), (2, 12))

    def test_what_two_nodes_held_is_told_once(self) -> None:
        for node in (self.one, self.other):
            self.on(node)
            self.send(11)
        self.assertEqual(len(self.notices(self.boss.account_id)), 1)

    def test_a_sender_far_from_its_limit_is_counted_later(self) -> None:
        """A message to few waits for no other commit. In five seconds, or after a 64th of the limit, nodes know it."""
        self.start(SendingSettings(recipients_per_hour=640, recipients_per_day=0))
        for node in (self.one, self.other):
            self.on(node)
            for _ in range(10):
                self.send(1)
        self.assertEqual(self.store.sent_counts.rows, {})
        self.send(1)
        [row] = self.store.sent_counts.rows.values()
        self.assertEqual(row.recipients, 11)
        self.store.clock.advance(5)
        [row] = self.store.sent_counts.rows.values()
        self.assertEqual((row.messages, row.recipients), (21, 21))

    def test_beyond_half_of_a_limit_each_message_is_counted_at_once(self) -> None:
        self.start(SendingSettings(recipients_per_hour=640, recipients_per_day=0))
        self.send(320)
        self.on(self.one)
        self.send(1)
        self.send(320)
        self.assertEqual(self.held(), 320, "what the other node has sent is known when this one asks")
        self.send(319)
        self.assertEqual(self.held(), 320)
        self.on(self.other)
        self.send(1)
        self.assertEqual(self.held(), 321)

    def test_a_message_that_is_not_accepted_is_taken_back_on_all_nodes(self) -> None:
        self.store.fail_next_commit = StoreError("disk full")
        self.failureResultOf(self.submit(10), StoreError)
        self.store.clock.advance(5)
        self.on(self.one)
        self.send(10)
        self.assertEqual(self.held(), 0)

    def test_a_message_whose_client_goes_while_it_is_counted_is_taken_back(self) -> None:
        """The next message, which waits for the database meanwhile, is not held for it."""
        counts, answers = self.store.sent_counts, [Deferred[None]() for _ in range(2)]
        count, slow = counts.count, iter(answers)

        async def count_slowly(*arguments: Any) -> Any:
            result = await count(*arguments)
            await next(slow)
            return result

        self.patch(counts, "count", count_slowly)
        gone, _ = self.submit(10), self.submit(1)
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        for answer in answers:
            answer.callback(None)
        self.assertEqual(sum(row.recipients for row in counts.rows.values()), 1)
        self.patch(counts, "count", count)
        self.on(self.one)
        self.send(9)
        self.assertEqual((self.held(), len(self.store.waiting)), (0, 10))

    def test_without_the_database_a_message_is_not_accepted(self) -> None:
        self.store.sent_counts.fails = StoreError("the server is gone")
        self.failureResultOf(self.submit(10), StoreError)
        self.send(10)
        self.assertEqual((self.held(), len(self.store.waiting)), (0, 10))

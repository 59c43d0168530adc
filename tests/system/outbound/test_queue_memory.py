"""Queue runner while memory is short: slow hosts get a limited share, and failures of the store are survived."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import QueueSettings
from emailsys.delivery import destinations
from emailsys.delivery.destinations import Destination, Destinations
from emailsys.interfaces import NO_DELAYS, DelayRule, DomainPair, QueueRow, StoreError
from emailsys.mail.next_hop import NextHop
from emailsys.mail.reply import Reply
from emailsys.mail.transmission import Outcome, OutcomeKind
from tests.fakes.store.memory_queue import MemoryQueue
from tests.fakes.store.queue_house import System

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SMALL = QueueSettings(max_leased=40, max_per_next_hop=2, max_deliveries=20)
MIDDLING = QueueSettings(max_leased=80, max_per_next_hop=2)
NO_ANSWER = Outcome(OutcomeKind.DELAYED, Reply(451, "4.4.1", "no answer"), host_at_fault=True)


class Crowded(SynchronousTestCase):
    def test_a_slow_host_with_much_mail_leaves_room_for_others(self) -> None:
        """A newsletter has 200 recipients at one host with two connections. A later message is not delayed."""
        system = System(SMALL)
        system.relay.seconds = 1.5
        system.accept_many(200, "slow.test")
        system.pass_time(6, 0.5)
        system.accept("bob@away.test")
        for _ in range(20):
            system.clock.advance(0.5)
            self.assertLessEqual(sum(status.held for status in system.runner.status()), 40)
        self.assertIn("away.test", [d.host for d in system.relay.delivered])
        system.pass_time(400, 0.5)
        self.assertEqual(len(system.relay.delivered), 201)
        self.assertEqual(system.store.waiting, [])
        self.assertEqual(system.relay.most_at_once["slow.test"], 2)

    def test_hosts_that_never_answer_do_not_slow_the_others(self) -> None:
        """Two of ten hosts are silent. Mail for the other eight leaves without a pause."""
        system = System(QueueSettings(max_leased=80, max_per_next_hop=2, max_deliveries=100))
        system.relay.hanging |= {"d0.test", "d1.test"}
        for n in range(1000):
            system.accept(f"user{n}@d{n % 10}.test", wake=False)
        system.runner.wake()
        system.pass_time(0.9, 0.05)
        self.assertEqual(len(system.relay.delivered), 800)

    def test_mail_for_a_host_that_never_answers_is_not_leased_again_and_again(self) -> None:
        """Rows without room are due again after 1, 2, 4 ... seconds. Most of them are rescheduled without a lease."""
        system = System(MIDDLING)
        system.relay.hanging.add("silent.test")
        system.accept_many(400, "silent.test")
        system.pass_time(60, 1.0)
        leased = {settlement.row.row_id for settlement in system.store.settlements}
        self.assertLess(len(leased), 100)
        self.assertEqual(system.relay.attempts, [("silent.test", ("user0@silent.test",))])

    def test_rows_due_for_a_host_that_is_down_get_a_reason_without_a_lease(self) -> None:
        """A host refuses connections. One connection is enough for all rows, and each has the reason and next date."""
        system = System(MIDDLING)
        system.relay.down.add("down.test")
        system.accept_many(400, "down.test")
        system.pass_time(10, 1.0)
        self.assertEqual(len(system.relay.attempts), 1)
        self.assertLess(len(system.store.settlements), 100)
        self.assertEqual({row.attempts for row in system.store.waiting}, {1})
        self.assertEqual({row.last_reply for row in system.store.waiting}, {"451 4.4.1 no answer from any host"})
        self.assertEqual({row.due_at for row in system.store.waiting}, {NOW + timedelta(seconds=300)})
        self.assertEqual(system.telemetry.counters["delayed"], 400)

    def test_a_corrected_route_applies_to_mail_that_was_put_off(self) -> None:
        system = System(MIDDLING)
        system.relay.hanging.add("silent.test")
        system.accept_many(200, "silent.test")
        system.pass_time(20, 1.0)
        system.router.smart_host = "relay.test"
        system.accept("late@silent.test")
        self.assertEqual([d.host for d in system.relay.delivered], ["relay.test"])
        system.pass_time(30, 1.0)
        self.assertGreater(len(system.relay.delivered), 150)

    def test_postponed_rows_count_no_attempt(self) -> None:
        system = System(SMALL)
        system.relay.hanging.add("slow.test")
        system.accept_many(100, "slow.test")
        system.pass_time(30, 1.0)
        self.assertEqual({row.attempts for row in system.store.waiting}, {0})
        self.assertTrue(any(not settlement.tried for settlement in system.store.settlements))

    def test_a_node_without_room_lets_other_nodes_deliver(self) -> None:
        """They are told once a second at most, and again when the node stops and has released its rows."""
        system = System(SMALL)
        system.accept("bob@away.test")
        self.assertEqual(system.store.queue.shared, 0)
        system.relay.hanging |= {f"d{number}.test" for number in range(50)}
        for number in range(200):
            system.accept(f"user@d{number % 50}.test")
        self.assertEqual(system.store.queue.shared, 1)
        system.clock.advance(1)
        system.accept("carol@away.test")
        self.assertEqual(system.store.queue.shared, 2)
        stopped = system.runner.stopService()
        system.pass_time(60, 1.0)
        self.successResultOf(stopped)
        self.assertEqual(system.store.queue.shared, 3)

    def test_a_store_that_cannot_postpone_is_survived(self) -> None:
        system = System(SMALL)
        system.relay.hanging.add("slow.test")
        system.store.fail_next_commit = StoreError("disk full")
        system.accept_many(100, "slow.test")
        system.pass_time(5, 1.0)
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
        system.accept("bob@away.test")
        system.pass_time(5, 1.0)
        self.assertEqual([d.host for d in system.relay.delivered], ["away.test"])


class FailingQueue(MemoryQueue):
    """A queue whose lease or release fails while a test sets it to."""

    lease_fails = False
    release_fails = False
    reading_fails = False

    async def pieces(self, row: QueueRow) -> AsyncIterator[bytes]:
        if self.reading_fails:
            raise StoreError("cannot be read")
        async for piece in super().pieces(row):
            yield piece

    async def lease(
        self, limit: int, seconds: float, later: Mapping[DomainPair, DelayRule] = NO_DELAYS
    ) -> Sequence[QueueRow]:
        if self.lease_fails:
            raise StoreError("cannot be read")
        return await super().lease(limit, seconds, later)

    async def release(self, rows: Sequence[QueueRow], since: datetime) -> None:
        if self.release_fails:
            raise StoreError("cannot be written")
        await super().release(rows, since)


class FailingStore(SynchronousTestCase):
    def make_system(self) -> tuple[System, FailingQueue]:
        system = System()
        self.successResultOf(system.runner.stopService())
        queue = FailingQueue(system.store)
        system.store.queue = queue
        system.runner = system.make_runner()
        return system, queue

    def test_a_queue_that_cannot_be_read_is_asked_again(self) -> None:
        """An expected failure, such as a full disk, is logged as an event without a traceback."""
        system, queue = self.make_system()
        queue.lease_fails = True
        system.runner.startService()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assertEqual(system.telemetry.counters["queue-delayed"], 1)
        system.accept("bob@away.test", wake=False)
        queue.lease_fails = False
        system.pass_time(10, 1.0)
        self.assertEqual(len(system.relay.delivered), 1)

    def test_a_failure_is_told_although_the_message_cannot_be_read_any_more(self) -> None:
        system, queue = self.make_system()
        system.runner.startService()
        system.relay.down.add("dead.test")
        system.accept("bob@dead.test")
        queue.reading_fails = True
        system.pass_time(5 * 86400, 600.0)
        self.assertEqual(system.notices()[-1]["Subject"], "Your message could not be delivered")
        self.assertEqual(len(list(system.notices()[-1].iter_parts())), 2)

    def test_rows_that_cannot_be_given_back_do_not_keep_the_daemon_from_stopping(self) -> None:
        system, queue = self.make_system()
        system.runner.startService()
        system.relay.hanging.add("slow.test")
        system.accept("bob@slow.test")
        queue.release_fails = True
        stopped = system.runner.stopService()
        system.clock.advance(20)
        self.successResultOf(stopped)
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)

    def test_a_relay_that_forgets_a_recipient_delays_the_message(self) -> None:
        system, _ = self.make_system()

        async def forget(*_: object) -> Sequence[Outcome]:
            return []

        self.patch(system.relay, "relay", forget)
        system.runner.startService()
        system.accept("bob@away.test")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(system.store.waiting[0].attempts, 1)

    def test_a_store_that_is_down_when_the_daemon_stops_is_not_waited_for(self) -> None:
        system, _ = self.make_system()
        system.runner.startService()
        system.store.fail_next_commit = StoreError("disk full")
        system.accept("bob@away.test")
        system.store.fail_next_commit = StoreError("disk full")
        self.successResultOf(system.runner.stopService())
        self.assertEqual(len(system.store.waiting), 1)

    def test_a_bug_in_settling_is_logged_and_settling_tried_again(self) -> None:
        system, _ = self.make_system()
        system.runner.startService()
        system.store.fail_next_commit = ValueError("a bug")
        system.accept("bob@away.test")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        system.pass_time(2, 1.0)
        self.assertEqual(system.store.waiting, [])

    def test_a_settlement_that_came_too_late_is_told(self) -> None:
        system, _ = self.make_system()
        system.runner.startService()
        system.relay.hanging.add("slow.test")
        system.accept("bob@slow.test")
        system.store.waiting[0].lease = 999
        system.relay.release_held()
        self.assertEqual(system.telemetry.counters["lease-lost"], 1)
        self.assertEqual(len(system.store.waiting), 1)


class Remembering(SynchronousTestCase):
    def test_pauses_grow_up_to_the_longest(self) -> None:
        settings = QueueSettings()
        destination = Destination(NextHop("dead.test"))
        pauses = []
        for _ in range(7):
            destination.unreachable(NO_ANSWER, 0.0, settings)
            assert destination.paused_until is not None
            pauses.append(destination.paused_until)
        self.assertEqual(pauses, [60, 120, 240, 480, 900, 900, 900])
        self.assertTrue(destination.is_paused(899.0))
        self.assertFalse(destination.is_paused(900.0))

    def test_turns_come_one_after_the_other_at_the_measured_pace(self) -> None:
        destination = Destination(NextHop("slow.test"))
        destination.finished = 2
        destination.measure(2.0)
        self.assertGreater(destination.pace, 0.3)
        first, second = destination.next_turn(NOW), destination.next_turn(NOW)
        self.assertEqual((first - NOW).total_seconds(), 1.0)
        self.assertAlmostEqual((second - first).total_seconds(), destination.pace, 5)
        last = [destination.next_turn(NOW) for _ in range(2000)][-1]
        self.assertEqual(last, NOW + timedelta(seconds=300))

    def test_rows_for_a_host_that_grew_faster_come_again_at_its_new_pace(self) -> None:
        """The first second, with one connection, does not predict the next, with ten."""
        destination = Destination(NextHop("fast.test"))
        for finished in (50, 1000):
            destination.finished = finished
            destination.measure(1.0)
        turns = [destination.next_turn(NOW) for _ in range(500)]
        self.assertEqual(turns[-1], NOW + timedelta(seconds=1 + 499 * 0.001))

    def test_a_host_that_gets_its_mail_done_holds_what_two_seconds_take_even_where_memory_is_short(self) -> None:
        """Otherwise the host would be idle before its last rows are due again."""
        destination = Destination(NextHop("fast.test"), held=119)
        destination.finished = 60
        destination.measure(1.0)
        self.assertTrue(destination.has_room(1, QueueSettings(), 25, crowded=True))
        self.assertFalse(destination.has_room(2, QueueSettings(), 25, crowded=True))

    def test_rows_returned_before_a_hosts_first_answer_are_due_soon_and_together(self) -> None:
        """Of ten thousand rows for one host, those leased before its first answer are not sent last."""
        destination = Destination(NextHop("fresh.test"))
        destination.under_way = 1
        turns = {destination.next_turn(NOW) for _ in range(500)}
        self.assertEqual(turns, {NOW + timedelta(seconds=1)})
        for _ in range(8):
            destination.measure(1.0)
        self.assertEqual(destination.next_turn(NOW), NOW + timedelta(seconds=8))

    def test_no_more_hosts_are_remembered_than_the_limit(self) -> None:
        self.patch(destinations, "_MAX_DESTINATIONS", 10)
        known = Destinations()
        held = known.of(NextHop("held.test"))
        known.add_rows(held, 1)
        for n in range(50):
            known.of(NextHop(f"dead{n}.test")).unreachable(NO_ANSWER, 0.0, QueueSettings())
        self.assertLessEqual(len(list(known)), 10)
        self.assertIs(known.of(NextHop("held.test")), held)

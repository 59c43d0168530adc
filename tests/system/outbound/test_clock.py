"""The queue runner while the wall clock jumps: nothing expires, nothing is sent twice, nothing waits for years."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import QueueSettings
from emailsys.interfaces import QueueRow, StoreError
from tests.fakes.store.queue_house import DAY, GREYLISTED, HOUR, NO_SUCH_USER, System

JUMP = 400 * DAY


def jump_beside_a_slow_host(system: System) -> None:
    """Let the clock jump while some of eight messages are under way to a host that does not answer."""
    system.relay.hanging.add("slow.test")
    for n in range(8):
        system.relay.replies[f"user{n}@slow.test"] = [GREYLISTED]
    system.accept_many(8, "slow.test")
    system.store.jumped = JUMP
    system.pass_time(60, 1.0)


class JumpingClock(SynchronousTestCase):
    def test_mail_that_waits_is_not_returned_because_the_clock_jumped(self) -> None:
        system = System()
        system.relay.replies["bob@away.test"] = [GREYLISTED]
        system.accept("bob@away.test")
        system.pass_time(HOUR)
        system.store.jumped = JUMP
        system.pass_time(DAY)
        self.assertEqual(system.telemetry.counters["clock-jumped"], 1)
        [row] = system.store.waiting
        self.assertGreater(row.attempts, 5)
        subjects = [notice["subject"] for notice in system.notices()]
        self.assertEqual(len(subjects), 1, "the warning of the delay, after its four hours")
        system.pass_time(5 * DAY)
        self.assertEqual(system.store.waiting, [], "its five days have passed")
        self.assertEqual(len(system.notices()), 2)

    def test_dates_of_a_clock_that_was_ahead_are_brought_back_when_it_is_right_again(self) -> None:
        system = System()
        system.relay.replies["bob@away.test"] = [GREYLISTED]
        system.store.jumped = JUMP
        system.accept("bob@away.test")
        system.pass_time(HOUR)
        system.store.jumped = 0.0
        system.relay.replies.clear()
        system.pass_time(60, 1.0)
        self.assertEqual(system.store.waiting, [])
        self.assertEqual(system.telemetry.counters["clock-jumped"], 2)
        self.assertEqual(system.telemetry.counters["queue-dates-corrected"], 1)

    def test_dates_in_the_far_future_are_corrected_after_a_restart(self) -> None:
        system = System()
        system.relay.replies["bob@away.test"] = [GREYLISTED]
        system.store.jumped = JUMP
        system.accept("bob@away.test")
        self.successResultOf(system.runner.stopService())
        system.store.jumped = 0.0
        self.assertGreater(system.store.waiting[0].due_at, system.store.now() + timedelta(days=399))
        system.relay.replies.clear()
        system.runner = system.make_runner()
        system.runner.startService()
        self.assertEqual(system.store.waiting, [])
        self.assertEqual(system.telemetry.counters["queue-dates-corrected"], 1)

    def test_a_delivery_under_way_is_not_begun_again(self) -> None:
        """By the wall clock, its lease has ended."""
        system = System()
        system.relay.hanging.add("slow.test")
        system.accept("bob@slow.test")
        system.store.jumped = JUMP
        system.accept("carol@away.test")
        system.pass_time(60, 1.0)
        [row] = system.store.waiting
        self.assertEqual(str(row.forward_path), "bob@slow.test")
        system.relay.release_held()
        self.assertEqual(system.store.waiting, [])
        sent = [to for _, recipients in system.relay.attempts for to in recipients]
        self.assertEqual(sorted(sent), ["bob@slow.test", "carol@away.test"])
        self.assertEqual(system.telemetry.counters["lease-lost"], 0)

    def test_a_delivery_under_way_is_tried_again_if_it_is_delayed_after_a_jump(self) -> None:
        for jump in (JUMP, 6 * DAY, -JUMP):
            system = System()
            system.relay.hanging.add("slow.test")
            system.relay.replies["bob@slow.test"] = [GREYLISTED]
            system.accept("bob@slow.test")
            system.store.jumped = jump
            system.pass_time(60, 1.0)
            system.relay.hanging.clear()
            system.relay.release_held()
            system.pass_time(3 * HOUR)
            self.assertEqual(system.notices(), [])
            [row] = system.store.waiting
            self.assertGreater(row.attempts, 4)
            system.pass_time(6 * DAY, 600.0)
            self.assertEqual(system.store.waiting, [])
            warning, bounce = system.notices()
            self.assertEqual(warning["Subject"], "Your message is delayed")
            self.assertEqual(bounce["Subject"], "Your message could not be delivered")

    def test_a_bounce_of_a_delivery_under_way_has_the_date_after_the_jump(self) -> None:
        system = System()
        system.relay.hanging.add("slow.test")
        system.relay.replies["bob@slow.test"] = [NO_SUCH_USER]
        system.accept("bob@slow.test")
        system.store.jumped = JUMP
        system.pass_time(60, 1.0)
        system.relay.release_held()
        [bounce] = system.notices()
        self.assertEqual(bounce["Date"], "Fri, 05 Feb 2027 00:01:00 +0000")

    def test_mail_that_gives_way_to_other_hosts_after_a_jump_is_not_returned(self) -> None:
        """Memory is short, and the rows that wait for the slow host are rescheduled."""
        system = System(QueueSettings(max_leased=16, max_per_next_hop=2))
        jump_beside_a_slow_host(system)
        self.assertTrue(any(not settlement.tried for settlement in system.store.settlements))
        system.relay.hanging.clear()
        system.relay.release_held()
        system.pass_time(HOUR)
        self.assertEqual(len(system.store.waiting), 8)
        self.assertEqual(system.notices(), [])

    def test_mail_that_a_stop_releases_after_a_jump_is_not_returned(self) -> None:
        """The jump was noticed, and the leases renewed; then an operator stops the daemon and starts it again."""
        system = System()
        jump_beside_a_slow_host(system)
        self.assertEqual(system.telemetry.counters["clock-jumped"], 1)
        stopped = system.runner.stopService()
        system.pass_time(60, 1.0)
        self.successResultOf(stopped)
        system.relay.hanging.clear()
        system.runner = system.make_runner()
        system.runner.startService()
        system.pass_time(HOUR)
        self.assertEqual((len(system.store.waiting), system.notices()), (8, []))

    def test_nothing_is_sent_twice_if_the_store_fails_at_the_jump(self) -> None:
        """A virtual machine resumes, and the connection to its database is gone."""
        system = System()
        system.relay.hanging.add("slow.test")
        system.accept("bob@slow.test")
        renew = system.store.queue.renew
        failures = iter([StoreError("connection lost"), StoreError("connection lost")])

        async def failing_first(rows: Sequence[QueueRow], seconds: float) -> Sequence[QueueRow]:
            for failure in failures:
                raise failure
            return await renew(rows, seconds)

        self.patch(system.store.queue, "renew", failing_first)
        system.store.jumped = JUMP
        system.accept("carol@away.test")
        self.assertEqual(len(system.relay.attempts), 2, "the delivery under way, and the new message")
        system.pass_time(60, 1.0)
        system.relay.release_held()
        self.assertEqual(system.store.waiting, [])
        sent = [to for _, recipients in system.relay.attempts for to in recipients]
        self.assertEqual(sent, ["bob@slow.test", "carol@away.test"])
        self.assertEqual(system.telemetry.counters["clock-jumped"], 1)
        self.assertEqual(system.telemetry.counters["lease-lost"], 0)

    def test_a_pause_ends_by_the_monotonic_clock(self) -> None:
        system = System(QueueSettings(first_pause=60, max_pause=60))
        system.relay.down.add("down.test")
        system.store.jumped = JUMP
        system.accept("bob@down.test")
        [hop] = system.runner.status()
        self.assertIsNotNone(hop.paused_until)
        system.store.jumped = 0.0
        system.pass_time(61, 1.0)
        [hop] = system.runner.status()
        self.assertIsNone(hop.paused_until)

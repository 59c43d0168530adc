"""Queue on a fake clock: due mail leaves, a host that is down delays no other mail, and a stop loses nothing."""

from __future__ import annotations

from datetime import timedelta

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from emailsys.config.settings import QueueSettings
from emailsys.interfaces import Fate, IQueue, IRelay, IRouter, StoreError
from emailsys.mail.address import parse
from emailsys.mail.dsn_request import (
    MessageRequest,
    Notify,
    RecipientRequest,
    Return,
    original_recipient,
)
from emailsys.mail.envelope import Envelope, Recipient, RemoteRoute
from tests.fakes.store.queue_house import GREYLISTED, HOUR, MESSAGE, NO_SUCH_USER, TAKEN, System, status_of


class Delivering(SynchronousTestCase):
    def test_mail_leaves_as_soon_as_the_runner_is_woken(self) -> None:
        system = System()
        system.accept("bob@away.test")
        self.assertEqual(system.relay.attempts, [("away.test", ("bob@away.test",))])
        self.assertEqual(system.relay.delivered[0].body, MESSAGE)
        self.assertEqual(system.store.waiting, [])
        self.assertEqual([s.fate for s in system.store.settlements], [Fate.RELAYED])
        self.assertEqual(system.notices(), [])
        self.assertEqual(system.telemetry.counters["relayed"], 1)

    def test_rows_that_wait_at_the_start_are_sent(self) -> None:
        system = System()
        self.successResultOf(system.runner.stopService())
        system.accept("bob@away.test", wake=False)
        runner = system.make_runner()
        runner.startService()
        self.assertEqual(len(system.relay.delivered), 1)

    def test_mail_that_others_put_into_the_queue_is_found_within_half_a_minute(self) -> None:
        system = System()
        system.accept("bob@away.test", wake=False)
        self.assertEqual(system.relay.attempts, [])
        system.clock.advance(30)
        self.assertEqual(len(system.relay.delivered), 1)

    def test_recipients_at_one_next_hop_go_in_one_delivery(self) -> None:
        system = System()
        system.accept("bob@away.test", "carol@far.test", "dave@away.test")
        self.assertEqual(
            system.relay.attempts,
            [("away.test", ("bob@away.test", "dave@away.test")), ("far.test", ("carol@far.test",))],
        )

    def test_a_smart_host_gets_them_all_at_once(self) -> None:
        system = System()
        system.router.smart_host = "relay.test"
        system.accept("bob@away.test", "carol@far.test")
        self.assertEqual(system.relay.attempts, [("relay.test", ("bob@away.test", "carol@far.test"))])

    def test_a_hundred_recipients_at_most_go_in_one_delivery(self) -> None:
        system = System()
        system.accept(*(f"user{n}@away.test" for n in range(250)))
        self.assertEqual([len(recipients) for _, recipients in system.relay.attempts], [100, 100, 50])

    def test_greylisted_mail_arrives_at_the_second_attempt(self) -> None:
        system = System()
        system.relay.replies["bob@away.test"] = [GREYLISTED, TAKEN]
        system.accept("bob@away.test")
        self.assertEqual(system.store.waiting[0].attempts, 1)
        system.pass_time(4 * 60)
        self.assertEqual(len(system.relay.attempts), 1)
        system.pass_time(60)
        self.assertEqual(len(system.relay.attempts), 2)
        self.assertEqual(system.store.waiting, [])
        self.assertEqual(system.notices(), [])

    def test_each_recipient_has_its_own_outcome(self) -> None:
        system = System()
        system.relay.replies["bob@away.test"] = [GREYLISTED, TAKEN]
        system.relay.replies["carol@away.test"] = [NO_SUCH_USER]
        system.accept("bob@away.test", "carol@away.test", "dave@away.test")
        self.assertEqual([str(row.forward_path) for row in system.store.waiting], ["bob@away.test"])
        (notice,) = system.notices()
        self.assertEqual([group["Final-Recipient"] for group in status_of(notice)[1:]], ["rfc822; carol@away.test"])
        system.pass_time(HOUR)
        self.assertEqual(system.relay.attempts[1], ("away.test", ("bob@away.test",)))

    def test_the_request_for_notices_is_passed_on(self) -> None:
        system = System()
        asked = RecipientRequest(Notify.SUCCESS | Notify.FAILURE, original_recipient(parse("b+b@away.test")))
        system.accept("bob@away.test", dsn=asked, message=MessageRequest(Return.HEADERS, "id=1"))
        (sent,) = system.relay.delivered
        self.assertEqual(sent.transmission.parameters.dsn.parameters(), ("RET=HDRS", "ENVID=id+3D1"))
        forward = sent.transmission.recipients[0]
        self.assertEqual(forward.dsn.parameters(), ("NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;b+2Bb@away.test"))
        self.assertEqual(system.notices(), [], "the next hop speaks DSN and answers for notices")

    def test_forwarded_mail_leaves_under_a_name_of_ours_and_its_own_sender_is_told(self) -> None:
        system = System()
        system.relay.replies["bob@away.test"] = [NO_SUCH_USER]
        route = RemoteRoute(parse("bob@away.test"), forwarded=True)
        envelope = Envelope(
            parse("eve@elsewhere.test"), (Recipient(parse("list@home.test"), (route,)),), system.store.now()
        )
        system.store.accept("M1", MESSAGE, envelope)
        system.runner.wake()
        forwarded, notice = system.relay.delivered
        self.assertEqual(str(forwarded.transmission.reverse_path), "srs-eve@home.test")
        self.assertEqual(str(notice.transmission.recipients[0].forward_path), "eve@elsewhere.test")


class Hosts(SynchronousTestCase):
    def test_a_host_that_is_down_does_not_hold_up_others(self) -> None:
        """Ten of fifty domains hang until the connect timeout. Mail for the other forty leaves before that."""
        system = System(QueueSettings(max_leased=200, max_deliveries=20, max_per_next_hop=4))
        dead = {f"dead{n}.test" for n in range(10)}
        system.relay.hanging |= dead
        for n in range(40):
            for host in (*(sorted(dead)), *(f"live{m}.test" for m in range(40))):
                system.accept(f"user{n}@{host}", wake=False)
        system.runner.wake()
        system.pass_time(120, 1.0)
        live = [d for d in system.relay.delivered if d.host not in dead]
        self.assertEqual(len(live), 1600)

    def test_memory_holds_a_bounded_number_of_recipients(self) -> None:
        system = System(QueueSettings(max_leased=100))
        system.relay.hanging.add("dead.test")
        system.accept_many(500, "dead.test")
        for _ in range(60):
            system.clock.advance(1)
            self.assertLessEqual(sum(status.held for status in system.runner.status()), 100)
        system.accept("bob@away.test")
        system.pass_time(30, 1.0)
        self.assertEqual([d.host for d in system.relay.delivered], ["away.test"])

    def test_rows_for_a_host_that_is_down_are_settled_without_a_connection(self) -> None:
        system = System()
        system.relay.down.add("dead.test")
        system.accept_many(50, "dead.test")
        self.assertEqual(len(system.relay.attempts), 1)
        self.assertEqual([row.attempts for row in system.store.waiting], [1] * 50)
        (status,) = system.runner.status()
        self.assertIn("no answer", status.reason)
        self.assertEqual(status.held, 0)

    def test_one_delivery_probes_a_host_after_its_pause(self) -> None:
        system = System()
        system.relay.down.add("dead.test")
        system.accept("user1@dead.test")
        system.accept("user2@dead.test")
        self.assertEqual(len(system.relay.attempts), 1)
        system.pass_time(300)
        self.assertEqual(len(system.relay.attempts), 2)
        system.relay.down.clear()
        system.pass_time(600)
        self.assertEqual(system.store.waiting, [])

    def test_an_operator_lifts_the_pause(self) -> None:
        system = System()
        system.relay.down.add("dead.test")
        system.accept("user1@dead.test")
        system.relay.down.clear()
        system.accept("user2@dead.test")
        self.assertEqual(system.relay.delivered, [])
        system.runner.lift_pauses()
        system.accept("user3@dead.test")
        self.assertEqual(len(system.relay.delivered), 1)

    def test_a_host_gets_no_more_connections_than_it_may(self) -> None:
        system = System(QueueSettings(max_per_next_hop=8))
        system.relay.seconds = 1.0
        system.accept_many(100, "away.test")
        self.assertEqual(system.relay.most_at_once, {"away.test": 1}, "one, until it has answered")
        system.pass_time(60, 1.0)
        self.assertEqual(system.relay.most_at_once, {"away.test": 8})
        self.assertEqual(system.store.waiting, [])

    def test_all_hosts_together_get_no_more_than_the_limit(self) -> None:
        system = System(QueueSettings(max_deliveries=5))
        system.relay.seconds = 1.0
        for n in range(20):
            system.accept(f"user@host{n}.test", wake=False)
        system.runner.wake()
        self.assertEqual(sum(system.relay.at_once.values()), 5)
        system.pass_time(4, 1.0)
        self.assertEqual(system.store.waiting, [])

    def test_a_host_that_bears_fewer_connections_is_not_taken_for_down(self) -> None:
        system = System()
        system.relay.seconds = 1.0
        system.relay.most_connections = 3
        system.accept_many(60, "away.test")
        system.pass_time(60, 1.0)
        self.assertEqual(system.store.waiting, [])
        self.assertEqual({s.due_at for s in system.store.settlements}, {None})

    def test_connections_may_close_when_nothing_waits_for_the_host(self) -> None:
        system = System()
        system.accept("bob@away.test")
        self.assertEqual(system.relay.idled, ["away.test"])


class Surprises(SynchronousTestCase):
    def test_a_store_that_cannot_settle_is_asked_again_and_nothing_is_sent_twice(self) -> None:
        system = System()
        system.store.fail_next_commit = StoreError("disk full")
        system.accept("bob@away.test")
        self.assertEqual(len(system.store.waiting), 1)
        system.pass_time(5, 1.0)
        self.assertEqual(system.store.waiting, [])
        self.assertEqual(len(system.relay.delivered), 1)

    def test_a_relay_that_fails_unexpectedly_delays_the_message(self) -> None:
        system = System()
        system.relay.raises = ValueError("a bug")
        system.accept("bob@away.test")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        system.relay.raises = None
        system.pass_time(301, 1.0)
        self.assertEqual(system.store.waiting, [])

    def test_a_route_that_cannot_be_looked_up_delays_the_message(self) -> None:
        system = System()
        system.router.fails = True
        system.accept("bob@away.test")
        self.assertEqual(len(self.flushLoggedErrors(StoreError)), 1)
        system.router.fails = False
        system.pass_time(301, 1.0)
        self.assertEqual(len(system.relay.delivered), 1)

    def test_a_long_delivery_keeps_its_lease(self) -> None:
        system = System(QueueSettings(lease=60.0))
        system.relay.hanging.add("slow.test")
        system.accept("bob@slow.test")
        system.pass_time(1800, 1.0)
        system.relay.release_held()
        self.assertEqual(len(system.relay.attempts), 1)
        self.assertEqual(system.store.waiting, [])

    def test_a_lost_lease_ends_the_deliveries_of_its_rows(self) -> None:
        system = System(QueueSettings(lease=60.0))
        system.relay.hanging.add("slow.test")
        system.accept("bob@slow.test")
        system.accept("carol@slow.test")
        for row in system.store.waiting:
            row.lease = system.store.make_id()
            row.due_at = system.store.now() + timedelta(hours=1)
        system.pass_time(30, 1.0)
        self.assertEqual(system.relay.cancelled, 1)
        self.assertEqual([status.held for status in system.runner.status()], [])
        self.assertEqual(system.store.settlements, [])


class Stopping(SynchronousTestCase):
    def test_the_stop_returns_waiting_rows_and_lets_deliveries_end(self) -> None:
        system = System()
        system.relay.seconds = 2.0
        system.accept("bob@away.test")
        system.accept("carol@away.test")
        stopped = system.runner.stopService()
        self.assertNoResult(stopped)
        system.clock.advance(2)
        self.successResultOf(stopped)
        self.assertEqual([str(row.forward_path) for row in system.store.waiting], ["carol@away.test"])
        self.assertIsNone(system.store.waiting[0].lease)
        self.assertEqual(system.clock.getDelayedCalls(), [])

    def test_a_delivery_that_takes_too_long_is_broken_off_and_due_again(self) -> None:
        system = System()
        system.relay.hanging.add("slow.test")
        system.accept("bob@slow.test")
        stopped = system.runner.stopService()
        system.clock.advance(20)
        self.successResultOf(stopped)
        self.assertEqual(system.relay.cancelled, 1)
        self.assertLessEqual(system.store.waiting[0].due_at, system.store.now())
        self.assertEqual(system.clock.getDelayedCalls(), [])

    def test_an_idle_runner_stops_at_once(self) -> None:
        system = System()
        self.successResultOf(system.runner.stopService())
        self.assertEqual(system.clock.getDelayedCalls(), [])

    def test_a_commit_under_way_is_waited_for(self) -> None:
        system = System()
        system.store.hold_commits = True
        system.accept("bob@away.test")
        stopped = system.runner.stopService()
        system.clock.advance(60)
        self.assertNoResult(stopped)
        system.store.release_held()
        self.successResultOf(stopped)
        self.assertEqual(system.store.waiting, [])


class Fakes(SynchronousTestCase):
    def test_the_fakes_keep_to_the_interfaces(self) -> None:
        system = System()
        self.assertTrue(verifyObject(IQueue, system.store.queue))
        self.assertTrue(verifyObject(IRelay, system.relay))
        self.assertTrue(verifyObject(IRouter, system.router))


class Pausing(SynchronousTestCase):
    """A move of the store pauses deliveries before its last step."""

    def test_a_paused_runner_ends_its_deliveries_and_leases_no_row_until_it_goes_on(self) -> None:
        system = System()
        system.relay.seconds = 2.0
        system.accept("bob@away.test")
        system.accept("carol@away.test")
        paused = Deferred.fromCoroutine(system.runner.pause())
        self.assertNoResult(paused)
        system.clock.advance(2)
        self.successResultOf(paused)
        system.accept("dave@other.test")
        system.pass_time(HOUR)
        waiting = [(str(row.forward_path), row.lease) for row in system.store.waiting]
        self.assertEqual(waiting, [("carol@away.test", None), ("dave@other.test", None)])
        system.runner.resume()
        system.pass_time(60, step=1)
        self.assertEqual(system.store.waiting, [])

    def test_a_delivery_that_takes_too_long_is_broken_off_and_tried_again_later(self) -> None:
        system = System()
        system.relay.hanging.add("slow.test")
        system.accept("bob@slow.test")
        paused = Deferred.fromCoroutine(system.runner.pause())
        system.clock.advance(20)
        self.successResultOf(paused)
        self.assertIsNone(system.store.waiting[0].lease)
        system.relay.hanging.clear()
        system.runner.resume()
        system.pass_time(60, step=1)
        self.assertEqual(system.store.waiting, [])

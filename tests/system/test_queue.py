"""The queue on a fake clock: five days pass, and whoever sent a message knows what became of it."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Sequence
from datetime import timedelta
from email.message import EmailMessage

from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from emailsys.config.settings import QueueSettings
from emailsys.delivery.queue_runner import QueueRunner
from emailsys.interfaces import Fate, IQueue, IRelay, IRouter, StoreError
from emailsys.mail.address import parse
from emailsys.mail.dsn_request import (
    NOTHING_ASKED,
    NOTHING_ASKED_FOR_RECIPIENT,
    MessageRequest,
    Notify,
    RecipientRequest,
    Return,
    original_recipient,
)
from emailsys.mail.envelope import Envelope, LocalRoute, Recipient, RemoteRoute
from emailsys.mail.reply import Reply
from emailsys.telemetry import Telemetry
from tests.fakes.memory_relay import MemoryRelay, MemoryRouter
from tests.fakes.memory_store import MemoryStore

HOUR = 3600.0
DAY = 86400.0
MESSAGE = b"From: alice@home.test\r\nSubject: hello\r\nMessage-ID: <one@home.test>\r\n\r\nhow are you?\r\n"
GREYLISTED = Reply(451, "4.7.1", "come again later")
NO_SUCH_USER = Reply(550, "5.1.1", "no such user here")
TAKEN = Reply(250, "2.0.0", "taken")


class System:
    """A store, a queue runner and other hosts, all in memory. Alice is local, all others are not."""

    def __init__(self, settings: QueueSettings | None = None) -> None:
        self.store = MemoryStore()
        self.clock = self.store.clock
        self.relay = MemoryRelay(later=lambda seconds: deferLater(self.clock, seconds))
        self.alice = self.store.seed_account("alice@home.test")
        self.router = MemoryRouter({"alice@home.test": (LocalRoute(self.alice.account_id),)})
        self.settings = settings if settings is not None else QueueSettings()
        self.telemetry = Telemetry()
        self.runner = self.make_runner()
        self.runner.startService()

    def make_runner(self) -> QueueRunner:
        return QueueRunner(
            self.store.queue,
            self.relay,
            self.router,
            self.settings,
            "mail.home.test",
            self.clock,
            self.store.now,
            lambda: 0.5,
            self.telemetry,
        )

    def accept(
        self,
        *recipients: str,
        sender: str | None = "alice@home.test",
        body: bytes = MESSAGE,
        dsn: RecipientRequest = NOTHING_ASKED_FOR_RECIPIENT,
        message: MessageRequest = NOTHING_ASKED,
        wake: bool = True,
    ) -> None:
        """What the server does when a message was sent to it."""
        envelope = Envelope(
            None if sender is None else parse(sender),
            tuple(Recipient(parse(r), (RemoteRoute(parse(r)),), dsn) for r in recipients),
            self.store.now(),
            dsn=message,
        )
        self.store.accept(f"M{self.store.make_id()}", body, envelope)
        if wake:
            self.runner.wake()

    def pass_time(self, seconds: float, step: float = 60.0) -> None:
        self.clock.pump([step] * int(seconds / step))

    def notices(self, account_id: int | None = None) -> list[EmailMessage]:
        """What Alice finds in her maildrop."""
        rows = self.store.drops.get(self.alice.account_id if account_id is None else account_id, [])
        return [email.message_from_bytes(row.octets, policy=email.policy.default) for row in rows]


def status_of(notice: EmailMessage) -> Sequence[EmailMessage]:
    """The groups of fields in a notice's second part."""
    part = list(notice.iter_parts())[1]
    assert part.get_content_type() == "message/delivery-status"
    groups = part.get_payload()
    assert isinstance(groups, list)
    return groups  # type: ignore[return-value]


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

    def test_what_waits_at_start_is_sent(self) -> None:
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
        self.assertEqual((sent.transmission.ret, sent.transmission.envid), ("HDRS", "id+3D1"))
        forward = sent.transmission.recipients[0]
        self.assertEqual((forward.notify, forward.orcpt), ("SUCCESS,FAILURE", "rfc822;b+2Bb@away.test"))
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


class Bouncing(SynchronousTestCase):
    def test_five_days_pass_and_a_dsn_arrives(self) -> None:
        system = System()
        system.relay.down.add("away.test")
        system.accept("bob@away.test")
        system.pass_time(4 * HOUR - 60)
        self.assertEqual(system.notices(), [])
        system.pass_time(60)
        (warning,) = system.notices()
        self.assertEqual(warning["Subject"], "Your message is delayed")
        self.assertEqual(status_of(warning)[1]["Action"], "delayed")
        self.assertEqual(status_of(warning)[1]["Will-Retry-Until"], "Tue, 6 Jan 2026 00:00:00 +0000")
        system.pass_time(5 * DAY - 4 * HOUR - 60)
        self.assertEqual(len(system.notices()), 1, "one warning is enough")
        system.pass_time(60)
        _, bounce = system.notices()
        self.assertEqual(bounce["Subject"], "Your message could not be delivered")
        self.assertEqual(bounce["Auto-Submitted"], "auto-replied")
        self.assertEqual(bounce["Return-Path"], "<>")
        self.assertEqual(bounce.get_content_type(), "multipart/report")
        self.assertEqual(bounce["References"], "<one@home.test>")
        fields = status_of(bounce)[1]
        self.assertEqual((fields["Action"], fields["Status"]), ("failed", "4.4.7"))
        text = next(bounce.iter_parts()).get_content()
        self.assertIn("for 5 days", text)
        self.assertIn("bob@away.test", text)
        self.assertIn("hello", text)
        returned = list(bounce.iter_parts())[2]
        self.assertEqual(returned.get_content_type(), "text/rfc822-headers")
        self.assertEqual(system.store.waiting, [])
        self.assertEqual(system.store.settlements[-1].fate, Fate.FAILED)

    def test_intervals_grow_from_minutes_to_hours(self) -> None:
        system = System()
        system.relay.replies["bob@away.test"] = [GREYLISTED]
        system.accept("bob@away.test")
        system.pass_time(DAY)
        start = system.store.now() - timedelta(days=1)
        minutes = [(s.due_at - start).total_seconds() / 60 for s in system.store.settlements if s.due_at is not None]
        self.assertEqual(minutes[:7], [5, 15, 35, 75, 155, 240, 480])

    def test_a_refusal_is_told_at_once_in_the_remotes_words(self) -> None:
        system = System()
        system.relay.replies["bob@away.test"] = [NO_SUCH_USER]
        system.accept("bob@away.test", message=MessageRequest(envid="order 7"))
        (bounce,) = system.notices()
        message, fields = status_of(bounce)
        self.assertEqual(message["Original-Envelope-Id"], "order 7")
        self.assertEqual(message["Reporting-MTA"], "dns; mail.home.test")
        self.assertEqual(fields["Remote-MTA"], "dns; mx.away.test")
        self.assertEqual(fields["Diagnostic-Code"], "smtp; 550 5.1.1 no such user here")

    def test_null_reverse_path_gets_no_dsn(self) -> None:
        system = System()
        system.relay.replies["bob@away.test"] = [NO_SUCH_USER]
        system.accept("bob@away.test", sender=None)
        self.assertEqual(len(system.store.messages), 1)
        self.assertEqual(system.store.settlements[-1].fate, Fate.FAILED_UNTOLD)

    def test_a_dsn_that_cannot_be_delivered_makes_no_other(self) -> None:
        """The sender is on another host and its mailbox is gone as well."""
        system = System()
        system.relay.replies["bob@away.test"] = [NO_SUCH_USER]
        system.relay.replies["eve@elsewhere.test"] = [NO_SUCH_USER]
        system.accept("bob@away.test", sender="eve@elsewhere.test")
        self.assertEqual([a[0] for a in system.relay.attempts], ["away.test", "elsewhere.test"])
        self.assertEqual([s.fate for s in system.store.settlements], [Fate.FAILED, Fate.FAILED_UNTOLD])
        self.assertEqual(len(system.store.messages), 2)

    def test_a_sender_of_ours_that_does_not_exist_gets_no_dsn(self) -> None:
        system = System()
        system.router.local["gone@home.test"] = ()
        system.relay.replies["bob@away.test"] = [NO_SUCH_USER]
        system.accept("bob@away.test", sender="gone@home.test")
        self.assertEqual([s.fate for s in system.store.settlements], [Fate.FAILED_UNTOLD])

    def test_notify_never_is_kept(self) -> None:
        system = System()
        system.relay.replies["bob@away.test"] = [NO_SUCH_USER]
        system.relay.down.add("far.test")
        never = RecipientRequest(Notify.NEVER)
        system.accept("bob@away.test", "carol@far.test", dsn=never)
        system.pass_time(5 * DAY)
        self.assertEqual(system.notices(), [])
        self.assertEqual(system.store.waiting, [])
        self.assertEqual([s.fate for s in system.store.settlements if s.due_at is None], [Fate.FAILED_UNTOLD] * 2)

    def test_who_asked_only_for_failures_gets_no_warning(self) -> None:
        system = System()
        system.relay.down.add("far.test")
        system.accept("carol@far.test", dsn=RecipientRequest(Notify.FAILURE))
        system.pass_time(5 * DAY)
        self.assertEqual([n["Subject"] for n in system.notices()], ["Your message could not be delivered"])

    def test_success_is_told_where_the_next_hop_has_no_dsn(self) -> None:
        system = System()
        system.relay.speaks_dsn = False
        system.accept("bob@away.test", dsn=RecipientRequest(Notify.SUCCESS))
        system.accept("carol@away.test")
        (notice,) = system.notices()
        fields = status_of(notice)[1]
        self.assertEqual((fields["Action"], fields["Status"]), ("relayed", "2.0.0"))
        self.assertEqual(fields["Final-Recipient"], "rfc822; bob@away.test")

    def test_ret_full_returns_the_whole_message_and_only_with_a_failure(self) -> None:
        system = System()
        system.relay.replies["bob@away.test"] = [NO_SUCH_USER]
        system.relay.speaks_dsn = False
        asked = RecipientRequest(Notify.SUCCESS | Notify.FAILURE)
        system.accept("bob@away.test", "carol@away.test", dsn=asked, message=MessageRequest(Return.FULL))
        kinds = {n["Subject"]: [part.get_content_type() for part in n.iter_parts()][2] for n in system.notices()}
        self.assertEqual(
            kinds,
            {
                "Your message could not be delivered": "message/rfc822",
                "Your message was passed on": "text/rfc822-headers",
            },
        )

    def test_of_a_large_message_only_the_header_is_returned(self) -> None:
        system = System()
        system.relay.replies["bob@away.test"] = [NO_SUCH_USER]
        body = MESSAGE + b"0123456789\r\n" * 100_000
        system.accept("bob@away.test", body=body, message=MessageRequest(Return.FULL))
        (bounce,) = system.notices()
        self.assertEqual(list(bounce.iter_parts())[2].get_content_type(), "text/rfc822-headers")
        self.assertLess(len(bounce.as_bytes()), 10_000)

    def test_a_bounce_for_another_host_leaves_at_once(self) -> None:
        system = System()
        system.relay.replies["bob@away.test"] = [NO_SUCH_USER]
        system.accept("bob@away.test", sender="eve@elsewhere.test")
        sent = next(d for d in system.relay.delivered if d.host == "elsewhere.test")
        self.assertIsNone(sent.transmission.reverse_path)
        self.assertEqual(sent.transmission.recipients[0].notify, "NEVER")


class Hosts(SynchronousTestCase):
    def test_a_host_that_is_down_does_not_hold_up_others(self) -> None:
        """Ten of fifty domains hang for their connect timeout; mail to the forty others has left before."""
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
        for n in range(500):
            system.accept(f"user{n}@dead.test", wake=False)
        system.runner.wake()
        for _ in range(60):
            system.clock.advance(1)
            self.assertLessEqual(sum(status.held for status in system.runner.status()), 100)
        system.accept("bob@away.test")
        system.pass_time(30, 1.0)
        self.assertEqual([d.host for d in system.relay.delivered], ["away.test"])

    def test_rows_for_a_host_that_is_down_are_settled_without_a_connection(self) -> None:
        system = System()
        system.relay.down.add("dead.test")
        for n in range(50):
            system.accept(f"user{n}@dead.test", wake=False)
        system.runner.wake()
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
        for n in range(100):
            system.accept(f"user{n}@away.test", wake=False)
        system.runner.wake()
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
        for n in range(60):
            system.accept(f"user{n}@away.test", wake=False)
        system.runner.wake()
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
        system.relay.let_go()
        self.assertEqual(len(system.relay.attempts), 1)
        self.assertEqual(system.store.waiting, [])

    def test_what_another_node_took_over_is_not_sent_on(self) -> None:
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
    def test_what_waits_is_given_back_and_what_is_under_way_may_end(self) -> None:
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
        system.store.let_go()
        self.successResultOf(stopped)
        self.assertEqual(system.store.waiting, [])


class Fakes(SynchronousTestCase):
    def test_the_fakes_keep_to_the_interfaces(self) -> None:
        system = System()
        self.assertTrue(verifyObject(IQueue, system.store.queue))
        self.assertTrue(verifyObject(IRelay, system.relay))
        self.assertTrue(verifyObject(IRouter, system.router))

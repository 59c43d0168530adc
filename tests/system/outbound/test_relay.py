"""Whole mail systems on one network in memory and a fake clock: mail leaves, waits, bounces and is reported."""

from __future__ import annotations

from email.message import EmailMessage
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from emailsys.config.settings import OutboundSettings, QueueSettings, RoutingSettings
from emailsys.interfaces import Fate, IAliases, Settlement
from emailsys.interfaces.operators import IQuotas, IRouteAdministration
from emailsys.mail.address import parse
from emailsys.mail.next_hop import HostRoute, NextHop, TLSPolicy
from tests.fakes.net.loopback_host import LoopbackHost
from tests.fakes.net.memory_net import MemoryNet
from tests.fakes.store.queue_house import DAY, HOUR, status_of
from tests.fakes.whole_house import MESSAGE, WholeHouse

ALICE, BOB, EVE = "alice@home.test", "bob@away.test", "eve@far.test"


class Systems(SynchronousTestCase):
    """Alice's system, and a network for other hosts."""

    def setUp(self) -> None:
        self.net = MemoryNet()
        self.home = WholeHouse(self.net, "mx.home.test", "192.0.2.1", ALICE)

    def tearDown(self) -> None:
        for house in [value for value in vars(self).values() if isinstance(value, WholeHouse)]:
            self.assertEqual(house.telemetry.exceptions, [])

    def scripted(self, **replies: str) -> LoopbackHost:
        """Start a host for away.test with scripted replies."""
        host = LoopbackHost()
        host.replies.update(replies)
        self.net.listen("192.0.2.2", host)
        self.net.zone.add("away.test", "MX", "10 mx.away.test")
        self.net.zone.add("mx.away.test", "A", "192.0.2.2")
        return host

    def found(self, user: str = ALICE, house: WholeHouse | None = None) -> EmailMessage:
        """Return the only message in the maildrop of a user."""
        [message] = (house or self.home).maildrop(user)
        return message

    def fates(self) -> list[Fate]:
        """Return the final states of the recipients of home."""
        return [s.fate for s in self.home.store.settlements if s.due_at is None]


class Sending(Systems):
    def test_the_fakes_keep_to_their_interfaces(self) -> None:
        store: Any = self.home.store
        self.assertTrue(verifyObject(IAliases, store.directory))
        self.assertTrue(verifyObject(IRouteAdministration, store.routes))
        self.assertTrue(verifyObject(IQuotas, store.quotas))

    def test_mail_goes_from_system_to_system_over_tls_octet_for_octet(self) -> None:
        """Leading dots are kept, and each system adds a Received field."""
        self.away = WholeHouse(self.net, "mx.away.test", "192.0.2.2", BOB)
        self.home.submit(ALICE, BOB)
        message = self.found(BOB, self.away)
        self.assertTrue(message.as_bytes().replace(b"\n", b"\r\n").endswith(MESSAGE.partition(b"\r\n\r\n")[2]))
        received = message.get_all("Received", [])
        self.assertEqual(len(received), 2)
        self.assertIn("with ESMTPS", received[0])
        self.assertIn("with ESMTPA", received[1])
        self.assertEqual(message["Return-Path"], f"<{ALICE}>")
        self.assertEqual((self.home.waiting, self.fates()), ([], [Fate.RELAYED]))

    def test_one_message_reaches_local_and_remote_recipients(self) -> None:
        """One message has a local recipient, a remote one, and one whose host is down at first."""
        self.away = WholeHouse(self.net, "mx.away.test", "192.0.2.2", BOB)
        self.home.submit(ALICE, ALICE, BOB, "carol@down.test")
        self.assertEqual(len(self.home.maildrop(ALICE)), 2, "and that down.test does not exist")
        self.assertEqual(len(self.away.maildrop(BOB)), 1)

    def test_greylisted_mail_arrives_at_the_second_attempt(self) -> None:
        host = self.scripted(RCPT="450 4.2.0 greylisted, come back", DATA="503 5.5.1 no recipients")
        self.home.submit(ALICE, BOB)
        [row] = self.home.waiting
        self.assertEqual((row.attempts, self.home.store.settlements[0].reply), (1, "450 4.2.0 greylisted, come back"))
        host.replies.clear()
        self.net.pass_time(300)
        self.assertEqual([len(host.messages), self.home.waiting], [1, []])
        self.assertEqual(self.home.maildrop(ALICE), [])

    def test_a_smart_host_of_the_store_takes_what_waits(self) -> None:
        """An operator corrects the route of mail that is already in the queue."""
        self.net.zone.add("away.test", "MX", "10 mx.away.test")
        self.net.zone.add("mx.away.test", "A", "192.0.2.2")
        self.home.submit(ALICE, BOB)
        self.assertEqual(len(self.home.waiting), 1)
        smart = LoopbackHost()
        self.net.listen("192.0.2.77", smart, 587)
        self.home.store.routes.known = [HostRoute(NextHop("[192.0.2.77]", 587, False, TLSPolicy.NONE))]
        self.home.outbound.runner.wake()
        self.net.pass_time(300)
        self.assertEqual([len(smart.messages), self.home.waiting], [1, []])

    def test_a_route_that_leads_nowhere_delays_mail_until_it_is_corrected(self) -> None:
        """Nothing bounces; the log and the status alarm; the corrected route takes the mail."""
        self.net.zone.add("loop.test", "A", "192.0.2.1")
        self.net.zone.add("hello.test", "A", "192.0.2.7")
        strict = LoopbackHost()
        strict.replies.update(EHLO="550 5.7.1 unknown name", HELO="550 5.7.1 unknown name")
        self.net.listen("192.0.2.7", strict)
        routes = self.home.store.routes
        for name, enhanced in (("gone.test", "4.4.3"), ("loop.test", "4.3.5"), ("hello.test", "4.3.5")):
            routes.known = [HostRoute(NextHop(name, 25, False))]
            self.home.submit(ALICE, BOB)
            self.assertEqual((len(self.home.waiting), self.fates()), (1, []), name)
            [alarm] = self.home.telemetry.of("route-failed")
            self.assertEqual((str(alarm["next_hop"]), str(alarm["reason"])[:9]), (f"[{name}]", f"451 {enhanced}"))
            [hop] = self.home.outbound.runner.status()
            self.assertTrue(hop.alarm)
            self.assertIn(f"451 {enhanced}", hop.reason)
            table = self.successResultOf(Deferred.fromCoroutine(self.home.outbound.routes.table()))
            choice = table.choose(None, parse(BOB))
            self.assertEqual(self.home.outbound.runner.failure(choice.next_hop), hop.reason)
            smart = LoopbackHost()
            self.net.listen("192.0.2.77", smart)
            routes.known = [HostRoute(NextHop("[192.0.2.77]", 25, False))]
            self.home.outbound.runner.lift_pauses()
            self.net.pass_time(HOUR)
            self.assertEqual([len(smart.messages), self.home.waiting, self.fates()], [1, [], [Fate.RELAYED]])
            self.assertEqual((self.home.maildrop(ALICE), self.home.outbound.runner.status()), ([], []))
            self.home.store.settlements.clear()
            self.home.telemetry.lines.clear()

    def test_mail_for_a_private_address_waits_until_an_operator_allows_it(self) -> None:
        """After an upgrade, mail for hosts of one's own network must not bounce. An address literal is refused."""
        self.net.zone.add("inside.test", "MX", "10 mx.inside.test")
        self.net.zone.add("mx.inside.test", "A", "10.1.2.3")
        inside = LoopbackHost()
        self.net.listen("10.1.2.3", inside)
        self.home.submit(ALICE, "bob@inside.test")
        self.assertEqual((len(self.home.waiting), self.fates(), self.home.maildrop(ALICE)), (1, [], []))
        # Strangers can publish such addresses, so they raise no alarm. The status tells the operator what to do.
        self.assertEqual(self.home.telemetry.of("route-failed"), [])
        [event] = self.home.telemetry.of("next-hop-paused")
        [hop] = self.home.outbound.runner.status()
        self.assertFalse(hop.alarm)
        self.assertEqual(str(event["reason"]), hop.reason)
        self.assertTrue(hop.reason.startswith("451 4.3.5 mail for inside.test would go to mx.inside.test [10.1.2.3]"))
        self.assertIn("add a route (emailsys route set HOST --to DOMAIN)", hop.reason)
        self.home.store.routes.known = [HostRoute(NextHop("[10.1.2.3]", 25, False), recipient_domain="inside.test")]
        self.home.outbound.runner.lift_pauses()
        self.net.pass_time(HOUR)
        self.assertEqual([len(inside.messages), self.home.waiting, self.fates()], [1, [], [Fate.RELAYED]])
        self.home.submit(ALICE, "bob@[10.1.2.3]")
        self.assertEqual((self.home.waiting, len(self.home.maildrop(ALICE))), ([], 1))

    def test_mail_for_a_private_address_that_nobody_allows_returns_in_the_end(self) -> None:
        """Its notice names the domain's address, without advice for the operator."""
        self.net.zone.add("inside.test", "A", "10.1.2.3")
        self.home.submit(ALICE, "bob@inside.test")
        self.net.pass_time(6 * DAY)
        self.assertEqual(self.home.waiting, [])
        text = " ".join(self.home.maildrop(ALICE)[-1].as_string().split())
        self.assertIn("The address published for this domain cannot be reached from the Internet.", text)
        self.assertIn("would go to inside.test [10.1.2.3], which is not a public address", text)
        self.assertNotIn("our mail system", text.lower())
        self.assertNotIn("emailsys route", text)

    def test_a_bounce_blames_our_own_smart_host_and_not_the_recipients_system(self) -> None:
        """After five days of a wrong name the mail returns, with words that send its sender to the right place."""
        self.home.store.routes.known = [HostRoute(NextHop("gone.test", 25, False))]
        self.home.submit(ALICE, BOB)
        self.net.pass_time(6 * DAY)
        text = " ".join(self.home.maildrop(ALICE)[-1].as_string().split())
        self.assertIn("The administrator of our mail system must fix this", text)
        self.assertNotIn("The recipient's mail system", text)

    def test_a_full_mailbox_delays_until_its_owner_makes_room(self) -> None:
        """The reply is 452 4.2.2; the message does not bounce."""
        self.away = WholeHouse(self.net, "mx.away.test", "192.0.2.2", BOB)
        full = self.away.store.quotas.full
        full.update(range(100))
        self.home.submit(ALICE, BOB)
        self.assertEqual(self.home.store.settlements[0].reply, "452 4.2.2 the mailbox is full, try again later")
        full.clear()
        self.net.pass_time(HOUR)
        self.assertEqual(len(self.away.maildrop(BOB)), 1)

    def test_where_outbound_is_switched_off_mail_waits_and_says_why(self) -> None:
        self.other = WholeHouse(
            self.net, "mx.lab.test", "192.0.2.9", "dave@lab.test", outbound=OutboundSettings(enabled=False)
        )
        self.other.submit("dave@lab.test", ALICE)
        self.net.pass_time(HOUR)
        self.assertEqual((self.net.connections, len(self.other.waiting)), (0, 1))
        self.assertIn("outbound.enabled", self.other.store.settlements[-1].reply)

    def test_two_workers_never_send_the_same_row(self) -> None:
        """Two queue runners over one store are woken at the same moment, many times."""
        host = self.scripted()
        self.second = second = WholeHouse(self.net, "mx2.home.test", "192.0.2.3", store=self.home.store)
        for number in range(100):
            (self.home if number % 2 else second).submit(ALICE, BOB, f"carol{number}@away.test")
            second.outbound.runner.wake()
            self.home.outbound.runner.wake()
        self.net.pass_time(60)
        self.assertEqual(len({body for body, _ in host.messages}), 100)
        self.assertEqual((len(host.messages), self.home.waiting), (100, []))

    def test_rows_leased_by_a_dead_worker_are_sent_after_the_lease(self) -> None:
        """One process dies between lease and settlement. Another one sends the rows after the lease."""
        host = self.scripted()
        self.successResultOf(self.home.outbound.runner.stopService())
        self.home.submit(ALICE, BOB)
        [leased] = self.successResultOf(Deferred.fromCoroutine(self.home.store.queue.lease(10, 600.0)))
        self.second = WholeHouse(self.net, "mx2.home.test", "192.0.2.3", store=self.home.store)
        self.net.pass_time(599)
        self.assertEqual(host.messages, [])
        self.net.pass_time(60)
        self.assertEqual([len(host.messages), self.home.waiting], [1, []])
        late = self.home.store.queue.settle([Settlement(leased, fate=Fate.FAILED)])
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(late)), 0, "the dead do not settle")

    def test_at_the_stop_what_is_under_way_ends_and_the_rest_is_given_back(self) -> None:
        host = self.scripted()
        host.replies["."] = "silence"
        self.home.submit(ALICE, BOB)
        self.assertEqual(len(host.messages), 1)
        stopped = Deferred.fromCoroutine(self.home.outbound.stop())
        self.assertNoResult(stopped)
        host.connections[0].sendLine(b"250 2.0.0 taken")
        self.net.pass_time(5)
        self.successResultOf(stopped)
        self.assertEqual((self.home.waiting, self.fates()), ([], [Fate.RELAYED]))
        self.assertEqual(host.connections, [])

    def test_the_stop_does_not_wait_for_a_host_that_is_silent_before_the_final_dot(self) -> None:
        """The host cannot have accepted the message. The row is due at the next start, without a counted attempt."""
        for step in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA"):
            house = WholeHouse(self.net, "mx.home.test", "192.0.2.1", ALICE)
            self.scripted(**{step: "silence"})
            house.submit(ALICE, BOB)
            stopped = Deferred.fromCoroutine(house.outbound.stop())
            self.net.settle()
            self.successResultOf(stopped)
            [row] = house.store.waiting
            self.assertEqual((row.attempts, row.lease, row.last_reply), (0, None, ""), step)
            self.assertLessEqual(row.due_at, house.store.now())

    def test_the_stop_does_not_wait_for_a_silent_name_server(self) -> None:
        """The shutdown does not wait for the DNS timeout of a minute."""
        self.net.zone.silent.add("away.test")
        self.home.submit(ALICE, BOB)
        stopped = Deferred.fromCoroutine(self.home.outbound.stop())
        self.net.settle()
        self.successResultOf(stopped)
        [row] = self.home.store.waiting
        self.assertEqual((row.attempts, row.lease), (0, None))

    def test_a_reply_to_the_end_of_the_message_that_does_not_come_before_the_stop_leaves_doubt(self) -> None:
        """The ledger marks the message as in doubt, because it may arrive twice (RFC 1047)."""
        self.scripted(**{".": "silence"})
        self.home.submit(ALICE, BOB)
        stopped = Deferred.fromCoroutine(self.home.outbound.stop())
        self.net.pass_time(19)
        self.assertNoResult(stopped)
        self.net.pass_time(2)
        self.successResultOf(stopped)
        [settlement] = self.home.store.settlements
        self.assertTrue(settlement.in_doubt)
        self.assertIn("this service was stopping", settlement.reply)
        [row] = self.home.store.waiting
        self.assertEqual((row.attempts, row.lease), (1, None))


class Failing(Systems):
    def test_a_refusal_is_told_in_the_remotes_words(self) -> None:
        self.scripted(RCPT="550 5.1.1 nobody of that name")
        queue_id = self.home.submit(ALICE, BOB, mail="ENVID=order+2B7 RET=FULL")
        bounce = self.found()
        self.assertEqual((bounce["Return-Path"], bounce["Auto-Submitted"]), ("<>", "auto-replied"))
        message, fields = status_of(bounce)
        self.assertEqual(message["Original-Envelope-Id"], "order+7")
        self.assertEqual((fields["Action"], fields["Status"]), ("failed", "5.1.1"))
        self.assertEqual(fields["Diagnostic-Code"], "smtp; 550 5.1.1 nobody of that name")
        self.assertEqual(fields["Remote-MTA"], "dns; mx.away.test")
        text, _, returned = bounce.iter_parts()
        self.assertIn("nobody of that name", text.get_content())
        self.assertEqual(returned.get_content_type(), "message/rfc822")
        self.assertIn(b".dotted", returned.as_bytes())
        self.assertEqual(self.fates(), [Fate.FAILED])
        self.assertEqual(self.home.telemetry.of("failed")[0]["queue_id"], queue_id)

    def test_a_notice_waits_while_the_store_knows_no_domain(self) -> None:
        """Without domains, a local sender would seem remote: the notice would be sent outside or dropped."""
        host = self.scripted(RCPT="450 4.2.0 come back", DATA="503 5.5.1 no recipients")
        self.home.submit(ALICE, BOB)
        host.replies["RCPT"] = "550 5.1.1 nobody of that name"
        known = dict(self.home.store.accounts._domains)
        self.home.store.accounts._domains.clear()
        self.net.pass_time(HOUR)
        self.assertEqual((self.fates(), self.home.maildrop(ALICE), len(self.home.waiting)), ([], [], 1))
        self.home.store.accounts._domains.update(known)
        self.net.pass_time(HOUR)
        self.assertIn("nobody of that name", self.found().as_string())
        self.assertEqual((self.fates(), self.home.waiting), ([Fate.FAILED], []))

    def test_a_domain_that_takes_no_mail_is_told_at_once(self) -> None:
        """A null MX (RFC 7505) and a non-existent domain cause a notice at once."""
        self.net.zone.add("null.test", "MX", "0 ")
        self.home.submit(ALICE, "a@null.test")
        self.assertEqual(status_of(self.found())[1]["Status"], "5.1.10")
        self.home.submit(ALICE, "a@nowhere.test")
        self.assertEqual(status_of(self.home.maildrop(ALICE)[1])[1]["Status"], "5.1.2")

    def test_a_domain_that_leads_back_to_us_is_a_loop(self) -> None:
        """The MX of the domain is this host, but the domain is not local."""
        self.net.zone.add("lost.test", "MX", "10 mx.home.test")
        self.home.submit(ALICE, "a@lost.test")
        self.assertEqual(status_of(self.found())[1]["Status"], "5.4.6")
        self.assertEqual(self.net.connections, 0)

    def test_after_four_hours_the_sender_is_warned_and_after_five_days_told(self) -> None:
        """The host never answers during the five days."""
        self.scripted()
        self.net.silent.add("192.0.2.2")
        self.home.submit(ALICE, BOB)
        self.net.pass_time(4 * HOUR - 60)
        self.assertEqual(self.home.maildrop(ALICE), [])
        self.net.pass_time(120)
        warning = self.found()
        self.assertEqual(status_of(warning)[1]["Action"], "delayed")
        self.assertEqual(status_of(warning)[1]["Will-Retry-Until"], "Tue, 6 Jan 2026 00:00:00 +0000")
        self.net.pass_time(5 * DAY - 4 * HOUR - 120)
        self.assertEqual(len(self.home.maildrop(ALICE)), 1)
        self.net.pass_time(120)
        _, bounce = self.home.maildrop(ALICE)
        self.assertEqual((status_of(bounce)[1]["Action"], self.home.waiting), ("failed", []))
        self.assertIn("for 5 days", next(bounce.iter_parts()).get_content())

    def test_a_host_that_is_back_gets_its_mail_within_the_longest_interval(self) -> None:
        """The host was down for three days."""
        host = self.scripted()
        self.net.silent.add("192.0.2.2")
        self.home.submit(ALICE, BOB)
        self.net.pass_time(3 * DAY)
        self.net.silent.clear()
        self.net.pass_time(QueueSettings().max_retry * 1.1 + 60)
        self.assertEqual([len(host.messages), self.home.waiting], [1, []])

    def test_notify_never_gets_no_bounce(self) -> None:
        self.scripted(RCPT="550 5.1.1 no")
        self.home.submit(ALICE, BOB, rcpt="NOTIFY=NEVER")
        self.assertEqual((self.home.maildrop(ALICE), self.fates()), ([], [Fate.FAILED_UNTOLD]))

    def test_a_bounce_that_cannot_be_brought_back_makes_no_other(self) -> None:
        """The message was forwarded, and the host of its sender refuses all mail."""
        self.scripted(RCPT="550 5.1.1 no", MAIL="550 5.7.1 not from you")
        self.home.alias("team@home.test", BOB)
        self.home.receive("mallory@away.test", "team@home.test")
        self.net.pass_time(DAY)
        self.assertEqual(self.home.waiting, [])
        self.assertEqual(self.fates(), [Fate.FAILED, Fate.FAILED_UNTOLD])


class Notices(Systems):
    def test_success_is_told_by_the_host_that_delivers(self) -> None:
        """The next host offers DSN to us: NOTIFY is sent with the message, and the notice comes back."""
        trusting = RoutingSettings(trusted_networks=("0.0.0.0/0",))
        self.away = WholeHouse(self.net, "mx.away.test", "192.0.2.2", BOB, routing=trusting)
        self.home.submit(ALICE, BOB, mail="ENVID=Q1", rcpt="NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b@old.test")
        self.assertEqual(len(self.away.maildrop(BOB)), 1)
        message, fields = status_of(self.found())
        self.assertEqual((message["Reporting-MTA"], message["Original-Envelope-Id"]), ("dns; mx.away.test", "Q1"))
        self.assertEqual((fields["Action"], fields["Original-Recipient"]), ("delivered", "rfc822; b@old.test"))

    def test_relayed_is_all_that_is_known_where_the_next_host_has_no_dsn(self) -> None:
        self.scripted()
        self.home.submit(ALICE, BOB, rcpt="NOTIFY=SUCCESS")
        message, fields = status_of(self.found())
        self.assertEqual((message["Reporting-MTA"], fields["Action"]), ("dns; mx.home.test", "relayed"))

    def test_success_here_is_told_at_once(self) -> None:
        self.home.submit(ALICE, ALICE, rcpt="NOTIFY=SUCCESS")
        mail, notice = self.home.maildrop(ALICE)
        self.assertEqual((mail["Subject"], status_of(notice)[1]["Action"]), ("hello", "delivered"))

    def test_notify_failure_gets_no_delay_warning(self) -> None:
        self.scripted()
        self.net.silent.add("192.0.2.2")
        self.home.submit(ALICE, BOB, rcpt="NOTIFY=FAILURE")
        self.net.pass_time(DAY)
        self.assertEqual(self.home.maildrop(ALICE), [])
        self.net.pass_time(4 * DAY + HOUR)
        self.assertEqual(status_of(self.found())[1]["Action"], "failed")

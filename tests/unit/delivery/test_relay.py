"""Relay: order of hosts, recipients for each host, and the final outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from emailsys.config.settings import OutboundSettings
from emailsys.delivery.relay import Relay
from emailsys.interfaces import IConnectionPool, IRelay, IResolver
from emailsys.mail.next_hop import Host, NextHop
from emailsys.mail.reply import Reply
from emailsys.mail.transmission import Outcome, OutcomeKind, Transmission, kind_of
from tests.fakes.net.memory_hosts import HOP, quiet, transmission

ONE, TWO, THREE = (Host(f"mx{n}.example.net", f"192.0.2.{n}") for n in range(1, 4))
OK = Reply(250, "2.0.0", "taken")
LATER = Reply(450, "4.2.0", "greylisted")
NO = Reply(550, "5.1.1", "no such mailbox")
TOO_MANY = Reply(452, "4.5.3", "too many recipients")


def said(reply: Reply, in_doubt: bool = False) -> Outcome:
    """Return an outcome with the reply of a host."""
    return Outcome(kind_of(reply), reply, from_remote=True, in_doubt=in_doubt)


DOWN = Outcome(OutcomeKind.DELAYED, Reply(451, "4.4.1", "no connection"), host_at_fault=True)


@implementer(IResolver)
class FakeResolver:
    """Resolver that returns a given answer."""

    def __init__(self, *hosts: Host, refusal: Reply | None = None) -> None:
        self._answer: Sequence[Host] | Reply = refusal or hosts
        self.asked = 0

    async def hosts(self, next_hop: NextHop) -> Sequence[Host] | Reply:
        self.asked += 1
        return self._answer


@implementer(IResolver)
class SilentResolver:
    """Resolver that never answers."""

    async def hosts(self, next_hop: NextHop) -> Sequence[Host] | Reply:
        await Deferred()
        raise AssertionError("somebody answered")


@implementer(IConnectionPool)
class FakePool:
    """Connection pool that returns given outcomes for each host, and records the transmissions."""

    def __init__(self, answers: dict[Host, list[Sequence[Outcome] | Exception]]) -> None:
        self._answers = answers
        self.open: Host | None = None
        self.asked: list[tuple[str, list[str]]] = []
        self.idled: list[NextHop] = []
        self.grace: float | None = None

    def connected(self, next_hop: NextHop) -> Host | None:
        return self.open

    async def send(self, next_hop: NextHop, host: Host, transmission: Transmission) -> Sequence[Outcome]:
        self.asked.append((host.name[:3], [forward.forward_path.local for forward in transmission.recipients]))
        answer = self._answers[host].pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def idle(self, next_hop: NextHop) -> None:
        self.idled.append(next_hop)

    def shut_down(self, grace: float) -> None:
        self.grace = grace

    async def close(self, grace: float) -> None:
        """No connection is open."""


class RelayTests(SynchronousTestCase):
    """Relay over a fake resolver and a fake connection pool."""

    def relay(self, resolver: FakeResolver, pool: FakePool, *names: str, hosts: int = 5) -> list[Outcome]:
        """Return the outcomes of recipients at example.net."""
        verifyObject(IResolver, resolver)
        verifyObject(IConnectionPool, pool)
        self.telemetry = quiet()
        relay = Relay(resolver, pool, OutboundSettings(hosts_per_attempt=hosts), self.telemetry)
        verifyObject(IRelay, relay)
        message = transmission(*(f"{name}@example.net" for name in names))
        return list(self.successResultOf(Deferred.fromCoroutine(relay.relay(HOP, message))))

    def test_the_first_host_that_takes_it_is_the_last_that_is_asked(self) -> None:
        """Further hosts are backups: they are not contacted after a host has accepted the message."""
        pool = FakePool({ONE: [[said(OK)]]})
        self.assertEqual(self.relay(FakeResolver(ONE, TWO), pool, "bob"), [said(OK)])
        self.assertEqual(pool.asked, [("mx1", ["bob"])])

    def test_a_host_of_a_route_that_refuses_this_system_delays_the_mail(self) -> None:
        """EHLO and HELO, or MAIL before a login: nothing is wrong with the recipient. Of a recipient it may say no."""
        closed = Outcome(OutcomeKind.FAILED, Reply(550, "", "go away"), "h", from_remote=True, host_at_fault=True)
        login = Outcome(OutcomeKind.FAILED, Reply(530, "5.7.0", "log in"), "h", from_remote=True)
        down = Outcome(OutcomeKind.DELAYED, Reply(451, "4.4.1", "no connection"), "h", host_at_fault=True)
        for outcome, reply, fault in (
            (closed, Reply(451, "4.3.5", "h, the host of a route, refuses mail from this system: 550 go away"), True),
            (
                login,
                Reply(451, "4.3.5", "h, the host of a route, refuses mail from this system: 530 5.7.0 log in"),
                True,
            ),
            (down, down.reply, True),
            (said(NO), NO, False),
            (said(LATER), LATER, False),
        ):
            for by_route in (False, True):
                hop = replace(HOP, by_route=by_route)
                relay = Relay(FakeResolver(ONE), FakePool({ONE: [[outcome]]}), OutboundSettings(), quiet())
                [found] = self.successResultOf(Deferred.fromCoroutine(relay.relay(hop, transmission("b@example.net"))))
                if by_route:
                    self.assertEqual((found.reply, found.route_at_fault), (reply, fault))
                    self.assertEqual(found.kind is OutcomeKind.FAILED, outcome.reply is NO)
                else:
                    self.assertEqual(found, outcome)

    def test_a_private_address_is_a_fault_of_the_domain_and_not_of_a_route(self) -> None:
        """Strangers publish such addresses. A bounce must not blame a route, and no alarm about a route follows."""
        refusal = Reply(451, "4.3.5", "which is not a public address")
        [found] = self.relay(FakeResolver(refusal=refusal), FakePool({}), "bob")
        self.assertEqual((found.host_at_fault, found.route_at_fault, found.no_public_address), (True, False, True))

    def test_a_host_that_is_down_is_followed_by_the_next(self) -> None:
        """RFC 5321 §5.1: the relay tries the next host."""
        pool = FakePool({ONE: [[DOWN]], TWO: [[said(OK)]]})
        self.assertEqual(self.relay(FakeResolver(ONE, TWO), pool, "bob"), [said(OK)])

    def test_only_delayed_recipients_are_tried_at_the_next_host(self) -> None:
        """Recipients that were delivered or permanently refused are not sent to the next host."""
        pool = FakePool({ONE: [[said(NO), said(LATER), said(OK)]], TWO: [[said(OK)]]})
        outcomes = self.relay(FakeResolver(ONE, TWO), pool, "ann", "bob", "cid")
        self.assertEqual(outcomes, [said(NO), said(OK), said(OK)])
        self.assertEqual(pool.asked[1], ("mx2", ["bob"]))

    def test_a_message_in_doubt_is_not_sent_to_the_next_host(self) -> None:
        """A message in doubt may have been delivered (RFC 1047). An immediate retry would duplicate it."""
        pool = FakePool({ONE: [[said(LATER, in_doubt=True)]]})
        [outcome] = self.relay(FakeResolver(ONE, TWO), pool, "bob")
        self.assertTrue(outcome.in_doubt)

    def test_the_reply_of_a_host_is_kept_if_the_next_one_cannot_be_reached(self) -> None:
        """The outcome has the first host's greylisting reply, not the backup's failed connection."""
        pool = FakePool({ONE: [[said(LATER)]], TWO: [[DOWN]]})
        self.assertEqual(self.relay(FakeResolver(ONE, TWO), pool, "bob"), [said(LATER)])

    def test_hosts_are_tried_up_to_the_limit(self) -> None:
        """An attempt ends at the limit. The queue retries later."""
        pool = FakePool({ONE: [[DOWN]], TWO: [[DOWN]]})
        self.assertEqual(self.relay(FakeResolver(ONE, TWO, THREE), pool, "bob", hosts=2), [DOWN])
        self.assertEqual(len(pool.asked), 2)

    def test_an_open_connection_saves_the_lookup(self) -> None:
        """The relay uses the connected host first. If that host fails, it is not tried again after the lookup."""
        pool = FakePool({TWO: [[said(OK)]]})
        pool.open = TWO
        resolver = FakeResolver(ONE, TWO)
        self.assertEqual(self.relay(resolver, pool, "bob"), [said(OK)])
        self.assertEqual(resolver.asked, 0)
        pool = FakePool({TWO: [[DOWN]], ONE: [[said(OK)]]})
        pool.open = TWO
        self.assertEqual(self.relay(resolver, pool, "bob"), [said(OK)])
        self.assertEqual([host for host, _ in pool.asked], ["mx2", "mx1"])

    def test_recipients_that_are_too_many_go_in_another_transaction_at_once(self) -> None:
        """RFC 5321 §4.5.3.1.10: recipients refused as too many are sent in another transaction to the same host."""
        answers = [[said(OK), said(TOO_MANY), said(NO), said(TOO_MANY)], [said(OK), said(TOO_MANY)], [said(OK)]]
        pool = FakePool({ONE: list(answers)})
        outcomes = self.relay(FakeResolver(ONE), pool, "a", "b", "c", "d")
        self.assertEqual(outcomes, [said(OK), said(OK), said(NO), said(OK)])
        self.assertEqual([names for _, names in pool.asked], [["a", "b", "c", "d"], ["b", "d"], ["d"]])

    def test_a_host_that_refuses_all_recipients_as_too_many_is_not_tried_again(self) -> None:
        """If a host refuses all recipients as too many, the relay does not repeat the transaction."""
        pool = FakePool({ONE: [[said(TOO_MANY)]]})
        self.assertEqual(self.relay(FakeResolver(ONE), pool, "a"), [said(TOO_MANY)])

    def test_a_domain_without_hosts_fails_with_the_resolvers_reason(self) -> None:
        """A null MX and a non-existent domain fail with the resolver's reply."""
        reply = Reply(556, "5.1.10", "takes no mail")
        outcomes = self.relay(FakeResolver(refusal=reply), FakePool({}), "a", "b")
        self.assertEqual(outcomes, [Outcome(OutcomeKind.FAILED, reply)] * 2)

    def test_a_resolver_that_does_not_know_delays_for_the_whole_next_hop(self) -> None:
        """SERVFAIL delays all recipients, with the fault at the next hop."""
        reply = Reply(451, "4.4.3", "SERVFAIL")
        outcomes = self.relay(FakeResolver(refusal=reply), FakePool({}), "a")
        self.assertEqual(outcomes, [Outcome(OutcomeKind.DELAYED, reply, host_at_fault=True)])

    def test_an_unexpected_exception_delays_and_is_logged_once(self) -> None:
        """An unexpected exception delays the remaining recipients. Outcomes from before the exception stay."""
        pool = FakePool({ONE: [[said(OK), said(LATER)]], TWO: [RuntimeError("bug")]})
        outcomes = self.relay(FakeResolver(ONE, TWO), pool, "a", "b")
        self.assertEqual(outcomes, [said(OK), said(LATER)])
        self.assertEqual(self.telemetry.counters["exception"], 1)
        [outcome] = self.relay(FakeResolver(TWO), FakePool({TWO: [RuntimeError("bug")]}), "a")
        self.assertEqual((outcome.kind, outcome.reply.code), (OutcomeKind.DELAYED, 451))

    def test_cancelling_is_passed_on(self) -> None:
        """Cancelling the delivery raises CancelledError in the runner."""
        relay = Relay(FakeResolver(ONE), FakePool({ONE: [CancelledError()]}), OutboundSettings(), quiet())
        self.failureResultOf(Deferred.fromCoroutine(relay.relay(HOP, transmission())), CancelledError)

    def test_shut_down_cancels_lookups(self) -> None:
        """`shut_down` cancels lookups, refuses new ones, and shuts the connection pool down."""
        pool = FakePool({})
        relay = Relay(SilentResolver(), pool, OutboundSettings(), quiet())
        under_way = Deferred.fromCoroutine(relay.relay(HOP, transmission()))
        relay.shut_down(20)
        later = Deferred.fromCoroutine(relay.relay(HOP, transmission()))
        for sent in (under_way, later):
            [outcome] = self.successResultOf(sent)
            self.assertTrue(outcome.cut_short, outcome)
        self.assertEqual((pool.grace, pool.asked), (20, []))

    def test_a_lookup_that_is_cancelled_with_its_delivery_is_no_outcome(self) -> None:
        """A delivery cancelled during its lookup, for example after a lost lease, raises CancelledError."""
        relay = Relay(SilentResolver(), FakePool({}), OutboundSettings(), quiet())
        sent = Deferred.fromCoroutine(relay.relay(HOP, transmission()))
        sent.cancel()
        self.failureResultOf(sent, CancelledError)

    def test_a_next_hop_with_nothing_to_do_is_passed_on(self) -> None:
        """The connection pool may then close the connections to that next hop."""
        pool = FakePool({})
        Relay(FakeResolver(), pool, OutboundSettings(), quiet()).idle(HOP)
        self.assertEqual(pool.idled, [HOP])

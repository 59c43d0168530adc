"""Choice of the next hop: routes by recipient and sender, MX for other mail, and rewritten senders (SRS)."""

from __future__ import annotations

from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from emailsys.config.settings import RouteSettings, RoutingSettings
from emailsys.interfaces import IRouter, NoDomains, QueueRow
from emailsys.interfaces.operators import IRouteAdministration
from emailsys.mail.address import Address, parse
from emailsys.mail.envelope import NO_PARAMETERS
from emailsys.mail.networks import Networks
from emailsys.mail.next_hop import HostRoute, NextHop, TLSPolicy
from emailsys.policy.expansion import AliasRouter
from emailsys.policy.next_hop import ForwardedSenders, QueueRouter, Routes, RouteTable, explain
from tests.fakes.store.memory_store import MemoryStore
from tests.fakes.whole_house import MemoryRoutes
from tests.unit.policy.test_expansion import Aliases

T = TypeVar("T")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVE = parse("eve@elsewhere.test")
BOB = parse("bob@away.test")


def row(reverse_path: Address | None, forward_path: Address, forwarded: bool = False) -> QueueRow:
    return QueueRow(1, 1, 1, "Q1", reverse_path, forward_path, NOW, 10, NO_PARAMETERS, 0, forwarded=forwarded)


class Table(SynchronousTestCase):
    def hop(self, table: RouteTable, sender: Address | None, to: Address) -> str:
        return str(table.choose(sender, to).next_hop)

    def test_without_routes_mail_goes_by_mx(self) -> None:
        self.assertEqual(RouteTable().choose(EVE, BOB).next_hop, NextHop("away.test"))
        self.assertEqual(RouteTable().choose(EVE, parse("b@BÜCHER.test")).next_hop, NextHop("xn--bcher-kva.test"))

    def test_an_address_literal_is_the_host_itself(self) -> None:
        hop = RouteTable(default_tls=TLSPolicy.REQUIRED).choose(EVE, parse("bob@[192.0.2.7]")).next_hop
        self.assertEqual((hop.name, hop.by_mx, hop.tls), ("[192.0.2.7]", False, TLSPolicy.REQUIRED))

    def test_a_next_hop_knows_that_a_route_names_it(self) -> None:
        """Its faults delay mail; those of a host that DNS or a stranger names may return it."""
        stored = HostRoute(NextHop("stored.test", by_mx=False), "far.test")
        routes = [RouteSettings("smart.test", recipient_domain="away.test")]
        table = RouteTable(routes, stored=[stored], relay_domains=["BÜCHER.test"])
        named = (BOB, parse("a@far.test"), parse("a@bücher.test"))
        for path in (*named, EVE, parse("a@[192.0.2.7]"), parse("a@www.bücher.test")):
            self.assertEqual(table.choose(None, path).next_hop.by_route, path in named, path)

    def test_the_route_that_says_more_counts(self) -> None:
        table = RouteTable(
            [
                RouteSettings("all.test"),
                RouteSettings("from.test", sender_domain="Elsewhere.test"),
                RouteSettings("to.test", recipient_domain="away.test"),
                RouteSettings("both.test", recipient_domain="away.test", sender_domain="elsewhere.test"),
                RouteSettings("second.test", recipient_domain="away.test"),
            ]
        )
        self.assertEqual(self.hop(table, EVE, BOB), "[both.test]")
        self.assertEqual(self.hop(table, parse("a@b.test"), BOB), "[to.test]")
        self.assertEqual(self.hop(table, None, BOB), "[to.test]")
        self.assertEqual(self.hop(table, EVE, parse("c@far.test")), "[from.test]")
        self.assertEqual(self.hop(table, None, parse("c@far.test")), "[all.test]")

    def test_a_smart_host_has_its_port_its_tls_and_its_login(self) -> None:
        route = RouteSettings(
            "smart.test", 465, tls=TLSPolicy.VERIFIED, implicit_tls=True, username="we", password="opensesame"
        )
        choice = RouteTable([route]).choose(EVE, BOB)
        hop = choice.next_hop
        self.assertEqual((hop.name, hop.port, hop.by_mx, hop.implicit_tls), ("smart.test", 465, False, True))
        assert hop.login is not None
        self.assertEqual((hop.login.username, hop.login.password), ("we", "opensesame"))
        self.assertNotIn("opensesame", repr(route) + repr(choice))


class Queued(SynchronousTestCase):
    def setUp(self) -> None:
        self.store = MemoryStore()
        self.alice = self.store.seed_account("alice@home.test")
        self.aliases = Aliases()
        self.senders = ForwardedSenders(b"0123456789abcdef", self.store.directory, lambda: NOW)
        self.router = AliasRouter(self.store.directory, self.aliases, srs=self.senders)
        self.stored = MemoryRoutes()
        self.routes = Routes(RoutingSettings(), TLSPolicy.OPPORTUNISTIC, self.stored)
        self.queue = QueueRouter(self.routes, self.router, self.senders)

    def result(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def test_the_router_implements_its_interface(self) -> None:
        self.assertTrue(verifyObject(IRouter, self.queue))

    def test_the_next_hop_is_that_of_the_table(self) -> None:
        self.assertEqual(self.result(self.queue.next_hop(row(EVE, BOB))), NextHop("away.test"))

    def test_a_stranger_s_forwarded_mail_leaves_under_an_address_that_leads_back(self) -> None:
        sender = self.result(self.queue.sender(row(EVE, BOB, forwarded=True)))
        assert sender is not None
        self.assertEqual(sender.domain, "home.test")
        (route,) = self.result(self.queue.resolve(sender))
        self.assertEqual(getattr(route, "forward_path", None), EVE)

    def test_other_mail_keeps_its_sender(self) -> None:
        self.assertEqual(self.result(self.queue.sender(row(EVE, BOB))), EVE)
        self.assertIsNone(self.result(self.queue.sender(row(None, BOB, forwarded=True))), "a bounce stays one")
        ours = parse("alice@home.test")
        self.assertEqual(self.result(self.queue.sender(row(ours, BOB, forwarded=True))), ours)
        switched_off = QueueRouter(self.routes, self.router)
        self.assertEqual(self.result(switched_off.sender(row(EVE, BOB, forwarded=True))), EVE)

    def test_rewritten_addresses_are_in_the_first_domain_unless_another_is_chosen(self) -> None:
        self.store.seed_account("carol@second.test")
        first = self.result(self.senders.sender(EVE))
        chosen = ForwardedSenders(b"0123456789abcdef", self.store.directory, lambda: NOW, "second.test")
        second = self.result(chosen.sender(EVE))
        self.assertEqual([first.domain, second.domain], ["home.test", "second.test"])
        # After the choice has changed, those made before still lead back; others' do not.
        self.assertEqual([chosen.restore(first), self.senders.restore(second)], [EVE, EVE])
        self.assertIsNone(ForwardedSenders(b"x" * 16, self.store.directory, lambda: NOW).restore(first))
        nobody = ForwardedSenders(b"x" * 16, MemoryStore().directory, lambda: NOW)
        # A store without a domain is not the one that knows whether the sender is local: the transmission waits.
        self.failureResultOf(Deferred.fromCoroutine(nobody.sender(EVE)), NoDomains)

    def test_a_route_of_the_store_counts_at_once_behind_those_of_the_configuration(self) -> None:
        self.assertTrue(verifyObject(IRouteAdministration, self.stored))
        self.stored.known = [HostRoute(NextHop("stored.test", 587, by_mx=False), "away.test")]
        self.assertEqual(str(self.result(self.queue.next_hop(row(EVE, BOB)))), "[stored.test]:587")
        configured = Routes(
            RoutingSettings((RouteSettings("file.test", recipient_domain="away.test"),)), TLSPolicy.NONE, self.stored
        )
        table = self.result(configured.table())
        self.assertEqual(str(table.choose(EVE, BOB).next_hop), "[file.test]")
        self.assertIs(self.result(configured.table()), table)
        without = Routes(RoutingSettings(), TLSPolicy.NONE, None)
        self.assertEqual(
            self.result(without.table()).choose(EVE, BOB).next_hop, NextHop("away.test", tls=TLSPolicy.NONE)
        )

    def test_explain_tells_the_way_of_each_target(self) -> None:
        self.aliases.add("team@home.test", "alice@home.test", "bob@away.test")
        told = self.result(explain(self.router, RouteTable([RouteSettings("r.test")]), parse("team@home.test")))
        self.assertEqual(len(told.expansion.steps), 3)
        ((path, choice),) = told.next_hops
        self.assertEqual((path, str(choice.next_hop)), (BOB, "[r.test]"))
        self.assertEqual(choice.why, "a route for all mail to other systems")


class Trusting(SynchronousTestCase):
    def test_no_network_is_trusted_by_default(self) -> None:
        self.assertNotIn("127.0.0.1", Networks())

    def test_a_printer_in_its_network_is(self) -> None:
        trusted = Networks(["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"])
        for ip in ("192.0.2.9", "::ffff:192.0.2.9", "2001:db8::1", "2001:db8::1%eth0", "198.51.100.7"):
            self.assertIn(ip, trusted)
        for ip in ("192.0.3.9", "2001:db9::1", "", "printer"):
            self.assertNotIn(ip, trusted)

    def test_text_that_is_no_network_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            Networks(["192.0.2.1/24"])

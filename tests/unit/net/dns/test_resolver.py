"""The resolver finds the hosts of a next hop by RFC 5321 §5.1, over a name server on a loopback port."""

from __future__ import annotations

import gc

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTCP
from twisted.internet.task import deferLater
from twisted.names import dns
from zope.interface.verify import verifyObject

from emailsys.config.settings import AddressOrder
from emailsys.interfaces import IResolver
from emailsys.mail.next_hop import NextHop
from emailsys.net.dns.name_servers import NameServers
from tests.fakes.net.memory_dns import Zone, ZoneTCPServer, record
from tests.unit.net.dns.resolver_case import ResolverCase


class ResolverTests(ResolverCase):
    """Next hops that DNS resolves."""

    async def test_mx_hosts_come_by_preference_and_equal_ones_are_shuffled(self) -> None:
        """Each with its addresses, IPv4 first."""
        verifyObject(IResolver, self.resolver())
        for preference, name in ((20, "c"), (10, "a"), (10, "b")):
            self.zone.add("example.net", "MX", f"{preference} {name}.example.net")
            self.zone.add(f"{name}.example.net", "A", f"192.0.2.{ord(name)}")
        self.zone.add("a.example.net", "AAAA", "2001:db8::1")
        wanted = [
            "a.example.net [192.0.2.97]",
            "a.example.net [IPv6:2001:db8::1]",
            "b.example.net [192.0.2.98]",
            "c.example.net [192.0.2.99]",
        ]
        self.assertEqual(await self.found("Example.NET"), wanted)
        shuffled = await self.found("example.net", self.resolver(shuffle=lambda hosts: hosts.reverse()))
        self.assertEqual(shuffled, [wanted[2], wanted[0], wanted[1], wanted[3]])

    async def test_ipv6_comes_first_or_alone_where_the_config_says_so(self) -> None:
        """And IPv4 alone."""
        self.zone.add("h.example", "A", "192.0.2.1")
        self.zone.add("h.example", "AAAA", "2001:db8::1")
        four, six = "h.example [192.0.2.1]", "h.example [IPv6:2001:db8::1]"
        for order, wanted in (
            (AddressOrder.IPV6_FIRST, [six, four]),
            (AddressOrder.IPV6_ONLY, [six]),
            (AddressOrder.IPV4_ONLY, [four]),
        ):
            self.assertEqual(await self.found("h.example", self.resolver(order)), wanted)

    async def test_a_domain_without_mx_is_its_own_host(self) -> None:
        """RFC 5321 §5.1, the implicit MX."""
        self.zone.add("h.example", "A", "192.0.2.1")
        self.assertEqual(await self.found("h.example"), ["h.example [192.0.2.1]"])

    async def test_a_domain_that_is_an_alias_is_followed(self) -> None:
        """RFC 5321 §5.1: the name found is processed as if it were the first one."""
        self.zone.add("alias.example", "CNAME", "other.example")
        self.zone.add("other.example", "CNAME", "example.net")
        self.zone.add("example.net", "MX", "10 mx.example.net")
        self.zone.add("mx.example.net", "A", "192.0.2.1")
        self.assertEqual(await self.found("alias.example"), ["mx.example.net [192.0.2.1]"])

    async def test_aliases_that_lead_round_are_given_up(self) -> None:
        """In bounded time."""
        self.zone.add("a.example", "CNAME", "b.example")
        self.zone.add("b.example", "CNAME", "a.example")
        reply = await self.refused("a.example")
        self.assertEqual((reply.code, reply.enhanced), (451, "4.4.3"))
        self.assertLess(len(self.zone.asked), 40)

    async def test_null_mx_takes_no_mail(self) -> None:
        """RFC 7505; beside real hosts it says nothing."""
        self.zone.add("null.example", "MX", "0 ")
        self.assertEqual((await self.refused("null.example")).enhanced, "5.1.10")
        self.zone.add("null.example", "MX", "10 mx.example")
        self.zone.add("mx.example", "A", "192.0.2.1")
        self.name_servers._cache.clear()
        self.assertEqual(await self.found("null.example"), ["mx.example [192.0.2.1]"])

    async def test_a_domain_that_does_not_exist_fails(self) -> None:
        """For good."""
        reply = await self.refused("nowhere.example")
        self.assertEqual((reply.code, reply.enhanced), (550, "5.1.2"))

    async def test_a_name_that_is_no_domain_is_not_looked_up(self) -> None:
        """No name server sees it."""
        for name in ("a..b", "-x", "x" * 64 + ".example", "[not-an-address]", "a b"):
            self.assertEqual((await self.refused(name)).code, 550)
        self.assertEqual(self.zone.asked, [])

    async def test_an_mx_host_without_address_fails_unless_another_has_one(self) -> None:
        """RFC 5321 §5.1: reported as an error."""
        self.zone.add("example.net", "MX", "10 gone.example")
        self.assertEqual((await self.refused("example.net")).enhanced, "5.4.4")
        self.zone.add("example.org", "MX", "10 gone.example")
        self.zone.add("example.org", "MX", "20 mx.example")
        self.zone.add("mx.example", "A", "192.0.2.1")
        self.assertEqual(await self.found("example.org"), ["mx.example [192.0.2.1]"])

    async def test_name_servers_that_fail_delay(self) -> None:
        """SERVFAIL, REFUSED, for the MX records or for all the hosts' addresses; with the reason."""
        self.zone.faults = {"servfail.example": dns.ESERVER, "refused.example": dns.EREFUSED, "mx.example": dns.ESERVER}
        self.zone.add("example.net", "MX", "10 mx.example")
        self.zone.add("example.net", "MX", "20 gone.example")
        whys = {"servfail.example": "SERVFAIL", "refused.example": "REFUSED", "example.net": "SERVFAIL"}
        for name, why in whys.items():
            reply = await self.refused(name)
            self.assertEqual((reply.code, reply.enhanced), (451, "4.4.3"))
            self.assertIn(why, reply.text)

    async def test_one_family_that_fails_does_not_hide_the_other(self) -> None:
        """Some name servers answer SERVFAIL to AAAA."""
        self.zone.add("h.example", "A", "192.0.2.1")
        answer = self.zone.answer

        def no_aaaa(query: dns.Message) -> dns.Message | None:
            found = answer(query)
            if found is not None and query.queries[0].type == dns.AAAA:
                found.rCode = dns.ESERVER
            return found

        self.zone.answer = no_aaaa  # type: ignore[method-assign]
        self.assertEqual(await self.found("h.example"), ["h.example [192.0.2.1]"])

    async def test_a_silent_name_server_delays_within_the_time_set(self) -> None:
        """And malformed answers count as silence."""
        self.zone.silent.add("silent.example")
        reply = await self.refused("silent.example", self.resolver(timeout=0.1))
        self.assertIn("no answer in time", reply.text)
        self.zone.garbage = b"\x81\x80\x00\x01\x00\x01" + b"\xc0\x0c" * 20
        reply = await self.refused("h.example", self.resolver(timeout=0.1))
        self.assertIn("no answer in time", reply.text)

    async def test_an_incomplete_answer_is_ignored(self) -> None:
        """A domain would be taken for one without hosts, and its mail for undeliverable."""
        self.zone.add("example.net", "MX", "10 mx.example.net")
        self.zone.add("mx.example.net", "A", "192.0.2.1")
        asked = len(b"\x00" * 12) + len(b"\x07example\x03net\x00") + 4
        for end in (asked, asked + 5, -1):
            self.zone.bend = lambda octets, end=end: octets[:end]  # type: ignore[misc]
            reply = await self.refused("example.net", self.resolver(timeout=0.1))
            self.assertEqual((reply.code, reply.enhanced), (451, "4.4.3"))
        self.zone.bend = lambda octets: octets
        self.assertEqual(await self.found("example.net"), ["mx.example.net [192.0.2.1]"])

    async def test_an_answer_to_another_question_is_ignored(self) -> None:
        """RFC 5452 §9.1: whoever guesses the number of a question must know the question, too."""
        self.zone.bend = lambda octets: octets.replace(b"example", b"exomple")
        reply = await self.refused("h.example", self.resolver(timeout=0.1))
        self.assertEqual((reply.code, reply.enhanced), (451, "4.4.3"))
        self.zone.bend = lambda octets: octets[:2] + b"\x01" + octets[3:]
        reply = await self.refused("h.example", self.resolver(timeout=0.1))
        self.assertEqual((reply.code, reply.enhanced), (451, "4.4.3"), "an echo of the question")
        # A name server in trouble need not repeat it, and is believed that it has some.
        self.zone.bend = lambda octets: octets[:2] + b"\x81\x82" + b"\x00" * 8
        self.assertIn("SERVFAIL", (await self.refused("h.example", self.resolver(timeout=5))).text)

    async def test_a_name_server_is_known_however_its_address_is_written(self) -> None:
        """resolv.conf says 0.0.0.0 for this machine here and there; answers come from 127.0.0.1."""
        self.zone.add("h.example", "A", "192.0.2.1")
        self.name_servers = NameServers(reactor, [("0.0.0.0", self.port)])
        self.addCleanup(self.name_servers.close)
        self.assertEqual(await self.found("h.example", self.resolver(timeout=5)), ["h.example [192.0.2.1]"])

    async def test_a_cancelled_lookup_ends(self) -> None:
        """All of its questions, quietly."""
        self.zone.add("example.net", "MX", "10 a.example")
        self.zone.add("example.net", "MX", "10 b.example")
        self.zone.silent |= {"a.example", "b.example"}
        lookup = Deferred.fromCoroutine(self.resolver().hosts(NextHop("example.net")))
        while len(self.zone.asked) < 5:
            await deferLater(reactor, 0.001)
        lookup.cancel()
        await self.assertFailure(lookup, CancelledError)
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_a_question_that_cannot_be_sent_delays_in_plain_words(self) -> None:
        """They may reach the sender of a message: no name of an exception, no number of the system."""
        # Who may not broadcast cannot send there, with or without a network.
        self.name_servers = NameServers(reactor, [("255.255.255.255", 53)])
        self.addCleanup(self.name_servers.close)
        reply = await self.refused("h.example")
        self.assertRegex(
            reply.text, r"^MX of h\.example could not be looked up: (Permission denied|Network is unreachable)$"
        )

    async def test_an_answer_cut_off_with_no_tcp_behind_it_delays(self) -> None:
        """The name server has no TCP port."""
        self.zone.cut.add("cut.example")
        reply = await self.refused("cut.example")
        self.assertEqual((reply.code, reply.enhanced), (451, "4.4.3"))

    async def test_an_answer_cut_off_is_asked_for_by_tcp(self) -> None:
        """And one that is cut off there too is given up, where the stock resolver asks for ever."""
        self.zone.cut.add("long.example")
        tcp_zone = Zone(record("long.example", "MX", "10 mx.example"))
        server = ZoneTCPServer(tcp_zone)
        assert IReactorTCP.providedBy(reactor)
        listening = reactor.listenTCP(self.port, server, interface="127.0.0.1")
        self.addCleanup(listening.stopListening)
        self.addCleanup(lambda: server.gone)
        self.addCleanup(self.name_servers.close)
        self.zone.add("mx.example", "A", "192.0.2.1")
        self.assertEqual(await self.found("long.example"), ["mx.example [192.0.2.1]"])
        tcp_zone.cut.add("long.example")
        self.name_servers._cache.clear()
        reply = await self.refused("long.example")
        self.assertIn("cut off", reply.text)

    async def test_a_negative_answer_is_cached_as_long_as_its_zone_says(self) -> None:
        """RFC 2308 §5."""
        self.zone.authority = [record("example", "SOA", "40")]
        await self.refused("gone.example")
        await self.refused("gone.example")
        self.assertEqual(len(self.zone.asked), 1)
        [(until, _)] = self.name_servers._cache.values()
        self.assertTrue(30 < until - reactor.seconds() <= 40)

    async def test_mx_records_that_name_no_hosts_delay(self) -> None:
        """Whoever wrote them may mend them."""
        self.zone.add("example.net", "MX", "10 a_b!.example")
        self.zone.add("example.net", "MX", "20 192.0.2.1")
        self.assertEqual((await self.refused("example.net")).enhanced, "4.4.4")

    async def test_unspecified_and_multicast_addresses_are_left_out(self) -> None:
        """Unspecified and multicast ones."""
        for address in ("0.0.0.0", "224.0.0.1", "192.0.2.1"):
            self.zone.add("h.example", "A", address)
        self.assertEqual(await self.found("h.example"), ["h.example [192.0.2.1]"])

    async def test_only_hosts_preferred_to_this_one_are_tried(self) -> None:
        """RFC 5321 §5.1, by name and by address."""
        for preference, name, address in ((10, "a", "192.0.2.1"), (20, "self", "192.0.2.2"), (30, "c", "192.0.2.3")):
            self.zone.add("example.net", "MX", f"{preference} {name}.example")
            self.zone.add(f"{name}.example", "A", address)
        self.assertEqual(await self.found("example.net"), ["a.example [192.0.2.1]"])
        by_address = self.resolver(names=(), addresses=("192.0.2.2",))
        self.assertEqual(await self.found("example.net", by_address), ["a.example [192.0.2.1]"])
        first = self.resolver(names=("a.example",))
        self.assertEqual((await self.refused("example.net", first)).enhanced, "5.4.6")

    async def test_an_address_literal_is_the_host_itself(self) -> None:
        """RFC 5321 §4.1.3; no name server is asked."""
        self.assertEqual(await self.found("[192.0.2.7]"), ["[192.0.2.7]"])
        self.assertEqual(await self.found("[IPv6:2001:db8::7]"), ["[IPv6:2001:db8::7]"])
        self.assertEqual((await self.refused("[192.0.2.200]")).enhanced, "5.4.6")
        self.assertEqual(self.zone.asked, [])

    async def test_localhost_is_not_asked_for(self) -> None:
        """RFC 6761 §6.3."""
        self.assertEqual(await self.found("localhost", by_mx=False), ["localhost [127.0.0.1]", "localhost [IPv6:::1]"])
        self.assertEqual(self.zone.asked, [])

    async def test_answers_are_kept_for_their_time_to_live(self) -> None:
        """And those that there is nothing, for that of the SOA record."""
        self.zone.add("h.example", "A", "192.0.2.1", 30)
        for _ in range(3):
            await self.found("h.example", self.resolver(AddressOrder.IPV4_ONLY))
        self.assertEqual(len(self.zone.asked), 2)
        keys = {key: until for key, (until, _) in self.name_servers._cache.items()}
        now = reactor.seconds()
        self.assertTrue(20 < keys["h.example", dns.A] - now <= 30)

    async def test_an_answer_without_time_to_live_is_not_kept(self) -> None:
        """TTL 0."""
        self.zone.add("h.example", "A", "192.0.2.1", 0)
        for _ in range(2):
            await self.found("h.example", self.resolver(AddressOrder.IPV4_ONLY), by_mx=False)
        self.assertEqual(self.zone.asked.count(("h.example", dns.A)), 2)

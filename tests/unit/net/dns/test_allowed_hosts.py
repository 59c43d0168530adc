"""Which addresses get mail: those that a route names, and public ones; and what is wrong with a route's host."""

from __future__ import annotations

from emailsys.mail.next_hop import Host, NextHop
from emailsys.mail.reply import Reply
from tests.unit.net.dns.resolver_case import ResolverCase

SEVEN = Host("", "192.0.2.7")


class AllowedHostsTests(ResolverCase):
    """Routes, literals and addresses that are not public."""

    async def test_strangers_send_nothing_to_addresses_that_are_not_public(self) -> None:
        """Their DNS records and address literals would reach services of this machine and its network (SSRF)."""
        self.zone.add("many.example", "MX", "10 a.many.example")
        self.zone.add("many.example", "MX", "20 b.many.example")
        self.zone.add("a.many.example", "A", "127.0.0.2")
        self.zone.add("a.many.example", "AAAA", "::ffff:127.0.0.1")
        self.zone.add("b.many.example", "AAAA", "fe80::1")
        self.zone.add("meta.example", "A", "169.254.169.254")
        self.zone.add("local.example", "MX", "10 localhost")
        literals = ("[127.0.0.1]", "[10.0.0.1]", "[IPv6:::1]", "[IPv6:fe80::1]", "[0.0.0.0]", "[IPv6:::]")
        for name in literals:
            reply = await self.refused(name)
            self.assertEqual((reply.code, reply.enhanced), (550, "5.4.4"), name)
            self.assertIn("which is not a public address", reply.text)
        # No host of the operator has such an address.
        for name in ("meta.example", "local.example", "many.example"):
            reply = await self.refused(name)
            self.assertEqual((reply.code, reply.enhanced), (550, "5.4.4"), name)

    async def test_mail_for_a_domain_of_the_local_network_waits(self) -> None:
        """The operator may set a route for it. The sender, who may read the reply, gets no advice for operators."""
        addresses = {"ten": "10.1.2.3", "shared": "100.64.0.1", "twelve": "172.31.0.1", "home": "192.168.0.1"}
        for name, address in {**addresses, "unique": "fd00::1"}.items():
            self.zone.add(f"{name}.example", "AAAA" if ":" in address else "A", address)
            self.zone.add(f"{name}.example", "MX", "10 localhost")
            self.zone.add(f"{name}.example", "MX", f"20 {name}.example")
            reply = await self.refused(f"{name}.example")
            self.assertEqual((reply.code, reply.enhanced), (451, "4.3.5"), name)
            host = f"{name}.example [{'IPv6:' * (':' in address)}{address}]"
            said = f"mail for {name}.example would go to {host}, which is not a public address"
            self.assertEqual(reply.text, said)

    async def test_of_several_addresses_only_the_public_ones_are_used(self) -> None:
        """A domain may name its inner host to the whole world, and an outer one for others."""
        self.zone.add("both.example", "MX", "10 a.both.example")
        self.zone.add("a.both.example", "A", "192.168.1.1")
        self.zone.add("a.both.example", "A", "192.0.2.1")
        self.assertEqual(await self.found("both.example"), ["a.both.example [192.0.2.1]"])

    async def test_a_route_or_the_setting_allows_addresses_that_are_not_public(self) -> None:
        """A lab, or a host of one's own network."""
        self.zone.add("inside.example", "A", "10.1.2.3")
        self.assertEqual(await self.found("inside.example", by_mx=False), ["inside.example [10.1.2.3]"])
        self.assertEqual(await self.found("[127.0.0.1]", by_mx=False), ["[127.0.0.1]"])
        lab = self.resolver()
        lab._allow_private = True
        self.assertEqual(await self.found("inside.example", lab), ["inside.example [10.1.2.3]"])
        self.assertEqual(await self.found("[127.0.0.1]", lab), ["[127.0.0.1]"])

    async def test_the_host_of_a_route_that_is_not_found_delays_the_mail(self) -> None:
        """The fault is the operator's to correct, and says nothing about the recipients."""
        hosts = self.file("127.0.0.1 localhost\n10.1.1.1 smart.lan Only.Here # the printer\nnonsense only.here\n")
        self.zone.add("smart.example", "A", "192.0.2.1")
        loop = self.resolver(addresses=("192.0.2.1",))
        loop._hosts_file = hosts
        for name, enhanced, words in (
            ("gone.example", "4.4.3", "the host gone.example has no address in DNS; a route of this system names it"),
            ("only.here", "4.4.3", "mail uses DNS only: give the route the address 10.1.1.1"),
            ("smart.example", "4.3.5", "is to be sent to this host"),
            ("[192.0.2.1]", "4.3.5", "is to be sent to this host"),
            ("no host", "4.3.5", "is not a valid domain name"),
        ):
            reply = await loop.hosts(NextHop(name, 25, False, by_route=True))
            assert isinstance(reply, Reply), name
            self.assertEqual((reply.code, reply.enhanced), (451, enhanced), name)
            self.assertIn(words, reply.text)

    async def test_the_mx_hosts_of_a_relay_domain_delay_and_are_public(self) -> None:
        """Its mail was accepted because the operator names it. The addresses are chosen by its owner."""
        self.zone.add("smart.example", "A", "192.0.2.1")
        self.zone.add("near.example", "A", "127.0.0.1")
        for name, words in (
            ("smart.example", "this host, which does not take it; routing.relay_domains, but no route, names it"),
            ("near.example", "is not a public address"),
            ("gone.example", "the domain gone.example does not exist"),
        ):
            reply = await self.resolver(addresses=("192.0.2.1",)).hosts(NextHop(name, by_route=True))
            assert isinstance(reply, Reply), name
            self.assertEqual(reply.code, 451, name)
            self.assertIn(words, reply.text)

    async def test_a_bare_address_in_a_route_is_an_address(self) -> None:
        """With or without brackets, whoever wrote the route; no name server is asked."""
        for name in ("192.0.2.7", "[192.0.2.7]"):
            self.assertEqual(await self.resolver().hosts(NextHop(name, 25, False, by_route=True)), [SEVEN])
        for name in ("2001:db8::7", "[2001:db8::7]", "[IPv6:2001:db8::7]"):
            found = await self.resolver().hosts(NextHop(name, 25, False, by_route=True))
            self.assertEqual(found, [Host("", "2001:db8::7")])
        self.assertEqual(self.zone.asked, [])

    async def test_a_smart_host_is_the_host_itself(self) -> None:
        """Its MX records are nobody's business; a loop is seen there too."""
        self.zone.add("smart.example", "MX", "10 mx.example")
        self.zone.add("smart.example", "A", "192.0.2.1")
        self.assertEqual(await self.found("smart.example", by_mx=False, port=587), ["smart.example [192.0.2.1]:587"])
        self.assertEqual((await self.refused("gone.example", by_mx=False)).enhanced, "5.4.4")
        loop = self.resolver(addresses=("192.0.2.1",))
        self.assertEqual((await self.refused("smart.example", loop, by_mx=False)).enhanced, "5.4.6")


del ResolverCase

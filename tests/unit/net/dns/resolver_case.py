"""A resolver over a name server of ours, on a loopback port."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.interfaces import IReactorUDP
from twisted.trial.unittest import TestCase

from emailsys.config.settings import AddressOrder, OutboundSettings, OutboundTimeouts
from emailsys.mail.next_hop import NextHop
from emailsys.mail.reply import Reply
from emailsys.net.dns.name_servers import NameServers
from emailsys.net.dns.own_host import OwnHost
from emailsys.net.dns.resolver import Resolver
from tests.fakes.net.memory_dns import Zone, ZoneServer


class ResolverCase(TestCase):
    """A Resolver over UDP to a zone of ours."""

    def setUp(self) -> None:
        assert IReactorUDP.providedBy(reactor)
        self.zone = Zone()
        port: Any = reactor.listenUDP(0, ZoneServer(self.zone), "127.0.0.1", 8192)
        self.addCleanup(port.stopListening)
        self.port = port.getHost().port
        self.name_servers = NameServers(reactor, [("127.0.0.1", port.getHost().port)])
        self.addCleanup(self.name_servers.close)

    def resolver(
        self,
        order: AddressOrder = AddressOrder.IPV4_FIRST,
        names: Sequence[str] = ("self.example",),
        addresses: Sequence[str] = (),
        shuffle: Any = lambda hosts: None,
        timeout: float = 10,
    ) -> Resolver:
        """With `addresses` as our own."""
        settings = OutboundSettings(address_order=order, timeouts=OutboundTimeouts(dns=timeout))
        own_host = OwnHost(names, [("192.0.2.200", 25)], addresses, lambda address: False)
        return Resolver(reactor, self.name_servers, settings, own_host, shuffle)

    async def found(self, name: str, resolver: Resolver | None = None, by_mx: bool = True, port: int = 25) -> list[str]:
        """The hosts, as outcomes show them."""
        next_hop = NextHop(name, port, by_mx, by_route=not by_mx)
        hosts = await (resolver or self.resolver()).hosts(next_hop)
        assert not isinstance(hosts, Reply), hosts
        return [str(host) for host in hosts]

    def file(self, text: str) -> Path:
        """Write a file."""
        path = Path(self.mktemp())
        path.write_text(text)
        return path

    async def refused(self, name: str, resolver: Resolver | None = None, by_mx: bool = True) -> Reply:
        """Why there is none."""
        reply = await (resolver or self.resolver()).hosts(NextHop(name, 25, by_mx))
        assert isinstance(reply, Reply), reply
        return reply

"""Resolver: the hosts that accept mail for a next hop, in the order in which to try them (RFC 5321 §5.1)."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.names import dns
from zope.interface import implementer

from emailsys.config.settings import AddressOrder, OutboundSettings
from emailsys.interfaces import IResolver
from emailsys.mail.address import domain_key, is_foreign_domain
from emailsys.mail.ip import is_private_use, is_public
from emailsys.mail.next_hop import Host, NextHop
from emailsys.mail.reply import Reply
from emailsys.net.dns.hosts_file import HOSTS_FILE, addresses_in
from emailsys.net.dns.name_servers import NameServers
from emailsys.net.dns.own_host import OwnHost

# MX hosts of a domain, and addresses of a host, that are used. No real domain needs more.
_MAX_HOSTS: Final = 20
_MAX_ADDRESSES: Final = 20
_LOCALHOST: Final = ("127.0.0.1", "::1")
_FAMILIES: Final = {
    AddressOrder.IPV4_FIRST: (dns.A, dns.AAAA),
    AddressOrder.IPV6_FIRST: (dns.AAAA, dns.A),
    AddressOrder.IPV4_ONLY: (dns.A,),
    AddressOrder.IPV6_ONLY: (dns.AAAA,),
}


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A host named by an MX record, or the domain itself if it has no MX record."""

    preference: int
    name: str


_T = TypeVar("_T")


async def _all(coroutines: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Run coroutines in parallel and return their results in order. Cancelling the call cancels all of them."""
    try:
        return await gatherResults([Deferred.fromCoroutine(one) for one in coroutines], consumeErrors=True)
    except FirstError as error:
        error.subFailure.raiseException()


def _address_of(record: Any) -> str | None:
    """Return the address of an A or AAAA record; None if it is unusable."""
    try:
        address = ipaddress.ip_address(record.address)
    except ValueError:
        return None
    return None if address.is_unspecified or address.is_multicast else str(address)


def _literal(name: str) -> str | None:
    """Return the IP address of an address literal (RFC 5321 §4.1.3); None if malformed."""
    inside = name.removeprefix("[").removesuffix("]")
    if inside[:5].lower() == "ipv6:":
        inside = inside[5:]
    try:
        return str(ipaddress.ip_address(inside))
    except ValueError:
        return None


@implementer(IResolver)
class Resolver:
    """Resolves next hops by RFC 5321 §5.1."""

    def __init__(
        self,
        clock: IReactorTime,
        name_servers: NameServers,
        settings: OutboundSettings,
        own_host: OwnHost,
        shuffle: Callable[[list[Any]], None],
        hosts_file: Path = HOSTS_FILE,
    ) -> None:
        """
        @param shuffle: shuffles MX hosts of equal preference, such as random.shuffle.
        @param hosts_file: read only to explain why the host of a route was not found.
        """
        self._clock = clock
        self._name_servers = name_servers
        self._timeout = settings.timeouts.dns
        self._families = _FAMILIES[settings.address_order]
        self._own_host = own_host
        self._allow_private = settings.allow_private
        self._shuffle = shuffle
        self._hosts_file = hosts_file

    async def hosts(self, next_hop: NextHop) -> Sequence[Host] | Reply:
        found = await self._hosts(next_hop)
        is_named = next_hop.by_route and not next_hop.by_mx
        if not isinstance(found, Reply) and not is_named and not self._allow_private:
            public = [host for host in found if is_public(host.address)]
            found = public or self._not_public(next_hop.name, found)
        return self._of_route(next_hop, found) if isinstance(found, Reply) and next_hop.by_route else found

    def _not_public(self, name: str, hosts: Sequence[Host]) -> Reply:
        """Return the reply for a domain or literal of which no address is public.

        Strangers choose DNS records and address literals. Those must not lead to services of this machine or network.
        The operator may allow a domain of the local network, so mail for it waits. An address literal is chosen by the
        sender and is refused. So is a domain that has only other addresses, such as loopback ones.
        """
        private = [] if name.startswith("[") else [host for host in hosts if is_private_use(host.address)]
        said = f"mail for {name} would go to {(private or hosts)[0]}, which is not a public address"
        return Reply(451, "4.3.5", said) if private else Reply(550, "5.4.4", said)

    async def _hosts(self, next_hop: NextHop) -> Sequence[Host] | Reply:
        until = self._clock.seconds() + self._timeout
        name, port = next_hop.name, next_hop.port
        if next_hop.is_socket:
            return [Host("", name)]
        if name.startswith("[") or (next_hop.by_route and _literal(name) is not None):
            address = _literal(name)
            if address is None:
                return Reply(550, "5.1.2", f"{name} is not a valid host address")
            return self._without_own_host(name, [Host("", address, port)])
        name = domain_key(name).rstrip(".")
        if not name.isascii() or not is_foreign_domain(name):
            return Reply(550, "5.1.2", f"{name} is not a valid domain name")
        if not next_hop.by_mx:
            found = await self._addresses(name, until)
            if isinstance(found, Reply):
                return found
            return self._without_own_host(name, [Host(name, address, port) for address in found])
        return await self._by_mx(name, port, until)

    def _of_route(self, next_hop: NextHop, reply: Reply) -> Reply:
        """Return the reply for a host that the operator names. The operator must correct its fault, so the mail waits.

        4.4.3: the name could not be resolved. 4.3.5: the route leads nowhere else.
        """
        if reply.code < 500:
            return reply
        named_by = "routing.relay_domains, but no route," if next_hop.by_mx else "a route of this system"
        said = f"{reply.text}; {named_by} names it"
        if reply.enhanced != "5.4.4":
            return Reply(451, "4.3.5", said)
        addresses = addresses_in(self._hosts_file, domain_key(next_hop.name))
        if addresses and not next_hop.by_mx:
            said += f". {self._hosts_file} has it, but mail uses DNS only: give the route the address {addresses[0]}"
        return Reply(451, "4.4.3", said)

    def _without_own_host(self, name: str, hosts: list[Host]) -> Sequence[Host] | Reply:
        if any(self._own_host.is_address(host.address, host.port) for host in hosts):
            return self._loop(name)
        return hosts

    def _loop(self, name: str) -> Reply:
        return Reply(550, "5.4.6", f"mail for {name} is to be sent to this host, which does not take it")

    async def _by_mx(self, domain: str, port: int, until: float) -> Sequence[Host] | Reply:
        exchanges = await self._exchanges(domain, until)
        if isinstance(exchanges, Reply):
            return exchanges
        found = await _all([self._addresses(exchange.name, until) for exchange in exchanges])
        # RFC 5321 §5.1: if this host is in the list, only hosts before it may be tried.
        own_preferences = [
            exchange.preference
            for exchange, addresses in zip(exchanges, found, strict=True)
            if self._own_host.is_name(exchange.name)
            or (
                not isinstance(addresses, Reply)
                and any(self._own_host.is_address(address, port) for address in addresses)
            )
        ]
        hosts: list[Host] = []
        refusals: list[Reply] = []
        for exchange, addresses in zip(exchanges, found, strict=True):
            if own_preferences and exchange.preference >= min(own_preferences):
                continue
            if isinstance(addresses, Reply):
                refusals.append(addresses)
            else:
                hosts += [Host(exchange.name, address, port) for address in addresses]
        if hosts:
            return hosts
        if not refusals:
            return self._loop(domain)
        transient = [refusal for refusal in refusals if refusal.code < 500]
        return (transient or refusals)[0]

    async def _exchanges(self, domain: str, until: float) -> list[_Exchange] | Reply:
        """Return the MX hosts of a domain in the order in which to try them."""
        found = await self._name_servers.look_up(domain, dns.MX, until)
        if isinstance(found, Reply):
            return found
        if not found.exists:
            return Reply(550, "5.1.2", f"the domain {domain} does not exist")
        if not found.records:
            return [_Exchange(0, domain)]
        named = [
            _Exchange(record.preference, record.name.name.decode("ascii", "backslashreplace").lower().rstrip("."))
            for record in found.records
        ]
        if all(not exchange.name for exchange in named):
            # RFC 7505 §3, §4.
            return Reply(556, "5.1.10", f"the domain {domain} takes no mail (null MX)")
        # RFC 3696 §2: a name whose last label is a number is an address, which an MX record must not contain.
        usable = [e for e in named if is_foreign_domain(e.name) and not e.name.rpartition(".")[2].isdecimal()]
        if not usable:
            return Reply(451, "4.4.4", f"no MX record of {domain} names a host")
        self._shuffle(usable)
        usable.sort(key=lambda exchange: exchange.preference)
        return usable[:_MAX_HOSTS]

    async def _addresses(self, name: str, until: float) -> Sequence[str] | Reply:
        """Return the addresses of a host, at least one, in the order in which to try them."""
        if name == "localhost":
            # RFC 6761 §6.3: never query name servers for localhost.
            return [address for address in _LOCALHOST if (dns.AAAA if ":" in address else dns.A) in self._families]
        answers = await _all([self._name_servers.look_up(name, kind, until) for kind in self._families])
        addresses: list[str] = []
        refusal: Reply | None = None
        for answer in answers:
            if isinstance(answer, Reply):
                refusal = refusal or answer
            else:
                addresses += [a for record in answer.records[:_MAX_ADDRESSES] if (a := _address_of(record)) is not None]
        if addresses:
            return addresses
        return refusal or Reply(550, "5.4.4", f"the host {name} has no address in DNS")

"""Next hop: decides by which route, smart host or MX a recipient is reached, and which sender the mail gets (SRS)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from zope.interface import implementer

from emailsys.config.settings import RouteSettings, RoutingSettings
from emailsys.interfaces import IDirectory, IRouter, QueueRow
from emailsys.interfaces.operators import IRouteAdministration
from emailsys.mail.address import Address, domain_key
from emailsys.mail.envelope import RemoteRoute, Route
from emailsys.mail.next_hop import HostLogin, HostRoute, NextHop, TLSPolicy
from emailsys.mail.pipe import TIME_LIMIT, Pipe, is_pipe
from emailsys.mail.srs import SRS
from emailsys.mail.webhook import Webhook, is_webhook
from emailsys.policy.expansion import AliasRouter, Expansion

_SECONDS_A_DAY: Final = 86400


@dataclass(frozen=True, slots=True)
class Choice:
    """A next hop, and the reason for it in words."""

    next_hop: NextHop
    why: str


class RouteTable:
    """Table of routes: those of the configuration, then those of the store.

    Priority: a route for both domains of recipient and sender, then for the recipient's domain, then for the sender's
    domain, then for all mail. Of two routes for the same domains, the first counts.
    """

    def __init__(
        self,
        routes: Sequence[RouteSettings] = (),
        default_tls: TLSPolicy = TLSPolicy.OPPORTUNISTIC,
        stored: Sequence[HostRoute] = (),
        relay_domains: Sequence[str] = (),
    ) -> None:
        """@param relay_domains: domains to which any client may send. Their faults are the operator's, as a route's."""
        self._default_tls = default_tls
        self._relay_domains = frozenset(map(domain_key, relay_domains))
        self._hops: dict[tuple[str, str], NextHop] = {}
        for route in (*map(host_route, routes), *stored):
            key = (domain_key(route.recipient_domain), domain_key(route.sender_domain))
            self._hops.setdefault(key, replace(route.next_hop, by_route=True))

    def choose(self, reverse_path: Address | None, forward_path: Address) -> Choice:
        """Return the next hop of a message. The null reverse-path has no domain."""
        to = forward_path.key[1]
        sender = "" if reverse_path is None else reverse_path.key[1]
        for key in ((to, sender), (to, ""), ("", sender), ("", "")):
            hop = self._hops.get(key)
            if hop is not None:
                return Choice(hop, _why(*key))
        if to.startswith("["):
            return Choice(NextHop(to, by_mx=False, tls=self._default_tls), "the address literal names the host")
        by_mx = NextHop(to, tls=self._default_tls, by_route=to in self._relay_domains)
        return Choice(by_mx, f"no route matches; the MX hosts of {to}")


def _why(recipient_domain: str, sender_domain: str) -> str:
    if not recipient_domain and not sender_domain:
        return "a route for all mail to other systems"
    parts = ((" from ", sender_domain), (" to ", recipient_domain))
    return "a route for mail" + "".join(word + domain for word, domain in parts if domain)


def host_route(route: RouteSettings) -> HostRoute:
    """Return the host route for a route of the configuration."""
    if is_webhook(route.host):
        webhook = Webhook(route.host, route.secret)
        tls = TLSPolicy.VERIFIED if route.host.startswith("https:") else TLSPolicy.NONE
        hop = NextHop(webhook.host, route.port, by_mx=False, tls=tls, webhook=webhook)
        return HostRoute(hop, route.recipient_domain, route.sender_domain)
    if is_pipe(route.host):
        limit = TIME_LIMIT if route.time_limit is None else route.time_limit
        pipe = Pipe(route.host.removeprefix("pipe:"), route.user, limit)
        hop = NextHop(str(pipe), by_mx=False, tls=TLSPolicy.NONE, pipe=pipe)
        return HostRoute(hop, route.recipient_domain, route.sender_domain)
    hop = NextHop(
        name=route.host,
        port=route.port,
        tls=route.tls,
        implicit_tls=route.implicit_tls,
        login=HostLogin(route.username, route.password) if route.username else None,
        certificate_name=route.certificate_name,
        certificate_fingerprint=route.certificate_fingerprint,
    ).at_destination()
    return HostRoute(hop, route.recipient_domain, route.sender_domain)


class Routes:
    """The current routes: those of the configuration, and those of the store."""

    def __init__(self, settings: RoutingSettings, default_tls: TLSPolicy, stored: IRouteAdministration | None) -> None:
        self._stored = stored
        self._known: Sequence[HostRoute] = ()
        self.configure(settings, default_tls)

    def configure(self, settings: RoutingSettings, default_tls: TLSPolicy) -> None:
        """Use the routes of a configuration from now on."""
        self._settings = settings
        self._default_tls = default_tls
        self._table = self._made()

    def _made(self) -> RouteTable:
        return RouteTable(self._settings.routes, self._default_tls, self._known, self._settings.relay_domains)

    async def table(self) -> RouteTable:
        """Return the current table.

        @raise StoreError: the routes of the store cannot be read now.
        """
        if self._stored is not None:
            found = await self._stored.routes()
            if found != self._known:
                self._known = found
                self._table = self._made()
        return self._table


class ForwardedSenders:
    """Rewrites the reverse-path of forwarded mail (SRS), and restores addresses that it rewrote.

    @param secret: the SRS key of this system.
    @param now: returns the time, for the age of rewritten addresses.
    @param domain: the domain of rewritten addresses; "" for the default domain.
    """

    def __init__(self, secret: bytes, directory: IDirectory, now: Callable[[], datetime], domain: str = "") -> None:
        self._secret = secret
        self._domain = domain
        self._directory = directory
        self._now = now

    def _day(self) -> int:
        return int(self._now().timestamp()) // _SECONDS_A_DAY

    async def sender(self, reverse_path: Address) -> Address:
        """Return the sender of forwarded mail. A local sender passes SPF unchanged."""
        if await self._directory.is_local_domain(reverse_path.key[1]):
            return reverse_path
        domain = self._domain or await self._directory.default_domain()
        return SRS(self._secret, domain).rewrite(reverse_path, self._day())

    def restore(self, forward_path: Address) -> Address | None:
        """Return the original address, or None if it was not rewritten here, is forged or is too old.

        @param forward_path: in any local domain, because the domain of rewritten addresses may have changed.
        """
        return SRS(self._secret, forward_path.domain).restore(forward_path, self._day())


@implementer(IRouter)
class QueueRouter:
    """Router for the queue.

    @param senders: None if SRS is switched off.
    """

    def __init__(self, routes: Routes, aliases: AliasRouter, senders: ForwardedSenders | None = None) -> None:
        self._routes = routes
        self._aliases = aliases
        self._senders = senders

    async def next_hop(self, row: QueueRow) -> NextHop:
        return (await self._routes.table()).choose(row.reverse_path, row.forward_path).next_hop

    async def sender(self, row: QueueRow) -> Address | None:
        if not row.forwarded or row.reverse_path is None or self._senders is None:
            return row.reverse_path
        return await self._senders.sender(row.reverse_path)

    async def resolve(self, forward_path: Address) -> Sequence[Route]:
        return await self._aliases.resolve(forward_path)


@dataclass(frozen=True, slots=True)
class Explanation:
    """The result of `route explain`: the expansion, and the next hop of each remote address with its reason."""

    expansion: Expansion
    next_hops: tuple[tuple[Address, Choice], ...]


async def explain(
    aliases: AliasRouter, table: RouteTable, forward_path: Address, reverse_path: Address | None = None
) -> Explanation:
    """Return where mail from this sender to this recipient would go now."""
    expansion = await aliases.explain(forward_path)
    outside = [route.forward_path for route in expansion.routes if isinstance(route, RemoteRoute)]
    return Explanation(expansion, tuple((path, table.choose(reverse_path, path)) for path in outside))

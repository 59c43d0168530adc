"""Connection pool for outbound SMTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from emailsys.config.settings import OutboundSettings
from emailsys.interfaces import IConnectionPool
from emailsys.interfaces.wiretap import IWiretap
from emailsys.mail import reply as replies
from emailsys.mail.next_hop import Host, NextHop
from emailsys.mail.transmission import Outcome, OutcomeKind, Transmission
from emailsys.net.outbound.connection import SMTPClient, TLSFor
from emailsys.net.outbound.host_pool import ConnectionOptions, HostPool
from emailsys.telemetry import Telemetry

# Seconds for which an open connection is reused without a new DNS lookup.
_LOOK_AGAIN: Final = 60.0
# Hosts that need a small ClientHello: how many are remembered, and for how many seconds. Otherwise each message for a
# host that hangs would wait for its handshake timeout first.
_MAX_REMEMBERED: Final = 1000
_REMEMBERED_FOR: Final = 6 * 3600.0


@implementer(IConnectionPool)
class ConnectionPool:
    """Pool of outbound connections, shared by all messages for a host."""

    def __init__(
        self,
        reactor: Any,
        settings: OutboundSettings,
        hostname: str,
        tls_for: TLSFor,
        telemetry: Telemetry,
        wiretap: IWiretap | None = None,
    ) -> None:
        """
        @param reactor: IReactorTCP and IReactorTime.
        @param hostname: our name in EHLO.
        @param tls_for: makes TLS for a host.
        @param wiretap: records connections while it is on; None records none.
        """
        self._reactor = reactor
        self._settings = settings
        self.telemetry = telemetry
        self._options = ConnectionOptions(reactor, settings, hostname, tls_for, telemetry, wiretap)
        self._closing = False
        # Until when handshakes with a host offer X25519 only.
        self._x25519_only: dict[Host, float] = {}
        # One for each host of a next hop that has mail or a connection, in the order in which they were needed.
        self._host_pools: dict[NextHop, list[HostPool]] = {}
        # In the order in which they became idle.
        self._idle: dict[SMTPClient, None] = {}
        #: Connections whose sockets are open.
        self.sockets: set[SMTPClient] = set()
        self._all_gone: list[Deferred[None]] = []
        self._hang_ups: list[IDelayedCall] = []

    # IConnectionPool

    def connected(self, next_hop: NextHop) -> Host | None:
        for host_pool in reversed(self._host_pools.get(next_hop, ())):
            if host_pool.is_connected:
                now = self._reactor.seconds()
                if now - host_pool.looked_up_at < _LOOK_AGAIN:
                    return host_pool.host
                # The next message checks whether a preferred host accepts mail again.
                host_pool.looked_up_at = now
                return None
        return None

    async def send(self, next_hop: NextHop, host: Host, transmission: Transmission) -> Sequence[Outcome]:
        if self._closing:
            outcome = Outcome(OutcomeKind.DELAYED, replies.BROKEN_OFF, host_at_fault=True)
            return [outcome] * len(transmission.recipients)
        return await self._host_pool(next_hop, host).add(transmission).done

    def _host_pool(self, next_hop: NextHop, host: Host) -> HostPool:
        host_pools = self._host_pools.setdefault(next_hop, [])
        for host_pool in host_pools:
            if host_pool.host == host:
                return host_pool
        host_pools.append(HostPool(self, self._options, next_hop, host))
        return host_pools[-1]

    def idle(self, next_hop: NextHop) -> None:
        for host_pool in self._host_pools.get(next_hop, ()):
            host_pool.close_idle_soon()

    def shut_down(self, grace: float) -> None:
        self._closing = True
        for host_pools in list(self._host_pools.values()):
            for host_pool in list(host_pools):
                host_pool.shut_down()
        if self._host_pools or self.sockets:
            self._hang_ups.append(self._reactor.callLater(grace, self._abort_all))

    async def close(self, grace: float) -> None:
        self.shut_down(grace)
        if self._host_pools or self.sockets:
            gone: Deferred[None] = Deferred()
            self._all_gone.append(gone)
            await gone

    def _abort_all(self) -> None:
        for client in list(self.sockets):
            client.abort(replies.BROKEN_OFF)

    # Calls from host pools

    def opened(self, client: SMTPClient) -> None:
        self.sockets.add(client)

    def closed(self, client: SMTPClient) -> None:
        self.sockets.discard(client)

    def is_idle(self, client: SMTPClient) -> None:
        """A connection became idle. If there are too many idle ones, the oldest is closed."""
        self._idle[client] = None
        if len(self._idle) > self._settings.idle_connections:
            oldest = next(iter(self._idle))
            del self._idle[oldest]
            oldest.retire()

    def is_idle_no_more(self, client: SMTPClient) -> None:
        self._idle.pop(client, None)

    def is_x25519_only(self, host: Host) -> bool:
        until = self._x25519_only.get(host)
        return until is not None and until > float(self._reactor.seconds())

    def use_x25519_only(self, host: Host) -> None:
        self._x25519_only.pop(host, None)
        if len(self._x25519_only) >= _MAX_REMEMBERED:
            del self._x25519_only[next(iter(self._x25519_only))]
        self._x25519_only[host] = self._reactor.seconds() + _REMEMBERED_FOR

    def changed(self, host_pool: HostPool) -> None:
        """Remove a host pool that is empty."""
        if host_pool.is_empty:
            host_pools = self._host_pools.get(host_pool.next_hop, [])
            if host_pool in host_pools:
                host_pools.remove(host_pool)
                if not host_pools:
                    del self._host_pools[host_pool.next_hop]
        if not self._host_pools and not self.sockets:
            calls, self._hang_ups = self._hang_ups, []
            for call in calls:
                if call.active():
                    call.cancel()
            waiting, self._all_gone = self._all_gone, []
            for gone in waiting:
                gone.callback(None)

"""Connection pool for outbound SMTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from emailsys.config.settings import OutboundSettings
from emailsys.interfaces import IDialer
from emailsys.mail import reply as replies
from emailsys.mail.next_hop import Host, NextHop
from emailsys.mail.transmission import Outcome, OutcomeKind, Transmission
from emailsys.net.outbound.connection import SMTPClient, TLSFor
from emailsys.net.outbound.lane import Lane, Outset
from emailsys.telemetry import Telemetry

# Seconds for which an open connection is reused without a new DNS lookup.
_LOOK_AGAIN: Final = 60.0


@implementer(IDialer)
class Dialer:
    """Pool of outbound connections, shared by all messages for a host."""

    def __init__(
        self,
        reactor: Any,
        settings: OutboundSettings,
        hostname: str,
        tls_for: TLSFor,
        telemetry: Telemetry,
    ) -> None:
        """
        @param reactor: IReactorTCP and IReactorTime.
        @param hostname: our name in EHLO.
        @param tls_for: makes TLS for a host.
        """
        self._reactor = reactor
        self._settings = settings
        self.telemetry = telemetry
        self._outset = Outset(reactor, settings, hostname, tls_for, telemetry)
        self._closing = False
        self._lanes: dict[tuple[NextHop, Host], Lane] = {}
        self._by_hop: dict[NextHop, list[Lane]] = {}
        # In the order in which they became idle.
        self._idle: dict[SMTPClient, None] = {}
        #: Connections whose sockets are open.
        self.sockets: set[SMTPClient] = set()
        self._all_gone: list[Deferred[None]] = []
        self._hang_ups: list[IDelayedCall] = []

    # IDialer

    def connected(self, next_hop: NextHop) -> Host | None:
        for lane in reversed(self._by_hop.get(next_hop, ())):
            if lane.is_connected:
                now = self._reactor.seconds()
                if now - lane.looked_up_at < _LOOK_AGAIN:
                    return lane.host
                # The next message checks whether a preferred host accepts mail again.
                lane.looked_up_at = now
                return None
        return None

    async def send(self, next_hop: NextHop, host: Host, transmission: Transmission) -> Sequence[Outcome]:
        if self._closing:
            outcome = Outcome(OutcomeKind.DELAYED, replies.BROKEN_OFF, host_at_fault=True)
            return [outcome] * len(transmission.recipients)
        lane = self._lanes.get((next_hop, host))
        if lane is None:
            lane = self._lanes[next_hop, host] = Lane(self, self._outset, next_hop, host)
            self._by_hop.setdefault(next_hop, []).append(lane)
        return await lane.add(transmission).done

    def idle(self, next_hop: NextHop) -> None:
        for lane in self._by_hop.get(next_hop, ()):
            lane.hurry()

    def wind_up(self, grace: float) -> None:
        self._closing = True
        for lane in list(self._lanes.values()):
            lane.wind_up()
        if self._lanes or self.sockets:
            self._hang_ups.append(self._reactor.callLater(grace, self._abort_all))

    async def close(self, grace: float) -> None:
        self.wind_up(grace)
        if self._lanes or self.sockets:
            gone: Deferred[None] = Deferred()
            self._all_gone.append(gone)
            await gone

    def _abort_all(self) -> None:
        for client in list(self.sockets):
            client.abort(replies.BROKEN_OFF)

    # Calls from lanes

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

    def changed(self, lane: Lane) -> None:
        """Remove a lane that is empty."""
        key = (lane.next_hop, lane.host)
        if lane.is_empty and self._lanes.get(key) is lane:
            del self._lanes[key]
            lanes = self._by_hop[lane.next_hop]
            lanes.remove(lane)
            if not lanes:
                del self._by_hop[lane.next_hop]
        if not self._lanes and not self.sockets:
            calls, self._hang_ups = self._hang_ups, []
            for call in calls:
                if call.active():
                    call.cancel()
            waiting, self._all_gone = self._all_gone, []
            for gone in waiting:
                gone.callback(None)

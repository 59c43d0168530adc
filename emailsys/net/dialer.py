"""Connections to other hosts, kept and shared: the door through which mail leaves."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IAddress, IConnector, IDelayedCall
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure
from typing_extensions import override
from zope.interface import implementer

from emailsys.config.settings import OutboundSettings
from emailsys.interfaces import IDialer
from emailsys.mail import reply as replies
from emailsys.mail.next_hop import Host, NextHop, TLSPolicy
from emailsys.mail.reply import Reply
from emailsys.mail.transmission import Outcome, OutcomeKind, Transmission
from emailsys.net.errand import Errand
from emailsys.net.loss import why
from emailsys.net.smtp_client import SMTPClient, TLSFor
from emailsys.telemetry import Telemetry

# Seconds that mail follows an open connection without a look at DNS.
_LOOK_AGAIN: Final = 60.0


class _Attempt(ClientFactory):
    """One attempt to connect. IPv4 and IPv6 alike."""

    noisy = False

    def __init__(self, lane: _Lane, client: SMTPClient) -> None:
        self._lane = lane
        self._client = client

    @override
    def buildProtocol(self, addr: IAddress | None) -> SMTPClient:
        self._lane.connected(self._client)
        return self._client

    @override
    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._lane.not_connected(self._client, reason)


class _Lane:
    """All that goes to one host of one next hop: what waits, and the connections that take it in turn."""

    def __init__(self, dialer: Dialer, next_hop: NextHop, host: Host) -> None:
        self._dialer = dialer
        self.next_hop = next_hop
        self.host = host
        self.waiting: deque[Errand] = deque()
        self.clear = False
        #: When mail last came here because DNS said so.
        self.looked_up_at = dialer.reactor.seconds()
        self._opening: dict[SMTPClient, IConnector | None] = {}
        self._usable: set[SMTPClient] = set()
        self._idle: list[SMTPClient] = []

    @property
    def is_empty(self) -> bool:
        """Whether it may be forgotten."""
        return not (self.waiting or self._opening or self._usable)

    @property
    def is_connected(self) -> bool:
        """Whether a connection is open and proven."""
        return bool(self._usable)

    def add(self, errand: Errand) -> None:
        """One more waits."""
        self.waiting.append(errand)
        self._pump()

    def _pump(self) -> None:
        """Find a connection for each that waits: an idle one, a new one, or one that will be free soon."""
        limit = self._dialer.settings.connections_per_host
        while self.waiting:
            if self._idle:
                client = self._idle.pop()
                self._dialer.is_idle_no_more(client)
                client.give(self._take())
            elif len(self._opening) < len(self.waiting) and len(self._opening) + len(self._usable) < limit:
                self._open()
            else:
                break
        if self.waiting and not self._opening:
            for client in list(self._usable):
                if self.waiting and client.wants_more:
                    client.give(self._take())

    def _take(self) -> Errand:
        return self.waiting.popleft()

    def _open(self) -> None:
        dialer, host, settings = self._dialer, self.host, self._dialer.settings
        client = SMTPClient(self, dialer.reactor, settings, dialer.hostname, self.next_hop, host, dialer.tls_for)
        self._opening[client] = None
        source = settings.source_ipv6 if ":" in host.address else settings.source_ipv4
        attempt = _Attempt(self, client)
        try:
            connector = dialer.reactor.connectTCP(
                host.address, host.port, attempt, settings.timeouts.connect, (source, 0) if source else None
            )
        except OSError as error:
            self.not_connected(client, Failure(ConnectError(string=str(error))))
            return
        if client in self._opening:
            self._opening[client] = connector

    def wind_up(self) -> None:
        """No new connections; what waits is settled, what is idle says goodbye, and what cannot have arrived is given
        up."""
        self._settle_all(self._delayed(replies.BROKEN_OFF))
        for client, connector in list(self._opening.items()):
            if self._dialer.has_socket(client):
                client.abort(replies.BROKEN_OFF)
            elif connector is not None:
                connector.disconnect()
        for client in list(self._usable):
            client.wind_up()

    def hurry(self) -> None:
        """Idle connections need not be kept."""
        for client in self._idle:
            client.hurry()

    def _delayed(self, reply: Reply) -> Outcome:
        return Outcome(OutcomeKind.DELAYED, reply, str(self.host), host_at_fault=True)

    def _settle_all(self, outcome: Outcome) -> None:
        waiting, self.waiting = self.waiting, deque()
        for errand in waiting:
            errand.settle([outcome] * len(errand.transmission.recipients))
        self._dialer.look_at(self)

    # What connections say

    def connected(self, client: SMTPClient) -> None:
        """TCP came about."""
        self._dialer.sockets.add(client)

    def closed(self, client: SMTPClient) -> None:
        self._dialer.sockets.discard(client)
        self._dialer.look_at(self)

    def not_connected(self, client: SMTPClient, reason: Failure) -> None:
        """TCP did not come about."""
        self._opening.pop(client, None)
        self._cannot(self._delayed(Reply(451, "4.4.1", f"no connection to {self.host}: {why(reason)}")))

    def _cannot(self, outcome: Outcome) -> None:
        """A connection came to nothing. What waits goes on by the others, if there are any."""
        self._dialer.telemetry.event("outbound.unreachable", host=self.host, reply=outcome.reply.text)
        if not self._opening and not self._usable:
            self._settle_all(outcome)
        self._dialer.look_at(self)

    def usable(self, client: SMTPClient) -> None:
        self._opening.pop(client, None)
        self._usable.add(client)
        self._dialer.telemetry.event("outbound.connected", host=self.host, tls=client.tls or "none")

    def next_errand(self, client: SMTPClient, ahead: bool) -> Errand | None:
        # Ahead only what no other connection is about to take.
        enough = len(self.waiting) > len(self._opening) if ahead else bool(self.waiting)
        return self._take() if enough else None

    def has_nothing_to_do(self, client: SMTPClient) -> None:
        self._idle.append(client)
        self._dialer.is_idle(client)

    def failed(self, client: SMTPClient, outcome: Outcome, tls: bool) -> None:
        self._opening.pop(client, None)
        if tls and self._may_be_clear and not self.clear:
            self._dialer.telemetry.event("outbound.clear", host=self.host, reply=outcome.reply.text)
            self.clear = True
        if tls and self.clear:
            self._pump()
        else:
            self._cannot(outcome)

    @property
    def _may_be_clear(self) -> bool:
        opportunistic = self.next_hop.tls is TLSPolicy.OPPORTUNISTIC and not self.next_hop.implicit_tls
        return opportunistic and self._dialer.settings.clear_after_failed_tls

    def give_back(self, errand: Errand) -> None:
        errand.holder = self
        if self._dialer.closing:
            errand.settle([self._delayed(replies.BROKEN_OFF)] * len(errand.transmission.recipients))
            return
        self.waiting.appendleft(errand)
        self._pump()

    def gone(self, client: SMTPClient) -> None:
        self._opening.pop(client, None)
        self._usable.discard(client)
        if client in self._idle:
            self._idle.remove(client)
        self._dialer.is_idle_no_more(client)
        if self.waiting:
            self._pump()
        self._dialer.look_at(self)

    def drop(self, errand: Errand) -> None:
        if errand in self.waiting:
            self.waiting.remove(errand)
            self._dialer.look_at(self)


@implementer(IDialer)
class Dialer:
    """Sends messages to hosts over as few connections as will do."""

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
        @param hostname: what we call ourselves in EHLO, a name or an address literal.
        @param tls_for: such as `lambda name, verify: tls_client.client_context(name, ca_file, verify=verify)`.
        """
        self.reactor = reactor
        self.settings = settings
        self.hostname = hostname
        self.tls_for = tls_for
        self.telemetry = telemetry
        self.closing = False
        self._lanes: dict[tuple[NextHop, Host], _Lane] = {}
        self._by_hop: dict[NextHop, list[_Lane]] = {}
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
                now = self.reactor.seconds()
                if now - lane.looked_up_at < _LOOK_AGAIN:
                    return lane.host
                # One message finds out whether a host that is to be preferred takes mail again.
                lane.looked_up_at = now
                return None
        return None

    async def send(self, next_hop: NextHop, host: Host, transmission: Transmission) -> Sequence[Outcome]:
        if self.closing:
            outcome = Outcome(OutcomeKind.DELAYED, replies.BROKEN_OFF, host_at_fault=True)
            return [outcome] * len(transmission.recipients)
        lane = self._lanes.get((next_hop, host))
        if lane is None:
            lane = self._lanes[next_hop, host] = _Lane(self, next_hop, host)
            self._by_hop.setdefault(next_hop, []).append(lane)
        errand = Errand(transmission, lane)
        lane.add(errand)
        return await errand.done

    def idle(self, next_hop: NextHop) -> None:
        for lane in self._by_hop.get(next_hop, ()):
            lane.hurry()

    def wind_up(self, grace: float) -> None:
        self.closing = True
        for lane in list(self._lanes.values()):
            lane.wind_up()
        if self._lanes or self.sockets:
            self._hang_ups.append(self.reactor.callLater(grace, self._abort_all))

    async def close(self, grace: float) -> None:
        self.wind_up(grace)
        if self._lanes or self.sockets:
            gone: Deferred[None] = Deferred()
            self._all_gone.append(gone)
            await gone

    def _abort_all(self) -> None:
        for client in list(self.sockets):
            client.abort(replies.BROKEN_OFF)

    # What lanes say

    def is_idle(self, client: SMTPClient) -> None:
        """A connection has nothing to do; the one that has longest ends where there are too many."""
        self._idle[client] = None
        if len(self._idle) > self.settings.idle_connections:
            oldest = next(iter(self._idle))
            del self._idle[oldest]
            oldest.retire()

    def is_idle_no_more(self, client: SMTPClient) -> None:
        """It has been given something, or is gone."""
        self._idle.pop(client, None)

    def has_socket(self, client: SMTPClient) -> bool:
        """Whether TCP came about, and is not yet closed."""
        return client in self.sockets

    def look_at(self, lane: _Lane) -> None:
        """Forget a lane that is empty."""
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

"""All mail for one host of one next hop: the transmissions that wait, and the connections that take them in turn."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IAddress, IConnector
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure
from typing_extensions import override

from emailsys.config.settings import OutboundSettings
from emailsys.mail import reply as replies
from emailsys.mail.next_hop import Host, NextHop, TLSPolicy
from emailsys.mail.reply import Reply
from emailsys.mail.transmission import Outcome, OutcomeKind, Transmission
from emailsys.net.base.failures import why
from emailsys.net.outbound.connection import SMTPClient, TLSFor
from emailsys.net.outbound.pending import Errand
from emailsys.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Outset:
    """What every outbound connection is made with.

    `reactor` provides IReactorTCP and IReactorTime. `hostname` is what we call ourselves in EHLO, a name or an address
    literal. `tls_for` is such as `lambda name, verify: tls_client.client_context(name, ca_file, verify=verify)`.
    """

    reactor: Any
    settings: OutboundSettings
    hostname: str
    tls_for: TLSFor
    telemetry: Telemetry


class Pool(Protocol):
    """What a lane tells the connection pool it belongs to. The pool calls the lane, and no lane asks for anything."""

    def opened(self, client: SMTPClient) -> None:
        """A socket is open."""

    def closed(self, client: SMTPClient) -> None:
        """A socket is closed."""

    def is_idle(self, client: SMTPClient) -> None:
        """A connection has nothing to do."""

    def is_idle_no_more(self, client: SMTPClient) -> None:
        """A connection has been given something, or is gone."""

    def changed(self, lane: Lane) -> None:
        """Something ended: the lane may be empty."""


class _Attempt(ClientFactory):
    """One attempt to connect. IPv4 and IPv6 alike."""

    noisy = False

    def __init__(self, lane: Lane, client: SMTPClient) -> None:
        self._lane = lane
        self._client = client

    @override
    def buildProtocol(self, addr: IAddress | None) -> SMTPClient:
        self._lane.connected(self._client)
        return self._client

    @override
    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self._lane.not_connected(self._client, reason)


class Lane:
    """The queue of one host, and its connections up to the limit. Implements `client_owner.Owner`."""

    def __init__(self, pool: Pool, outset: Outset, next_hop: NextHop, host: Host) -> None:
        self._pool = pool
        self._outset = outset
        self.next_hop = next_hop
        self.host = host
        self.waiting: deque[Errand] = deque()
        self.clear = False
        #: When mail last came here because DNS said so.
        self.looked_up_at: float = outset.reactor.seconds()
        # None until connectTCP has returned.
        self._opening: dict[SMTPClient, IConnector | None] = {}
        self._usable: set[SMTPClient] = set()
        self._idle: list[SMTPClient] = []
        self._closing = False

    @property
    def is_empty(self) -> bool:
        """Whether the pool may forget it."""
        return not (self.waiting or self._opening or self._usable)

    @property
    def is_connected(self) -> bool:
        """Whether a connection is open and proven."""
        return bool(self._usable)

    # What the pool says

    def add(self, transmission: Transmission) -> Errand:
        """Put a transmission behind those that wait."""
        errand = Errand(transmission, self._drop)
        self.waiting.append(errand)
        self._pump()
        return errand

    def wind_up(self) -> None:
        """Make no new connections. Settle what waits, end what is idle, give up what cannot have arrived."""
        self._closing = True
        self._settle_all(self._delayed(replies.BROKEN_OFF))
        for client, connector in list(self._opening.items()):
            if client.is_connected:
                client.abort(replies.BROKEN_OFF)
            elif connector is not None:
                connector.disconnect()
        for client in list(self._usable):
            client.wind_up()

    def hurry(self) -> None:
        """Nothing more will come soon: idle connections need not be kept."""
        for client in self._idle:
            client.hurry()

    # Inside

    def _pump(self) -> None:
        """Find a connection for each that waits: an idle one, a new one, or one that will be free soon."""
        limit = self._outset.settings.connections_per_host
        while self.waiting:
            if self._idle:
                client = self._idle.pop()
                self._pool.is_idle_no_more(client)
                client.wake()
            elif len(self._opening) < len(self.waiting) and len(self._opening) + len(self._usable) < limit:
                self._open()
            else:
                break
        if self.waiting and not self._opening:
            for client in list(self._usable):
                if self.waiting:
                    client.wake()

    def _open(self) -> None:
        outset, host, settings = self._outset, self.host, self._outset.settings
        client = SMTPClient(self, outset.reactor, settings, outset.hostname, self.next_hop, host, outset.tls_for)
        self._opening[client] = None
        source = settings.source_ipv6 if ":" in host.address else settings.source_ipv4
        attempt = _Attempt(self, client)
        try:
            connector = outset.reactor.connectTCP(
                host.address, host.port, attempt, settings.timeouts.connect, (source, 0) if source else None
            )
        except OSError as error:
            self.not_connected(client, Failure(ConnectError(string=str(error))))
            return
        if client in self._opening:
            self._opening[client] = connector

    def _delayed(self, reply: Reply) -> Outcome:
        return Outcome(OutcomeKind.DELAYED, reply, str(self.host), host_at_fault=True)

    def _settle_all(self, outcome: Outcome) -> None:
        waiting, self.waiting = self.waiting, deque()
        for errand in waiting:
            errand.settle_alike(outcome)
        self._pool.changed(self)

    def _drop(self, errand: Errand) -> None:
        """The sender of an errand has cancelled it."""
        if errand in self.waiting:
            self.waiting.remove(errand)
            self._pool.changed(self)
            return
        for client in list(self._usable):
            client.drop(errand)

    # What TCP says

    def connected(self, client: SMTPClient) -> None:
        """TCP came about."""
        self._pool.opened(client)

    def not_connected(self, client: SMTPClient, reason: Failure) -> None:
        """TCP did not come about."""
        self._opening.pop(client, None)
        self._cannot(self._delayed(Reply(451, "4.4.1", f"no connection to {self.host}: {why(reason)}")))

    def _cannot(self, outcome: Outcome) -> None:
        """A connection came to nothing. What waits goes on by the others, if there are any."""
        self._outset.telemetry.event("outbound.unreachable", host=self.host, reply=outcome.reply.text)
        if not self._opening and not self._usable:
            self._settle_all(outcome)
        self._pool.changed(self)

    # What connections say

    def usable(self, client: SMTPClient) -> None:
        self._opening.pop(client, None)
        self._usable.add(client)
        self._outset.telemetry.event("outbound.connected", host=self.host, tls=client.tls or "none")

    def next_errand(self, client: SMTPClient, ahead: bool) -> Errand | None:
        # Ahead only what no other connection is about to take.
        enough = len(self.waiting) > len(self._opening) if ahead else bool(self.waiting)
        return self.waiting.popleft() if enough else None

    def has_nothing_to_do(self, client: SMTPClient) -> None:
        self._idle.append(client)
        self._pool.is_idle(client)

    def failed(self, client: SMTPClient, outcome: Outcome, tls: bool) -> None:
        self._opening.pop(client, None)
        if tls and self._may_be_clear and not self.clear:
            self._outset.telemetry.event("outbound.clear", host=self.host, reply=outcome.reply.text)
            self.clear = True
        if tls and self.clear:
            self._pump()
        else:
            self._cannot(outcome)

    @property
    def _may_be_clear(self) -> bool:
        opportunistic = self.next_hop.tls is TLSPolicy.OPPORTUNISTIC and not self.next_hop.implicit_tls
        return opportunistic and self._outset.settings.clear_after_failed_tls

    def give_back(self, errand: Errand) -> None:
        if self._closing:
            errand.settle_alike(self._delayed(replies.BROKEN_OFF))
            return
        self.waiting.appendleft(errand)
        self._pump()

    def gone(self, client: SMTPClient) -> None:
        self._opening.pop(client, None)
        self._usable.discard(client)
        if client in self._idle:
            self._idle.remove(client)
        self._pool.is_idle_no_more(client)
        if self.waiting:
            self._pump()
        self._pool.changed(self)

    def closed(self, client: SMTPClient) -> None:
        self._pool.closed(client)
        self._pool.changed(self)

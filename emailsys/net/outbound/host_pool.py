"""Host pool: the queue and the connections of one host of one next hop."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IAddress, IConnector, IOpenSSLClientConnectionCreator
from twisted.internet.protocol import ClientFactory
from twisted.python.failure import Failure
from typing_extensions import override

from emailsys.config.settings import OutboundSettings
from emailsys.interfaces.wiretap import ITap, IWiretap
from emailsys.mail import reply as replies
from emailsys.mail.next_hop import ExpectedTLS, Host, NextHop, TLSPolicy, is_socket
from emailsys.mail.reply import Reply
from emailsys.mail.transmission import Outcome, OutcomeKind, Transmission
from emailsys.net.base.failures import why
from emailsys.net.outbound.connection import SMTPClient, TLSFor
from emailsys.net.outbound.pending import PendingTransmission
from emailsys.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class ConnectionOptions:
    """The options of every outbound connection.

    @ivar reactor: provides IReactorTCP and IReactorTime.
    @ivar hostname: our name in EHLO, a domain name or an address literal.
    @ivar tls_for: such as `lambda expected: client_tls(expected, ca_file)` of `net.tls.client`.
    @ivar wiretap: records connections while it is on; None records none.
    """

    reactor: Any
    settings: OutboundSettings
    hostname: str
    tls_for: TLSFor
    telemetry: Telemetry
    wiretap: IWiretap | None = None


class Pool(Protocol):
    """Callbacks from a host pool to the connection pool that owns it."""

    def opened(self, client: SMTPClient) -> None:
        """A socket was opened."""

    def closed(self, client: SMTPClient) -> None:
        """A socket was closed."""

    def is_idle(self, client: SMTPClient) -> None:
        """A connection became idle."""

    def is_idle_no_more(self, client: SMTPClient) -> None:
        """A connection is no longer idle, or is closed."""

    def is_x25519_only(self, host: Host) -> bool:
        """Return whether handshakes with a host offer X25519 only."""

    def use_x25519_only(self, host: Host) -> None:
        """A handshake with X25519 succeeded after one with more had failed: remember it for some time."""

    def changed(self, host_pool: HostPool) -> None:
        """A transmission or connection ended: the host pool may be empty."""


class _Attempt(ClientFactory):
    """One attempt to connect over IPv4 or IPv6, and its TLS handshake."""

    noisy = False

    def __init__(self, host_pool: HostPool, options: ConnectionOptions) -> None:
        self._host_pool = host_pool
        self._tls_for = options.tls_for
        #: Whether the ClientHello offers X25519 only; None if no handshake has begun.
        self.x25519_only: bool | None = None
        wiretap = options.wiretap
        self._tap = wiretap.begin("smtp", True) if wiretap is not None and wiretap.is_on else None
        self.client = client_of(self._tap)(
            host_pool,
            options.reactor,
            options.settings,
            options.hostname,
            host_pool.next_hop,
            host_pool.host,
            self._tls,
        )

    def _tls(self, expected: ExpectedTLS) -> IOpenSSLClientConnectionCreator:
        creator = self._tls_for(replace(expected, x25519_only=self._host_pool.x25519_only))
        self.x25519_only = self._host_pool.x25519_only
        return creator

    @override
    def buildProtocol(self, addr: IAddress | None) -> SMTPClient:
        self._host_pool.connected(self.client)
        return self.client

    @override
    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        self.failed(reason)

    def failed(self, reason: Failure) -> None:
        """There is no connection."""
        if self._tap is not None:
            self._tap.closed(f"no connection to {self._host_pool.host}: {why(reason)}")
        self._host_pool.not_connected(self.client, reason)


def client_of(tap: ITap | None) -> Callable[..., SMTPClient]:
    """Returns what makes a client, one that tells its record if it has one."""
    if tap is None:
        return SMTPClient
    # Imported here: a daemon that records nothing does without it.
    from emailsys.net.outbound.tapped import TappedSMTPClient

    return partial(TappedSMTPClient, tap)


class HostPool:
    """The queue and the connections of one host, up to the per-host limit. Implements `owner.Owner`."""

    def __init__(self, pool: Pool, options: ConnectionOptions, next_hop: NextHop, host: Host) -> None:
        self._pool = pool
        self._options = options
        self.next_hop = next_hop
        self.host = host
        self.waiting: deque[PendingTransmission] = deque()
        self.clear = False
        #: Whether handshakes offer X25519 only, because one with more failed at this host.
        self.x25519_only = pool.is_x25519_only(host)
        #: When DNS last named this host for a message, by the reactor's clock.
        self.looked_up_at: float = options.reactor.seconds()
        # None until connectTCP has returned.
        self._opening: dict[SMTPClient, IConnector | None] = {}
        self._attempts: dict[SMTPClient, _Attempt] = {}
        self._usable: set[SMTPClient] = set()
        self._idle: list[SMTPClient] = []
        # Connections that asked for a transmission when there was none, in that order. Only these have to be woken.
        self._unserved: dict[SMTPClient, None] = {}
        self._closing = False

    @property
    def is_empty(self) -> bool:
        """Whether the connection pool can remove this host pool."""
        return not (self.waiting or self._opening or self._usable)

    @property
    def is_connected(self) -> bool:
        """Whether a usable connection is open."""
        return bool(self._usable)

    # Calls from the connection pool

    def add(self, transmission: Transmission) -> PendingTransmission:
        """Queue a transmission."""
        pending = PendingTransmission(transmission, self._drop)
        self.waiting.append(pending)
        self._pump()
        return pending

    def shut_down(self) -> None:
        """Make no new connections. Settle what waits, end what is idle, give up what cannot have arrived."""
        self._closing = True
        self._settle_all(self._delayed(replies.BROKEN_OFF))
        for client, connector in list(self._opening.items()):
            if client.is_connected:
                client.abort(replies.BROKEN_OFF)
            elif connector is not None:
                connector.disconnect()
        for client in list(self._usable):
            client.shut_down()

    def close_idle_soon(self) -> None:
        """Close idle connections after a moment, because no more mail is expected soon."""
        for client in self._idle:
            client.close_soon_if_idle()

    # Inside

    def _pump(self) -> None:
        """Find a connection for each waiting transmission: an idle one, a new one, or one that is free soon."""
        limit = self._options.settings.connections_per_host
        while self.waiting:
            if self._idle:
                client = self._idle.pop()
                self._pool.is_idle_no_more(client)
                client.wake()
            elif len(self._opening) < len(self.waiting) and len(self._opening) + len(self._usable) < limit:
                self._open()
            else:
                break
        while self.waiting and self._unserved and not self._opening:
            client = next(iter(self._unserved))
            del self._unserved[client]
            client.wake()

    def _open(self) -> None:
        options, host, settings = self._options, self.host, self._options.settings
        attempt = _Attempt(self, options)
        client = attempt.client
        self._opening[client] = None
        self._attempts[client] = attempt
        source = settings.source_ipv6 if ":" in host.address else settings.source_ipv4
        try:
            if is_socket(host.address):
                if not hasattr(socket, "AF_UNIX"):
                    raise OSError("this system has no Unix sockets")
                connector = options.reactor.connectUNIX(host.address, attempt, settings.timeouts.connect)
            else:
                connector = options.reactor.connectTCP(
                    host.address, host.port, attempt, settings.timeouts.connect, (source, 0) if source else None
                )
        except OSError as error:
            attempt.failed(Failure(ConnectError(string=str(error))))
            return
        if client in self._opening:
            self._opening[client] = connector

    def _delayed(self, reply: Reply) -> Outcome:
        return Outcome(OutcomeKind.DELAYED, reply, str(self.host), host_at_fault=True)

    def _settle_all(self, outcome: Outcome) -> None:
        waiting, self.waiting = self.waiting, deque()
        for pending in waiting:
            pending.settle_alike(outcome)
        self._pool.changed(self)

    def _drop(self, pending: PendingTransmission) -> None:
        """Drop a transmission that was cancelled."""
        if pending in self.waiting:
            self.waiting.remove(pending)
            self._pool.changed(self)
            return
        for client in list(self._usable):
            client.drop(pending)

    # Calls from TCP

    def connected(self, client: SMTPClient) -> None:
        """TCP is connected."""
        self._pool.opened(client)

    def not_connected(self, client: SMTPClient, reason: Failure) -> None:
        """TCP could not be connected."""
        self._opening.pop(client, None)
        self._attempts.pop(client, None)
        self._cannot(self._delayed(Reply(451, "4.4.1", f"no connection to {self.host}: {why(reason)}")))

    def _cannot(self, outcome: Outcome) -> None:
        """Handle a failed connection. Waiting transmissions use the other connections, if there are any."""
        self._options.telemetry.event("outbound-unreachable", host=self.host, reply=outcome.reply.text)
        if not self._opening and not self._usable:
            self._settle_all(outcome)
        self._pool.changed(self)

    # Calls from connections

    def usable(self, client: SMTPClient) -> None:
        self._opening.pop(client, None)
        attempt = self._attempts.pop(client, None)
        if client.tls and attempt is not None and attempt.x25519_only:
            self._pool.use_x25519_only(self.host)
        self._usable.add(client)
        self._options.telemetry.event("outbound-connected", host=self.host, tls=client.tls or "none")

    def next_transmission(self, client: SMTPClient, ahead: bool) -> PendingTransmission | None:
        # Reserve ahead only transmissions that no opening connection is about to take.
        enough = len(self.waiting) > len(self._opening) if ahead else bool(self.waiting)
        if not enough:
            self._unserved[client] = None
            return None
        return self.waiting.popleft()

    def has_nothing_to_do(self, client: SMTPClient) -> None:
        self._idle.append(client)
        self._pool.is_idle(client)

    def failed(self, client: SMTPClient, outcome: Outcome, tls: bool) -> None:
        self._opening.pop(client, None)
        attempt = self._attempts.pop(client, None)
        if tls and attempt is not None and attempt.x25519_only is False and not outcome.from_remote:
            # Some hosts fail on a ClientHello that is larger than one segment.
            if not self.x25519_only:
                self._options.telemetry.event("outbound-x25519-only", host=self.host, reply=outcome.reply.text)
            self.x25519_only = True
            self._pump()
            return
        if tls and self._may_be_clear and not self.clear:
            self._options.telemetry.event("outbound-clear", host=self.host, reply=outcome.reply.text)
            self.clear = True
        if tls and self.clear:
            self._pump()
        else:
            self._cannot(outcome)

    @property
    def _may_be_clear(self) -> bool:
        opportunistic = self.next_hop.policy is TLSPolicy.OPPORTUNISTIC and not self.next_hop.implicit_tls
        return opportunistic and self._options.settings.clear_after_failed_tls

    def give_back(self, pending: PendingTransmission) -> None:
        if self._closing:
            pending.settle_alike(self._delayed(replies.BROKEN_OFF))
            return
        self.waiting.appendleft(pending)
        self._pump()

    def gone(self, client: SMTPClient) -> None:
        self._opening.pop(client, None)
        self._attempts.pop(client, None)
        self._usable.discard(client)
        self._unserved.pop(client, None)
        if client in self._idle:
            self._idle.remove(client)
        self._pool.is_idle_no_more(client)
        if self.waiting:
            self._pump()
        self._pool.changed(self)

    def closed(self, client: SMTPClient) -> None:
        self._pool.closed(client)
        self._pool.changed(self)

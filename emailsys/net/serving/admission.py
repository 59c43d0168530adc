"""Connection limits of the servers, in total and per address, and the refusal of connections over a limit."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from typing_extensions import override

from emailsys.mail.ip import client_network, is_loopback

# The part of the connections from which on silent clients have less time.
_PRESSURE: Final = 0.75
# Refusals that may be in progress at a time. Sending more would use the resources that the limit protects.
_MAX_REFUSALS: Final = 100


class ConnectionLimit(enum.Enum):
    """Why a connection is refused. The text goes into the reply."""

    PER_ADDRESS = "too many connections from your address"
    TOTAL = "too many connections"


class Admission:
    """Counts the connections of services that share their limits.

    A tenth of all connections is reserved for addresses that are exempt from the limit per address, such as an operator
    on this machine. Other clients cannot lock them out.
    """

    def __init__(
        self, most: int = 0, most_from_address: int = 0, is_exempt: Callable[[str], bool] = is_loopback
    ) -> None:
        """
        @param most: connections in total; 0 for no limit.
        @param most_from_address: connections from one address, or one IPv6 network of 64 bits; 0 for no limit.
        @param is_exempt: whether an address is exempt from that limit. Called only if it would be refused.
        """
        self.limit(most, most_from_address)
        self.is_exempt = is_exempt
        self._from: dict[str, int] = {}
        self._connected = 0
        self._refusals = 0

    def limit(self, most: int, most_from_address: int) -> None:
        """Set the limits for further connections, as the constructor does."""
        self._most = most
        self._most_unreserved = most - most // 10
        self._most_from_address = most_from_address

    @property
    def is_under_pressure(self) -> bool:
        """Whether three quarters of the connections that are not reserved are in use."""
        return bool(self._most) and self._connected >= self._most_unreserved * _PRESSURE

    def refusal(self, ip: str) -> ConnectionLimit | None:
        """Returns why another connection from an address is refused; None if it is admitted."""
        if self._most and self._connected >= self._most:
            return ConnectionLimit.TOTAL
        if self._most_from_address and self._from.get(client_network(ip), 0) >= self._most_from_address:
            return None if self.is_exempt(ip) else ConnectionLimit.PER_ADDRESS
        if self._most and self._connected >= self._most_unreserved and not self.is_exempt(ip):
            return ConnectionLimit.TOTAL
        return None

    def enter(self, ip: str) -> None:
        """Count a new connection."""
        self._connected += 1
        network = client_network(ip)
        self._from[network] = self._from.get(network, 0) + 1

    def leave(self, ip: str) -> None:
        """Count the end of a connection."""
        self._connected -= 1
        network = client_network(ip)
        left = self._from[network] - 1
        if left:
            self._from[network] = left
        else:
            del self._from[network]

    def begin_refusal(self) -> bool:
        """Returns whether another refusal may be sent. If so, the caller calls `end_refusal` afterwards."""
        if self._refusals >= _MAX_REFUSALS:
            return False
        self._refusals += 1
        return True

    def end_refusal(self) -> None:
        """Count the end of a refused connection."""
        self._refusals -= 1


class RefusedConnection(Protocol):
    """A connection over a limit: sends the reason and closes. With implicit TLS this happens after the handshake."""

    def __init__(self, admission: Admission, reply: bytes, clock: IReactorTime, timeout: float) -> None:
        """@param timeout: seconds until the connection is aborted. A TLS handshake must complete within it."""
        self._admission = admission
        self._reply = reply
        self._clock = clock
        self._timeout = timeout
        self._abort: IDelayedCall | None = None

    @override
    def connectionMade(self) -> None:
        # A TLS transport does not provide ITransport.
        transport: Any = self.transport
        if not self._admission.begin_refusal():
            transport.abortConnection()
            return
        self._abort = self._clock.callLater(self._timeout, transport.abortConnection)
        transport.write(self._reply)
        transport.loseConnection()

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        call, self._abort = self._abort, None
        if call is None:
            return
        self._admission.end_refusal()
        if call.active():
            call.cancel()

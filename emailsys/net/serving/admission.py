"""Admit connections: so many in all, so many from one address; who is one too many hears why and is let go."""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from typing_extensions import override

from emailsys.mail.ip import is_loopback, read_ip

# What one customer of a provider gets at the least (RFC 6177 §2): whoever has one address of it has all.
_IPV6_SITE: Final = 64
# How many may be told at a time why they are turned away: more cost what the limit is there to save.
_MOST_TOLD: Final = 100


class TooMany(enum.Enum):
    """Why a connection is not admitted. The text is for a reply."""

    FROM_ADDRESS = "too many connections from your address"
    IN_ALL = "too many connections"


@lru_cache(maxsize=4096)
def _site(ip: str) -> str:
    """What addresses are counted by: an IPv4 address itself, of an IPv6 one the network."""
    address = read_ip(ip)
    if address is None or address.version == 4:
        return ip if address is None else str(address)
    return str(ipaddress.ip_network((address, _IPV6_SITE), strict=False).network_address)


class Admission:
    """The connections to services that have their limits in common.

    A tenth of all is kept for those that are exempt from the limit of an address, as an operator at this machine is:
    whoever takes all the rest does not shut them out.
    """

    def __init__(
        self, most: int = 0, most_from_address: int = 0, is_exempt: Callable[[str], bool] = is_loopback
    ) -> None:
        """
        @param most: connections in all; 0 for no limit.
        @param most_from_address: connections from one address, or one IPv6 network of 64 bits; 0 for no limit.
        @param is_exempt: whether that limit does not hold for an address. Asked only of who would be refused.
        """
        self._most = most
        self._most_of_strangers = most - most // 10
        self._most_from_address = most_from_address
        self.is_exempt = is_exempt
        self._from: dict[str, int] = {}
        self._connected = 0
        self._told = 0

    def refusal(self, ip: str) -> TooMany | None:
        """Why one more connection from that address is not admitted; None where it is."""
        if self._most and self._connected >= self._most:
            return TooMany.IN_ALL
        if self._most_from_address and self._from.get(_site(ip), 0) >= self._most_from_address:
            return None if self.is_exempt(ip) else TooMany.FROM_ADDRESS
        if self._most and self._connected >= self._most_of_strangers and not self.is_exempt(ip):
            return TooMany.IN_ALL
        return None

    def enter(self, ip: str) -> None:
        """A connection from that address is there."""
        self._connected += 1
        site = _site(ip)
        self._from[site] = self._from.get(site, 0) + 1

    def leave(self, ip: str) -> None:
        """It is gone."""
        self._connected -= 1
        site = _site(ip)
        left = self._from[site] - 1
        if left:
            self._from[site] = left
        else:
            del self._from[site]

    def begin_telling(self) -> bool:
        """Whether there is room to tell one more why it is turned away; if so, `end_telling` follows."""
        if self._told >= _MOST_TOLD:
            return False
        self._told += 1
        return True

    def end_telling(self) -> None:
        """It was told, or has gone."""
        self._told -= 1


class TurnedAway(Protocol):
    """A connection that is not admitted: it hears why, with implicit TLS behind the handshake, and is closed."""

    def __init__(self, admission: Admission, words: bytes, clock: IReactorTime, patience: float) -> None:
        """@param patience: seconds until it is aborted, in which a handshake may come about."""
        self._admission = admission
        self._words = words
        self._clock = clock
        self._patience = patience
        self._abort: IDelayedCall | None = None

    @override
    def connectionMade(self) -> None:
        # It may be one of TLS, which is no ITransport.
        transport: Any = self.transport
        if not self._admission.begin_telling():
            transport.abortConnection()
            return
        self._abort = self._clock.callLater(self._patience, transport.abortConnection)
        transport.write(self._words)
        transport.loseConnection()

    @override
    def connectionLost(self, reason: Failure = connectionDone) -> None:
        call, self._abort = self._abort, None
        if call is None:
            return
        self._admission.end_telling()
        if call.active():
            call.cancel()

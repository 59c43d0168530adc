"""Limits for guessing recipients: unknown recipients by network, with a delay before each refusal."""

from __future__ import annotations

import math
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from emailsys.config.settings import LimitSettings
from emailsys.mail import reply
from emailsys.mail.ip import client_network
from emailsys.mail.reply import Reply
from emailsys.policy.decaying_counters import DecayingCounters, growing_delay


class UnknownRecipients:
    """Counts the unknown recipients of unauthenticated clients, by IPv4 address or /64 network of IPv6.

    At the limit, all recipients of a network are refused temporarily, because an answer would tell which names exist.
    An accepted message takes one back: a large sender with some outdated addresses stays below the limit.
    """

    def __init__(self, clock: IReactorTime, limits: LimitSettings, is_exempt: Callable[[str], bool]) -> None:
        """@param is_exempt: whether an IP address has no limits."""
        self._clock = clock
        self._is_exempt = is_exempt
        most = limits.max_unknown_recipients or math.inf
        self._networks: DecayingCounters[str] = DecayingCounters(clock, most, limits.half_life)

    def has_guessed(self, ip: str) -> bool:
        """Return whether the network of an address has reached the limit."""
        return bool(self._networks) and self._networks.is_full(client_network(ip))

    async def refuse(self, ip: str) -> Reply:
        """Count an unknown recipient, and return the reply after a delay that grows."""
        if self._is_exempt(ip):
            return reply.NO_SUCH_MAILBOX
        network = client_network(ip)
        if self._networks.is_full(network):
            # Another connection has reached the limit since `has_guessed`.
            return reply.TOO_MANY_UNKNOWN
        self._networks.add(network)
        seconds = growing_delay(self._networks.count(network))
        if seconds:
            await deferLater(self._clock, seconds)
        return reply.NO_SUCH_MAILBOX

    def accepted(self, ip: str) -> None:
        """Take one unknown recipient back: a message from this address was accepted."""
        if self._networks:
            self._networks.take_back(client_network(ip))

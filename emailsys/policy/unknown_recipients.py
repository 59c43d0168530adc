"""Limits for guessing recipients: unknown recipients by network, with a delay before each refusal."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from emailsys.config.settings import LimitSettings
from emailsys.mail import reply
from emailsys.mail.envelope import Route
from emailsys.mail.ip import client_network, neighbourhood
from emailsys.mail.reply import Reply
from emailsys.policy.decaying_counters import MAX_KEYS, DecayingCounters, growing_delay
from emailsys.policy.fair_queue import FairQueue
from emailsys.policy.shared_guesses import SharedGuesses

# Recipients that are looked up at the same time for networks that have not sent a message yet, and that may wait.
_LOOK_UPS: Final = 4
_MAX_WAITING: Final = 10_000
# What nodes tell one another of these counters.
_UNKNOWN: Final = "recipient"
_ACCEPTED: Final = "accepted"


class UnknownRecipients:
    """Counts the unknown recipients of unauthenticated clients, by IPv4 address or /64 network of IPv6.

    At the limit, all recipients of a network are refused temporarily, because an answer would tell which names exist.
    An accepted message lowers the count by one, so that a large sender with some outdated addresses stays below the
    limit. Recipients of networks that have sent a message are looked up at once. Those of other networks wait in a
    `FairQueue`.
    """

    def __init__(self, clock: IReactorTime, limits: LimitSettings, is_exempt: Callable[[str], bool]) -> None:
        """@param is_exempt: whether an IP address has no limits."""
        self._clock = clock
        self._is_exempt = is_exempt
        most = limits.max_unknown_recipients or math.inf
        self._networks: DecayingCounters[str] = DecayingCounters(clock, most, limits.half_life)
        self._neighbourhoods: DecayingCounters[str] = DecayingCounters(clock, math.inf, limits.half_life)
        self._queue = FairQueue(_LOOK_UPS, _MAX_WAITING)
        # Networks from which a message was accepted. The longest unused is first.
        self._known: OrderedDict[str, None] = OrderedDict()
        #: Called with a network after it has guessed a recipient, here or on another node.
        self.tell: Callable[[str], None] | None = None
        self._guesses: SharedGuesses | None = None

    def share(self, guesses: SharedGuesses) -> None:
        """Tell other nodes of unknown recipients and accepted messages from now on, and count theirs."""
        self._guesses = guesses
        guesses.add_by(_UNKNOWN, self._add)
        guesses.add_by(_ACCEPTED, self._take_back)

    def _add(self, network: str, times: int = 1) -> None:
        self._networks.add(network, times)
        if self.tell is not None:
            for _ in range(times):
                self.tell(network)

    def _take_back(self, network: str, times: int = 1) -> None:
        for _ in range(times):
            self._networks.take_back(network)

    def _note(self, kind: str, network: str) -> None:
        if self._guesses is not None:
            self._guesses.note(kind, network)

    def set_limits(self, limits: LimitSettings) -> None:
        """Use other limits from now on. The counts stay."""
        self._networks.set_limit(limits.max_unknown_recipients or math.inf, limits.half_life)
        self._neighbourhoods.set_limit(math.inf, limits.half_life)

    def has_guessed(self, ip: str) -> bool:
        """Return whether the network of an address has reached the limit."""
        return bool(self._networks) and self._networks.is_full(client_network(ip))

    def is_known(self, ip: str) -> bool:
        """Return whether an address need not wait: its network has sent a message, or has no limits."""
        return client_network(ip) in self._known or self._is_exempt(ip)

    def is_clean(self, ip: str) -> bool:
        """Return whether the network of an address has sent a message, and has guessed no recipient."""
        network = client_network(ip)
        return network in self._known and not self._networks.count(network)

    async def look_up(self, ip: str, resolve: Callable[[], Awaitable[Sequence[Route]]]) -> Sequence[Route] | Reply:
        """Wait for the turn of an address and return what `resolve` returns, or a reply if too many recipients wait."""
        if self.is_known(ip):
            return await resolve()
        prefix = neighbourhood(ip)
        if not await self._queue.turn(prefix, is_clean=not self._neighbourhoods.count(prefix)):
            return reply.TOO_MANY_LOOK_UPS
        try:
            return await resolve()
        finally:
            self._queue.done()

    async def refuse(self, ip: str) -> Reply:
        """Count an unknown recipient, and return the reply after a delay that grows."""
        if self._is_exempt(ip):
            return reply.NO_SUCH_MAILBOX
        network = client_network(ip)
        if self._networks.is_full(network):
            # Another connection has reached the limit since `has_guessed`.
            return reply.TOO_MANY_UNKNOWN
        self._add(network)
        self._note(_UNKNOWN, network)
        self._neighbourhoods.add(neighbourhood(ip))
        seconds = growing_delay(self._networks.count(network))
        if seconds:
            await deferLater(self._clock, seconds)
        return reply.NO_SUCH_MAILBOX

    def accepted(self, ip: str) -> None:
        """Lower the count of unknown recipients by one: a message from this address was accepted."""
        network = client_network(ip)
        self._known[network] = None
        self._known.move_to_end(network)
        if len(self._known) > MAX_KEYS:
            self._known.popitem(last=False)
        if self._networks.count(network):
            self._take_back(network)
            self._note(_ACCEPTED, network)

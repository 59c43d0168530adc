"""Limits for guessing passwords, shared by all protocols: failed logins by network, with delays and refusals."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Final, TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from emailsys.config.settings import LimitSettings, LoginSettings
from emailsys.interfaces import LoginBusy, LoginUnchecked, PasswordId, TooManyGuesses
from emailsys.mail.ip import client_network, neighbourhood
from emailsys.policy.decaying_counters import MAX_KEYS, DecayingCounters, growing_delay
from emailsys.policy.fair_queue import FairQueue
from emailsys.policy.known_networks import Pair
from emailsys.policy.shared_guesses import SharedGuesses

# Wrong passwords that are recognised when they are repeated: an owner has few devices with an old password.
_REMEMBERED: Final = 4
# Wrong passwords that are recognised in networks that their accounts have not used: 2.6 MB when full.
_MAX_WRONG: Final = 10_000

# Networks of 64 bits whose limits together are the limit of an IPv6 network of 48 bits. A single customer may have one,
# with 65,536 networks of 64 bits in it (RFC 6177 §2).
_NETWORKS_OF_A_SITE: Final = 20

# Kinds of counters, as nodes name them to one another.
_NETWORK: Final = "network"
_NEIGHBOURHOOD: Final = "neighbourhood"
_PAIR: Final = "pair"

KeyT = TypeVar("KeyT", bound=Hashable)
# A network and the digest of a wrong password that came from it.
Wrong = tuple[str, bytes]


class FailedLogins:
    """Counts failed logins, and verifies passwords in a fair order.

    The counters belong to networks: an IPv4 address, or a /64 network of IPv6. If an account has logged in from a
    network before, the pair of both has its own counter and does not wait in the queue. So an attacker can neither lock
    out nor delay an owner in a network that the owner uses. A wrong password that a network repeats is counted for
    itself: a device with an old password does not use up the attempts of its network.

    At the limit a login is refused without verification, even with the correct password. Otherwise the refusal would
    tell a right guess from a wrong one. The counters are in memory and begin again with the daemon. Nodes tell one
    another of failed logins (`SharedGuesses`). The known pairs are restored from the store, those of other nodes within
    two minutes.
    """

    def __init__(
        self,
        clock: IReactorTime,
        limits: LimitSettings,
        login: LoginSettings,
        is_exempt: Callable[[str], bool],
        logged_in: Callable[[Pair], None],
    ) -> None:
        """
        @param is_exempt: whether an IP address has no limits.
        @param logged_in: called after each login with the right password.
        """
        self._clock = clock
        self._logged_in = logged_in
        self._is_exempt = is_exempt
        most, half_life = limits.max_failed_logins or math.inf, limits.half_life
        self._networks: DecayingCounters[str] = DecayingCounters(clock, most, half_life)
        self._neighbourhoods: DecayingCounters[str] = DecayingCounters(clock, _NETWORKS_OF_A_SITE * most, half_life)
        self._pairs: DecayingCounters[Pair] = DecayingCounters(clock, most, half_life)
        # Repetitions of a wrong password have their own limit, half of the other, so that a device with an old password
        # does not lock out its owner.
        self._repeats: DecayingCounters[Pair] = DecayingCounters(clock, max(1.0, most / 2), half_life)
        # The pairs, each with digests of its last wrong passwords. The least recently used is first.
        self._known: OrderedDict[Pair, tuple[bytes, ...]] = OrderedDict()
        # Wrong passwords of unknown pairs, and their repetitions. The least recently used is first.
        self._wrong: OrderedDict[Wrong, None] = OrderedDict()
        self._wrong_again: DecayingCounters[Wrong] = DecayingCounters(clock, max(1.0, most / 2), half_life)
        self._queue = FairQueue(login.hashing_threads, login.max_waiting)
        self._guesses: SharedGuesses | None = None

    def share(self, guesses: SharedGuesses) -> None:
        """Tell other nodes of failed logins from now on, and count theirs."""
        self._guesses = guesses
        guesses.add_by(_NETWORK, self._networks.add)
        guesses.add_by(_NEIGHBOURHOOD, self._neighbourhoods.add)
        guesses.add_by(_PAIR, self._add_to_pair)

    def _add_to_pair(self, key: str, times: int) -> None:
        account, number, network = key.split(" ", 2)
        self._pairs.add(((int(account), int(number)), network), times)

    def _tell(self, kind: str, key: str) -> None:
        if self._guesses is not None:
            self._guesses.note(kind, key)

    def set_limits(self, limits: LimitSettings) -> None:
        """Use other limits from now on. The counts stay."""
        most, half_life = limits.max_failed_logins or math.inf, limits.half_life
        self._networks.set_limit(most, half_life)
        self._neighbourhoods.set_limit(_NETWORKS_OF_A_SITE * most, half_life)
        self._pairs.set_limit(most, half_life)
        for repeats in (self._repeats, self._wrong_again):
            repeats.set_limit(max(1.0, most / 2), half_life)

    def restore(self, pairs: Sequence[Pair]) -> None:
        """Add the known pairs of an earlier process or of other nodes, the least recently used first.

        Those of this process count as used later.
        """
        for pair in reversed(pairs):
            if len(self._known) >= MAX_KEYS:
                break
            if pair not in self._known:
                self._known[pair] = ()
                self._known.move_to_end(pair, last=False)

    async def verify(
        self, password: PasswordId | None, ip: str, digest: bytes, verify: Callable[[], Awaitable[bool]]
    ) -> bool:
        """Verify a login within the limits. A failed login is answered late.

        @param password: that of the account; None if there is no such account. With another password, all networks of
            the account are unknown: a thief may have used the old one.
        @param digest: the same for the same name and password. A changed password must change it: a digest that was
            wrong once is not verified again.
        @param verify: returns whether the login is correct. Not called if the login is refused.
        @raise TooManyGuesses: the limit is reached.
        @raise LoginBusy: too many logins wait.
        @raise LoginUnchecked: that of `verify`. It is counted if it was a guess.
        """
        if self._is_exempt(ip):
            return await verify()
        network = client_network(ip)
        if password is not None and (password, network) in self._known:
            return await self._verify_known((password, network), digest, verify)
        return await self._verify_unknown(password, ip, digest, verify)

    async def _verify_known(self, pair: Pair, digest: bytes, verify: Callable[[], Awaitable[bool]]) -> bool:
        if digest in self._known[pair]:
            return await self._repeat(self._repeats, pair)
        is_right = await self._count(self._pairs, pair, verify)
        wrong = self._known.get(pair)
        if is_right:
            self._keep(pair, wrong or ())
            self._logged_in(pair)
        else:
            # The pair may have been dropped during the verification.
            if wrong is not None:
                self._keep(pair, (*wrong[1 - _REMEMBERED :], digest))
            (account, number), network = pair
            self._tell(_PAIR, f"{account} {number} {network}")
            await self._delay(self._pairs.count(pair))
        return is_right

    async def _verify_unknown(
        self, password: PasswordId | None, ip: str, digest: bytes, verify: Callable[[], Awaitable[bool]]
    ) -> bool:
        network, prefix = client_network(ip), neighbourhood(ip)
        wrong = (network, digest)
        if wrong in self._wrong:
            self._wrong.move_to_end(wrong)
            return await self._repeat(self._wrong_again, wrong)
        # A /24 network of IPv4 has many customers, who must not be refused for one of them.
        if self._networks.is_full(network) or (":" in prefix and self._neighbourhoods.is_full(prefix)):
            raise TooManyGuesses
        if not await self._queue.turn(prefix, is_clean=not self._neighbourhoods.count(prefix)):
            raise LoginBusy
        try:
            # The limit may have been reached during the wait.
            is_right = await self._count(self._networks, network, verify)
        except LoginUnchecked as unchecked:
            if unchecked.is_guess:
                self._count_unknown(network, prefix)
            raise
        finally:
            self._queue.done()
        if not is_right:
            self._count_unknown(network, prefix)
            self._wrong[wrong] = None
            if len(self._wrong) > _MAX_WRONG:
                self._wrong.popitem(last=False)
            await self._delay(self._networks.count(network))
        elif password is not None:
            self._keep((password, network), ())
            self._logged_in((password, network))
        return is_right

    def _count_unknown(self, network: str, prefix: str) -> None:
        """Count a failed login, which `_networks` has counted already, for the neighbours and on other nodes."""
        self._neighbourhoods.add(prefix)
        self._tell(_NETWORK, network)
        self._tell(_NEIGHBOURHOOD, prefix)

    async def _repeat(self, counters: DecayingCounters[KeyT], key: KeyT) -> bool:
        """Count a wrong password that was wrong before, and return False. It needs no verification."""
        await self._count(counters, key, _is_wrong)
        await self._delay(counters.count(key))
        return False

    async def _count(self, counters: DecayingCounters[KeyT], key: KeyT, verify: Callable[[], Awaitable[bool]]) -> bool:
        """Verify a login, and count it if it fails. It counts during the verification, so that none is too many."""
        if counters.is_full(key):
            raise TooManyGuesses
        counters.add(key)
        is_right = None
        try:
            is_right = await verify()
        except LoginUnchecked as unchecked:
            # Otherwise stored passwords could be guessed without a limit while another system gives no answer.
            is_right = False if unchecked.is_guess else None
            raise
        finally:
            # Any other exception says nothing about the password.
            if is_right is not False:
                counters.take_back(key)
        return is_right

    async def _delay(self, failed: float) -> None:
        """Wait before the answer to a failed login.

        @param failed: how many logins have failed, this one included.
        """
        seconds = growing_delay(failed)
        if seconds:
            await deferLater(self._clock, seconds)

    def _keep(self, pair: Pair, wrong: tuple[bytes, ...]) -> None:
        self._known[pair] = wrong
        self._known.move_to_end(pair)
        if len(self._known) > MAX_KEYS:
            self._known.popitem(last=False)


async def _is_wrong() -> bool:
    """Return False, as the verification of a wrong password does."""
    return False

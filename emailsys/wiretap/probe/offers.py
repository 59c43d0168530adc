"""Versions, cipher suites and groups that a server accepts: everything is offered, what it chooses is taken away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from emailsys.wiretap.probe.limits import ProbeError
from emailsys.wiretap.probe.trials import NO_ANSWER, Answer, Trials
from emailsys.wiretap.tls.names import GROUPS, TLS12, TLS13, is_post_quantum
from emailsys.wiretap.tls.suites import all_suites, suite

# Suites of one ClientHello. Some old servers fail if there are more than 128.
_AT_ONCE: Final = 120
_X25519: Final = 29


@dataclass(frozen=True, slots=True)
class Accepted:
    """The cipher suites and groups that a server accepts with one version.

    @ivar suites: numbers in the order in which the server chose them. () if it does not speak the version.
    @ivar flaw: why the list may be incomplete; "" if it is complete.
    @ivar first: the answer to the first offer that was accepted.
    @ivar primes: the sizes of the primes of DHE suites, in bits (before TLS 1.3).
    """

    version: int
    suites: tuple[int, ...]
    flaw: str = ""
    first: Answer = NO_ANSWER
    primes: frozenset[int] = frozenset()


def accepted_suites(trials: Trials, version: int) -> Accepted:
    """Returns the suites that the server accepts with a version. Each known suite of the version is offered."""
    left = [code for code, known in all_suites().items() if known.is_tls13 == (version >= TLS13) and code]
    shares = (_X25519,) if version >= TLS13 else ()
    found: list[int] = []
    primes: set[int] = set()
    first = answer = NO_ANSWER
    flaw = ""
    try:
        while left:
            offered, left = left[:_AT_ONCE], left[_AT_ONCE:]
            while offered:
                answer = trials.offer(version, tuple(offered), whole=True, key_shares=shares)
                hello = answer.hello
                if hello is None or hello.version != version or hello.suite not in offered:
                    break
                first = first if found else answer
                found.append(hello.suite)
                offered.remove(hello.suite)
                if answer.key_exchange is not None and answer.key_exchange.bits:
                    primes.add(answer.key_exchange.bits)
            if answer.refuses_version or (answer.hello is not None and answer.hello.version != version):
                break
    except ProbeError as error:
        flaw = error.text
    return Accepted(version, tuple(found), flaw, first, frozenset(primes))


@dataclass(frozen=True, slots=True)
class Groups:
    """The groups that a server accepts.

    @ivar primes: the sizes of primes of DHE, in bits.
    @ivar flaw: why the list may be incomplete; "" if it is complete.
    """

    groups: tuple[int, ...]
    primes: tuple[int, ...] = ()
    flaw: str = ""


def accepted_groups(trials: Trials, versions: dict[int, Accepted]) -> Groups:
    """Returns the groups that the server accepts with the versions and suites that it accepts."""
    found: dict[int, None] = {}
    primes = tuple(sorted({bits for accepted in versions.values() for bits in accepted.primes}))
    try:
        newest = versions.get(TLS13)
        if newest is not None and newest.suites:
            found.update(dict.fromkeys(_groups(trials, TLS13, newest.suites)))
        older = [accepted for version, accepted in versions.items() if version <= TLS12 and accepted.suites]
        if older:
            last = max(older, key=lambda accepted: accepted.version)
            curves = tuple(code for code in last.suites if suite(code).key_exchange == "ECDHE")
            if curves:
                found.update(dict.fromkeys(_groups(trials, last.version, curves)))
    except ProbeError as error:
        return Groups(tuple(found), primes, error.text)
    return Groups(tuple(found), primes)


def _groups(trials: Trials, version: int, suites: tuple[int, ...]) -> list[int]:
    """Offers all groups. TLS 1.3 without a key share makes the server name the one that it wants."""
    left = [code for code in GROUPS if version >= TLS13 or not is_post_quantum(code)]
    found: list[int] = []
    # Before TLS 1.3, the curve of the server's own certificate must be offered too (RFC 8422 §5.1). What was found
    # already is then offered again, at the end.
    for again in (False, True) if version < TLS13 else (False,):
        while left:
            answer = trials.offer(version, suites, whole=True, groups=(*left, *(found if again else ())))
            exchange = answer.key_exchange
            group = 0
            if answer.hello is not None:
                group = answer.hello.group if version >= TLS13 else exchange.group if exchange is not None else 0
            if group not in left:
                break
            found.append(group)
            left.remove(group)
    return found

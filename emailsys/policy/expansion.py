"""Resolve a forward-path through aliases and catch-alls, and tell step by step how."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from typing_extensions import override

from emailsys.interfaces import Account, IAliases, IDirectory
from emailsys.mail.address import Address
from emailsys.mail.envelope import LocalRoute, RemoteRoute, Route
from emailsys.policy.routing import Router

# Aliases that stand for aliases: how deep, and how many targets in all.
MAX_DEPTH: Final = 20
MAX_TARGETS: Final = 1000
_TAG_SEPARATOR: Final = "+"


class StepKind(enum.Enum):
    """What happened to an address in one step, in the words of `route explain`."""

    LITERAL = "is an address of this host and counts as its default domain"
    ELSEWHERE = "belongs to another system"
    RESTORED = "is a sender that was rewritten here (SRS); back to"
    EXACT = "is the address of"
    TAG = "without its +tag is the address of"
    ALIAS = "is an alias for"
    CATCH_ALL = "is nobody's; the catch-all of its domain is"
    NOBODY = "is nobody's here"
    LOOP = "was met before on this way: a loop, not followed"
    TOO_DEEP = "is too many aliases away, not followed"
    TOO_MANY = "makes too many targets, not followed"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was found out. `depth` counts the aliases before it; `to` is what the address turned into."""

    depth: int
    address: Address
    kind: StepKind
    to: tuple[Address, ...] = ()

    def __str__(self) -> str:
        return " ".join(filter(None, (str(self.address), self.kind.value, ", ".join(map(str, self.to)))))


@dataclass(frozen=True, slots=True)
class Expansion:
    """Where mail for an address goes, each way once, and how that was found."""

    routes: tuple[Route, ...]
    steps: tuple[Step, ...]


class Restorer(Protocol):
    """Who knows addresses that SRS made."""

    def restore(self, forward_path: Address) -> Address | None:
        """The address that was rewritten; None where it is none of ours."""


class AliasRouter(Router):
    """Answers by the directory as it is at the moment; the order is fixed: exact, without +tag, alias, catch-all.

    An account is so never hidden by an alias or a catch-all. A target that stands for nobody is left out; where none is
    left, the address is nobody's.
    """

    def __init__(
        self,
        directory: IDirectory,
        aliases: IAliases,
        own_ips: Iterable[str] = (),
        srs: Restorer | None = None,
    ) -> None:
        super().__init__(directory, own_ips)
        self._aliases = aliases
        self._srs = srs

    @override
    async def resolve(self, path: Address, local_ip: str = "") -> tuple[Route, ...]:
        """Where mail for that path goes; empty for a local address that nobody has."""
        return (await self.explain(path, local_ip)).routes

    async def explain(self, path: Address, local_ip: str = "") -> Expansion:
        """Where mail for that path goes, and why."""
        walk = _Walk()
        await self._follow(walk, path, local_ip, ())
        return Expansion(tuple(walk.routes), tuple(walk.steps))

    async def _follow(self, walk: _Walk, path: Address, local_ip: str, above: tuple[tuple[str, str], ...]) -> None:
        depth = len(above)
        key = path.key
        if key in above:
            walk.tell(depth, path, StepKind.LOOP)
            return
        if depth > MAX_DEPTH:
            walk.tell(depth, path, StepKind.TOO_DEEP)
            return
        if key in walk.met:
            # Two aliases that stand for the same one: its mail comes once.
            return
        if len(walk.met) >= MAX_TARGETS:
            walk.tell(depth, path, StepKind.TOO_MANY)
            return
        walk.met.add(key)
        domain = await self._own_domain(*key, local_ip)
        if domain is None:
            if key[1]:
                walk.tell(depth, path, StepKind.ELSEWHERE)
                walk.add(RemoteRoute(path, forwarded=depth > 0))
            else:
                walk.tell(depth, path, StepKind.NOBODY)
            return
        if domain != key[1]:
            walk.tell(depth, path, StepKind.LITERAL, Address(path.local, domain))
        restored = None if self._srs is None else self._srs.restore(path)
        if restored is not None:
            walk.tell(depth, path, StepKind.RESTORED, restored)
            if await self._own_domain(*restored.key, local_ip) is None:
                walk.add(RemoteRoute(restored))
            else:
                # Mail that went through us twice was rewritten here twice.
                await self._follow(walk, restored, local_ip, (*above, path.key))
            return
        await self._here(walk, path, key[0], domain, local_ip, above)

    async def _here(
        self, walk: _Walk, path: Address, local: str, domain: str, local_ip: str, above: tuple[tuple[str, str], ...]
    ) -> None:
        user = local.partition(_TAG_SEPARATOR)[0]
        tagged = bool(user) and user != local
        exact = await self._directory.find_address(local, domain)
        if exact is not None:
            return walk.arrive(len(above), path, StepKind.EXACT, exact)
        account = await self._directory.find_address(user, domain) if tagged else None
        if account is not None:
            return walk.arrive(len(above), path, StepKind.TAG, account)
        kind, targets = StepKind.ALIAS, await self._aliases.targets(local, domain)
        if not targets and tagged:
            targets = await self._aliases.targets(user, domain)
        if not targets:
            # RFC 5321 §4.5.1: a postmaster is found before a catch-all takes its mail.
            postmaster = await self._account(local, domain)
            if postmaster is not None:
                return walk.arrive(len(above), path, StepKind.EXACT, postmaster)
            kind, targets = StepKind.CATCH_ALL, await self._aliases.targets("", domain)
        if not targets:
            return walk.tell(len(above), path, StepKind.NOBODY)
        walk.tell(len(above), path, kind, *targets)
        for target in targets:
            await self._follow(walk, target, local_ip, (*above, path.key))
        return None


class _Walk:
    """What was found so far."""

    def __init__(self) -> None:
        self.routes: list[Route] = []
        self.steps: list[Step] = []
        self.met: set[tuple[str, str]] = set()
        self._known: set[Route] = set()

    def add(self, route: Route) -> None:
        if route not in self._known:
            self._known.add(route)
            self.routes.append(route)

    def arrive(self, depth: int, path: Address, kind: StepKind, account: Account) -> None:
        self.tell(depth, path, kind, account.address)
        self.add(LocalRoute(account.account_id))

    def tell(self, depth: int, path: Address, kind: StepKind, *to: Address) -> None:
        self.steps.append(Step(depth, path, kind, to))

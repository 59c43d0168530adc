"""Expansion of a forward-path through aliases and catch-alls, with a record of each step."""

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

# Maximum depth of aliases that stand for aliases, and maximum number of targets in all.
MAX_DEPTH: Final = 20
MAX_TARGETS: Final = 1000
_TAG_SEPARATOR: Final = "+"


class StepKind(enum.Enum):
    """The result of one step. The values are the words of `route explain`."""

    LITERAL = "is an address of this host; it stands for the default domain:"
    ELSEWHERE = "belongs to another system"
    RESTORED = "is a rewritten sender (SRS) of"
    EXACT = "is the address of"
    TAG = "without its +tag is the address of"
    ALIAS = "is an alias for"
    CATCH_ALL = "does not exist; the catch-all of its domain is"
    NOBODY = "does not exist here"
    LOOP = "is already on this path: a loop, not followed"
    TOO_DEEP = "is behind too many aliases, not followed"
    TOO_MANY = "exceeds the maximum number of targets, not followed"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an expansion. `depth` counts the aliases before it; `to` has the resulting addresses."""

    depth: int
    address: Address
    kind: StepKind
    to: tuple[Address, ...] = ()

    def __str__(self) -> str:
        return " ".join(filter(None, (str(self.address), self.kind.value, ", ".join(map(str, self.to)))))


@dataclass(frozen=True, slots=True)
class Expansion:
    """The routes of an address, without duplicates, and the steps that led to them."""

    routes: tuple[Route, ...]
    steps: tuple[Step, ...]


class Restorer(Protocol):
    """Decoder of addresses that SRS made."""

    def restore(self, forward_path: Address) -> Address | None:
        """Return the original address, or None if this system did not rewrite it."""


class AliasRouter(Router):
    """Router that follows aliases. The order is fixed: exact address, without +tag, alias, catch-all.

    An alias or catch-all therefore never hides an account. A target that does not exist is left out. If no target is
    left, the address does not exist. All answers reflect the current directory.
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
        """Return the routes of a path. Empty for a local address that does not exist."""
        local, domain = path.key
        # Nearly all mail is for the exact address of an account and needs no expansion. SRS comes before accounts.
        if not local.startswith("srs") and await self._directory.is_local_domain(domain):
            account = await self._directory.find_address(local, domain)
            if account is not None:
                return (LocalRoute(account.account_id),)
        return (await self.explain(path, local_ip)).routes

    @override
    async def takes_bounces_only(self, path: Address, local_ip: str = "") -> bool:
        """Return whether a path is a sender that this system rewrote (SRS)."""
        local, domain = path.key
        if self._srs is None or not local.startswith("srs") or self._srs.restore(path) is None:
            return False
        return await self._own_domain(local, domain, local_ip) is not None

    async def explain(self, path: Address, local_ip: str = "") -> Expansion:
        """Return the routes of a path with the steps that led to them."""
        walk = _Walk()
        await self._follow(walk, path, local_ip, ())
        return Expansion(tuple(walk.routes), tuple(walk.steps))

    async def _follow(self, walk: _Walk, path: Address, local_ip: str, above: tuple[tuple[str, str], ...]) -> None:
        depth = len(above)
        key = path.key
        if key in above:
            walk.note(depth, path, StepKind.LOOP)
            return
        if depth > MAX_DEPTH:
            walk.note(depth, path, StepKind.TOO_DEEP)
            return
        if key in walk.visited:
            # Two aliases have the same target: it gets the message once.
            return
        if len(walk.visited) >= MAX_TARGETS:
            walk.note(depth, path, StepKind.TOO_MANY)
            return
        walk.visited.add(key)
        domain = await self._own_domain(*key, local_ip)
        if domain is None:
            if key[1]:
                walk.note(depth, path, StepKind.ELSEWHERE)
                walk.add(RemoteRoute(path, forwarded=depth > 0, alias=walk.alias))
            else:
                walk.note(depth, path, StepKind.NOBODY)
            return
        if domain != key[1]:
            walk.note(depth, path, StepKind.LITERAL, Address(path.local, domain))
        restored = None if self._srs is None else self._srs.restore(path)
        if restored is not None:
            walk.note(depth, path, StepKind.RESTORED, restored)
            if await self._own_domain(*restored.key, local_ip) is None:
                walk.add(RemoteRoute(restored))
            else:
                # Mail that passed this system twice was rewritten twice.
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
        kind, name, targets = StepKind.ALIAS, local, await self._aliases.targets(local, domain)
        if not targets and tagged:
            name, targets = user, await self._aliases.targets(user, domain)
        if not targets:
            # RFC 5321 §4.5.1: the postmaster comes before the catch-all.
            postmaster = await self._account(local, domain)
            if postmaster is not None:
                return walk.arrive(len(above), path, StepKind.EXACT, postmaster)
            kind, name, targets = StepKind.CATCH_ALL, "", await self._aliases.targets("", domain)
        if not targets:
            return walk.note(len(above), path, StepKind.NOBODY)
        walk.note(len(above), path, kind, *targets)
        if walk.alias is None:
            walk.alias = Address(name, domain)
        for target in targets:
            await self._follow(walk, target, local_ip, (*above, path.key))
        return None


class _Walk:
    """The state of one expansion: routes, steps, and visited addresses."""

    def __init__(self) -> None:
        self.routes: list[Route] = []
        self.steps: list[Step] = []
        self.visited: set[tuple[str, str]] = set()
        # The first alias of the expansion.
        self.alias: Address | None = None
        self._known: set[Route] = set()

    def add(self, route: Route) -> None:
        if route not in self._known:
            self._known.add(route)
            self.routes.append(route)

    def arrive(self, depth: int, path: Address, kind: StepKind, account: Account) -> None:
        self.note(depth, path, kind, account.address)
        self.add(LocalRoute(account.account_id))

    def note(self, depth: int, path: Address, kind: StepKind, *to: Address) -> None:
        self.steps.append(Step(depth, path, kind, to))

"""Expansion of a forward-path through aliases, catch-alls and forwards, with a record of each step."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol, TypeAlias

from typing_extensions import override

from emailsys.interfaces import Account, IAliases, IDirectory
from emailsys.mail.address import Address
from emailsys.mail.envelope import LocalRoute, RemoteRoute, Route
from emailsys.policy.routing import Router

# Maximum depth of aliases that stand for aliases, and maximum number of targets in all.
MAX_DEPTH: Final = 20
MAX_TARGETS: Final = 1000
_TAG_SEPARATOR: Final = "+"


@lru_cache(maxsize=4096)
def _only_here(account_id: int) -> tuple[Route, ...]:
    return (LocalRoute(account_id),)


# The addresses that led to the current one, by `Address.key`.
_Keys: TypeAlias = tuple[tuple[str, str], ...]


class StepKind(enum.Enum):
    """The result of one step. The values are the words of `route explain`."""

    LITERAL = "is an address of this host; it stands for the default domain:"
    ELSEWHERE = "belongs to another system"
    RESTORED = "is a rewritten sender (SRS) of"
    EXACT = "is the address of"
    TAG = "without its +tag is the address of"
    ALIAS = "is an alias for"
    CATCH_ALL = "does not exist; the catch-all of its domain is"
    FORWARD = "forwards its mail, and keeps a copy, to"
    FORWARD_ONLY = "forwards its mail, and keeps no copy, to"
    KEPT = "keeps its mail, because no target of its forward can receive it"
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
    left, the address does not exist. An account that forwards its mail keeps it if no target is left. All answers
    reflect the current directory.
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
    async def resolve(self, path: Address, local_ip: str = "", sender: Address | None = None) -> tuple[Route, ...]:
        """Return the routes of a path. Empty for a local address that does not exist.

        @param sender: the reverse-path. If this system rewrote it, the message was forwarded before and came back. No
            account forwards it again, so that two forwards on two systems make no loop.
        """
        local, domain = path.key
        # Nearly all mail is for the exact address of an account and needs no expansion. SRS comes before accounts.
        if not local.startswith("srs") and domain in await self._directory.local_domains():
            account = await self._directory.find_address(local, domain)
            if account is not None and account.forward is None:
                return _only_here(account.account_id)
        came_back = sender is not None and self._srs is not None and self._srs.restore(sender) is not None
        return (await self._walk(path, local_ip, follows_forwards=not came_back)).routes

    @override
    async def owns(self, account: Account, path: Address, local_ip: str = "") -> bool:
        """Return whether an account receives mail for a path, so that it may send from it.

        A forward does not count: the account keeps its addresses, and the targets get none.
        """
        local, domain = path.key
        if not local.startswith("srs") and await self._directory.is_local_domain(domain):
            exact = await self._directory.find_address(local, domain)
            if exact is not None:
                return exact.account_id == account.account_id
        walk = await self._walk(path, local_ip, follows_forwards=False)
        return LocalRoute(account.account_id) in walk.routes

    @override
    async def takes_bounces_only(self, path: Address, local_ip: str = "") -> bool:
        """Return whether a path is a sender that this system rewrote (SRS)."""
        local, domain = path.key
        if self._srs is None or not local.startswith("srs") or self._srs.restore(path) is None:
            return False
        return await self._own_domain(local, domain, local_ip) is not None

    async def explain(self, path: Address, local_ip: str = "") -> Expansion:
        """Return the routes of a path with the steps that led to them."""
        return await self._walk(path, local_ip)

    async def _walk(self, path: Address, local_ip: str, follows_forwards: bool = True) -> Expansion:
        walk = _Walk(follows_forwards)
        await self._follow(walk, path, local_ip, ())
        return Expansion(tuple(walk.routes), tuple(walk.steps))

    async def _follow(self, walk: _Walk, path: Address, local_ip: str, above: _Keys) -> bool:
        """Add the routes of a path. Returns whether there are any, also if another path led to them before."""
        key = path.key
        if key in above:
            walk.note(len(above), path, StepKind.LOOP)
            return False
        if len(above) > MAX_DEPTH:
            walk.note(len(above), path, StepKind.TOO_DEEP)
            return False
        if key not in walk.visited:
            # If two aliases have the same target, it gets the message once.
            if len(walk.visited) >= MAX_TARGETS:
                walk.note(len(above), path, StepKind.TOO_MANY)
                return False
            walk.visited[key] = False
            walk.visited[key] = await self._expand(walk, path, local_ip, above)
        return walk.visited[key]

    async def _expand(self, walk: _Walk, path: Address, local_ip: str, above: _Keys) -> bool:
        depth = len(above)
        key = path.key
        domain = await self._own_domain(*key, local_ip)
        if domain is None:
            if not key[1]:
                walk.note(depth, path, StepKind.NOBODY)
                return False
            walk.note(depth, path, StepKind.ELSEWHERE)
            walk.add(RemoteRoute(path, forwarded=depth > 0, alias=walk.alias))
            return True
        if domain != key[1]:
            walk.note(depth, path, StepKind.LITERAL, Address(path.local, domain))
        restored = None if self._srs is None else self._srs.restore(path)
        if restored is not None:
            walk.note(depth, path, StepKind.RESTORED, restored)
            if await self._own_domain(*restored.key, local_ip) is None:
                walk.add(RemoteRoute(restored))
                return True
            # Mail that passed this system twice was rewritten twice.
            return await self._follow(walk, restored, local_ip, (*above, key))
        return await self._here(walk, path, key[0], domain, local_ip, above)

    async def _here(self, walk: _Walk, path: Address, local: str, domain: str, local_ip: str, above: _Keys) -> bool:
        user = local.partition(_TAG_SEPARATOR)[0]
        tagged = bool(user) and user != local
        exact = await self._directory.find_address(local, domain)
        if exact is not None:
            return await self._arrive(walk, path, StepKind.EXACT, exact, local_ip, above)
        account = await self._directory.find_address(user, domain) if tagged else None
        if account is not None:
            return await self._arrive(walk, path, StepKind.TAG, account, local_ip, above)
        kind, name, targets = StepKind.ALIAS, local, await self._aliases.targets(local, domain)
        if not targets and tagged:
            name, targets = user, await self._aliases.targets(user, domain)
        if not targets:
            # RFC 5321 §4.5.1: the postmaster comes before the catch-all.
            postmaster = await self._account(local, domain)
            if postmaster is not None:
                return await self._arrive(walk, path, StepKind.EXACT, postmaster, local_ip, above)
            kind, name, targets = StepKind.CATCH_ALL, "", await self._aliases.targets("", domain)
        if not targets:
            walk.note(len(above), path, StepKind.NOBODY)
            return False
        walk.note(len(above), path, kind, *targets)
        if walk.alias is None:
            walk.alias = Address(name, domain)
        return await self._follow_all(walk, targets, local_ip, (*above, path.key))

    async def _follow_all(self, walk: _Walk, targets: Iterable[Address], local_ip: str, above: _Keys) -> bool:
        return any([await self._follow(walk, target, local_ip, above) for target in targets])

    async def _arrive(
        self, walk: _Walk, path: Address, kind: StepKind, account: Account, local_ip: str, above: _Keys
    ) -> bool:
        """Add the maildrop of an account and the routes of its forward. An account always receives its mail."""
        depth = len(above)
        walk.note(depth, path, kind, account.address)
        forward = account.forward if walk.follows_forwards else None
        here = LocalRoute(account.account_id)
        if forward is None or forward.keeps_copy:
            walk.add(here)
        if forward is not None:
            if walk.alias is None:
                walk.alias = account.address
            step = StepKind.FORWARD if forward.keeps_copy else StepKind.FORWARD_ONLY
            walk.note(depth, account.address, step, *forward.targets)
            # The path may have a +tag, and a target may lead back to the account by another name.
            keys = (*above, path.key, account.address.key)
            if not await self._follow_all(walk, forward.targets, local_ip, keys) and not forward.keeps_copy:
                walk.note(depth, account.address, StepKind.KEPT)
                walk.add(here)
        return True


class _Walk:
    """The state of one expansion: routes, steps, and visited addresses."""

    def __init__(self, follows_forwards: bool) -> None:
        """@param follows_forwards: whether forwards of accounts are followed; aliases always are."""
        self.follows_forwards = follows_forwards
        self.routes: list[Route] = []
        self.steps: list[Step] = []
        # The first alias of the expansion, or account that forwards its mail.
        self.alias: Address | None = None
        # Whether each address has a route. An address that is being expanded has none yet.
        self.visited: dict[tuple[str, str], bool] = {}
        self._known: set[Route] = set()

    def add(self, route: Route) -> None:
        if route not in self._known:
            self._known.add(route)
            self.routes.append(route)

    def note(self, depth: int, path: Address, kind: StepKind, *to: Address) -> None:
        self.steps.append(Step(depth, path, kind, to))

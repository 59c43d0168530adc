"""Domains, accounts and addresses in memory."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from zope.interface import implementer

from emailsys.interfaces import Account, Fate, IAliases, IDirectory, Login, NoDomains
from emailsys.interfaces.operators import (
    AdminError,
    AliasRow,
    DomainRow,
    IAccounts,
    IAliasAdministration,
    IDelegatedSenders,
    UserRow,
)
from emailsys.mail.address import Address, domain_key
from emailsys.mail.forward import Forward
from tests.fakes.store.memory_known_networks import MemoryKnownNetworks

Key = tuple[str, str]
_ROLES = ("postmaster", "abuse")


@dataclass
class Domain:
    """A domain, and whom its postmaster and abuse mail goes to."""

    name: str
    postmaster: Address


@implementer(IAccounts, IAliases, IAliasAdministration, IDelegatedSenders, IDirectory)
class MemoryAccounts:
    """Administration and look-ups in one, without a cache."""

    def __init__(
        self, make_id: Callable[[], int], drops: Mapping[int, Sequence[Any]], known_networks: MemoryKnownNetworks
    ) -> None:
        self._known_networks = known_networks
        self._make_id = make_id
        self._drops: Any = drops
        self._domains: dict[str, Domain] = {}
        self._logins: dict[Key, Login] = {}
        self._aliases: dict[Key, tuple[Address, tuple[Address, ...]]] = {}
        self._delegated: dict[Key, dict[Key, Address]] = {}
        self.quotas: dict[Key, int | None] = {}
        self.forwards: dict[Key, Forward] = {}
        self.domain_quotas: dict[str, int | None] = {}

    def logins(self) -> Sequence[Login]:
        """All of them."""
        return tuple(self._logins.values())

    async def targets(self, local_key: str, domain_key: str) -> Sequence[Address]:
        self._need_domains()
        found = self._aliases.get((local_key, domain_key))
        if found is not None:
            return found[1]
        role = local_key in _ROLES and domain_key in self._domains and (local_key, domain_key) not in self._logins
        return (self._domains[domain_key].postmaster,) if role else ()

    async def set_alias(self, name: Address, targets: Sequence[Address]) -> AliasRow:
        if name.key[1] not in self._domains:
            raise AdminError(f"there is no domain {name.domain}")
        if name.key in self._logins:
            raise AdminError(f"{name} is an account")
        if not targets or any(target.key == name.key for target in targets):
            raise AdminError("an alias needs targets other than itself")
        before = await self.targets(*name.key)
        for target in targets:
            local, _, _ = target.key[0].partition("+")
            known = {*self._logins, *self._aliases, *((role, key) for role in _ROLES for key in self._domains)}
            is_new = target not in before
            if is_new and target.key[1] in self._domains and not known & {target.key, (local, target.key[1])}:
                raise AdminError(f"{target} is neither an account nor an alias")
        chosen = tuple({t.key: t for t in targets}.values())
        self._aliases[name.key] = (Address(name.key[0], name.domain), chosen)
        return AliasRow(name, chosen)

    async def add_targets(self, name: Address, targets: Sequence[Address]) -> AliasRow:
        return await self.set_alias(name, [*await self.targets(*name.key), *targets])

    async def remove_targets(self, name: Address, targets: Sequence[Address]) -> AliasRow:
        before, gone = await self.targets(*name.key), {target.key for target in targets}
        if not gone <= {target.key for target in before}:
            raise AdminError(f"some of these are not targets of {name}")
        if left := [target for target in before if target.key not in gone]:
            return await self.set_alias(name, left)
        await self.remove_alias(name)
        return AliasRow(name, ())

    async def remove_alias(self, name: Address) -> None:
        if name.key[0] in _ROLES or name.key not in self._aliases:
            raise AdminError(f"there is no alias {name} to remove")
        del self._aliases[name.key]

    async def list_aliases(self, domain: str | None) -> Sequence[AliasRow]:
        if domain is not None and domain_key(domain) not in self._domains:
            raise AdminError(f"there is no domain {domain}")
        rows = {key: AliasRow(name, targets) for key, (name, targets) in self._aliases.items()}
        for key, of_domain in self._domains.items():
            for role in _ROLES:
                if (role, key) not in self._logins:
                    rows.setdefault((role, key), AliasRow(Address(role, of_domain.name), (of_domain.postmaster,)))
        chosen = sorted(rows.items(), key=lambda item: (item[0][1], item[0][0]))
        return [row for key, row in chosen if domain is None or key[1] == domain_key(domain)]

    def has_account(self, account_id: int) -> bool:
        """Whether mail can be delivered to it."""
        return any(login.account.account_id == account_id for login in self._logins.values())

    def seed(self, address: str, credentials: tuple[tuple[str, str], ...]) -> Account:
        """An account and, where it is missing, its domain."""
        local, _, domain = address.rpartition("@")
        parsed = Address(local, domain)
        self._domains.setdefault(domain_key(domain), Domain(domain, parsed))
        account = Account(self._make_id(), parsed)
        self._logins[parsed.key] = Login(account, credentials)
        return account

    async def allow(self, account: Address, senders: Sequence[Address]) -> Sequence[Address]:
        self._login(account)
        delegated = self._delegated.setdefault(account.key, {})
        for sender in senders:
            delegated.setdefault(sender.key, sender)
        return await self.senders(account)

    async def forbid(self, account: Address, senders: Sequence[Address]) -> Sequence[Address]:
        self._login(account)
        left = dict(self._delegated.get(account.key, {}))
        for sender in senders:
            if left.pop(sender.key, None) is None:
                raise AdminError(f"there is no delegation for {sender}")
        self._delegated[account.key] = left
        return await self.senders(account)

    async def senders(self, account: Address) -> Sequence[Address]:
        self._login(account)
        delegated = self._delegated.get(account.key, {})
        return [delegated[key] for key in sorted(delegated, key=lambda key: (key[1], key[0]))]

    async def delegated_senders(self, account_id: int) -> frozenset[Key]:
        for key, login in self._logins.items():
            if login.account.account_id == account_id:
                return frozenset(self._delegated.get(key, {}))
        return frozenset()

    async def is_local_domain(self, domain_key: str) -> bool:
        self._need_domains()
        return domain_key in self._domains

    async def local_domains(self) -> frozenset[str]:
        return frozenset(self._domains)

    async def default_domain(self) -> str:
        self._need_domains()
        return next(iter(self._domains))

    def _need_domains(self) -> None:
        if not self._domains:
            raise NoDomains("no domain")

    async def find_address(self, local_key: str, domain_key: str) -> Account | None:
        self._need_domains()
        login = self._logins.get((local_key, domain_key))
        aliased = (local_key, domain_key) in self._aliases
        if login is None and local_key in _ROLES and domain_key in self._domains and not aliased:
            login = self._logins.get(self._domains[domain_key].postmaster.key)
        elif login is None and local_key in _ROLES and len(targets := await self.targets(local_key, domain_key)) == 1:
            login = self._logins.get(targets[0].key)
        if login is None:
            return None
        return replace(login.account, forward=self.forwards.get(login.account.address.key))

    async def find_login(self, name_key: Key) -> Login | None:
        self._need_domains()
        return self._logins.get(name_key)

    async def add_domain(self, name: str, postmaster: Address) -> None:
        key = domain_key(name)
        if key in self._domains:
            raise AdminError(f"the domain {name} already exists")
        if postmaster.key[1] != key and postmaster.key[1] not in self._domains:
            raise AdminError(f"{postmaster} is not in a domain of this system")
        self._domains[key] = Domain(name, postmaster)

    async def list_domains(self) -> Sequence[DomainRow]:
        return [
            DomainRow(
                domain.name,
                domain.postmaster,
                sum(name[1] == key for name in self._logins),
                sum(user.octets for user in await self.list_users(key)),
                self.domain_quotas.get(key) or 0,
            )
            for key, domain in self._domains.items()
        ]

    async def remove_domain(self, name: str) -> None:
        key = domain_key(name)
        if key not in self._domains:
            raise AdminError(f"there is no domain {name}")
        if any(login_key[1] == key for login_key in self._logins):
            raise AdminError(f"the domain {name} has users; remove them first")
        if any(other != key and domain.postmaster.key[1] == key for other, domain in self._domains.items()):
            raise AdminError(f"another domain's postmaster is in {name}")
        del self._domains[key]

    def _login(self, address: Address) -> Login:
        login = self._logins.get(address.key)
        if login is None:
            raise AdminError(f"there is no user {address}")
        return login

    async def add_user(self, address: Address, credentials: Sequence[tuple[str, str]]) -> None:
        local, domain = address.key
        if domain not in self._domains:
            raise AdminError(f"there is no domain {address.domain}. Add it first.")
        if address.key in self._logins:
            raise AdminError(f"the user {address} already exists")
        if address.key in self._aliases:
            raise AdminError(f"{address} is an alias")
        if local in _ROLES and self._domains[domain].postmaster.key != address.key:
            raise AdminError(f"{address} is an alias of {self._domains[domain].postmaster}")
        self._logins[address.key] = Login(Account(self._make_id(), address), tuple(credentials))

    async def add_users(self, rows: Sequence[tuple[Address, Sequence[tuple[str, str]]]]) -> Sequence[str | None]:
        return [await _refusal(self.add_user(*row)) for row in rows]

    async def add_domains(self, rows: Sequence[tuple[str, Address]]) -> Sequence[str | None]:
        return [await _refusal(self.add_domain(*row)) for row in rows]

    async def list_users(self, domain: str | None) -> Sequence[UserRow]:
        if domain is not None and domain_key(domain) not in self._domains:
            raise AdminError(f"there is no domain {domain}")
        rows = []
        for (_, key), login in sorted(self._logins.items(), key=lambda item: (item[0][1], item[0][0])):
            if domain is None or key == domain_key(domain):
                drop = self._drops.get(login.account.account_id, ())
                rows.append(
                    UserRow(
                        login.account.address,
                        login.account.enabled,
                        len(drop),
                        sum(len(row.octets) for row in drop),
                        self.quotas.get(login.account.address.key) or 0,
                        self.forwards.get(login.account.address.key),
                    )
                )
        return rows

    async def find_user(self, address: Address) -> UserRow | None:
        return next((row for row in await self.list_users(None) if row.address.key == address.key), None)

    async def remove_user(self, address: Address, purge: bool) -> None:
        login = self._login(address)
        for key, domain in self._domains.items():
            others = any(name[1] == key and name != address.key for name in self._logins)
            if domain.postmaster.key == address.key and (key != address.key[1] or others):
                raise AdminError(f"{address} is the postmaster of {domain.name}")
        if self._drops.get(login.account.account_id) and not purge:
            raise AdminError(f"{address} has mail; purge it")
        for row in self._drops.pop(login.account.account_id, ()):
            row.message.ended[row.row_id] = Fate.DROPPED
        del self._logins[address.key]
        self._delegated.pop(address.key, None)
        self.forwards.pop(address.key, None)
        self._known_networks.drop(login.account.account_id, None)

    async def set_credentials(self, address: Address, credentials: Sequence[tuple[str, str]]) -> None:
        login = self._login(address)
        number = login.password_number + 1
        self._logins[address.key] = Login(login.account, tuple(credentials), number)
        self._known_networks.drop(login.account.account_id, number)

    async def renew_credentials(self, account_id: int, old: tuple[str, str], made: Sequence[tuple[str, str]]) -> bool:
        for key, login in self._logins.items():
            if login.account.account_id == account_id and old in login.credentials:
                pairs = dict(pair for pair in login.credentials if pair != old) | dict(made)
                self._logins[key] = replace(login, credentials=tuple(pairs.items()))
                return True
        return False

    async def set_forward(self, address: Address, targets: Sequence[Address], keeps_copy: bool) -> None:
        self._login(address)
        if any(target.key == address.key for target in targets):
            raise AdminError(f"{address} cannot forward to itself")
        for target in targets:
            names = {target.key, (target.key[0].partition("+")[0], target.key[1])}
            if target.key[1] in self._domains and not names & {*self._logins, *self._aliases}:
                raise AdminError(f"{target} is neither an account nor an alias")
        unique = tuple({target.key: target for target in targets}.values())
        self.forwards.pop(address.key, None)
        if unique:
            self.forwards[address.key] = Forward(unique, keeps_copy)

    async def set_enabled(self, address: Address, enabled: bool) -> None:
        login = self._login(address)
        self._logins[address.key] = replace(login, account=replace(login.account, enabled=enabled))


async def _refusal(adding: Coroutine[Any, Any, None]) -> str | None:
    try:
        await adding
    except AdminError as error:
        return str(error)
    return None

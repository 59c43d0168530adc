"""Administration of aliases: addresses that stand for one or several others, on this system or other hosts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Connection, delete, insert, select
from zope.interface import implementer

from emailsys.interfaces.operators import AdminError, AliasRow, IAliasAdministration
from emailsys.mail.address import ROLES, Address, domain_key
from emailsys.store.directory.changes import Changes, find_domain
from emailsys.store.schema.tables import accounts, addresses, domains

# Targets of one alias. More are a mailing list, which needs a separate program.
MAX_TARGETS: Final = 100


@implementer(IAliasAdministration)
class Aliases:
    """Administration of aliases. Each method is one transaction."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def set_alias(self, name: Address, targets: Sequence[Address]) -> AliasRow:
        """Set the targets of an alias, replacing any others."""
        if not targets:
            raise AdminError("an alias needs a target")
        return await self._change("set-alias", name, lambda before: targets)

    async def add_targets(self, name: Address, targets: Sequence[Address]) -> AliasRow:
        """Add targets to an alias."""
        return await self._change("add-targets", name, lambda before: [*before, *targets])

    async def remove_targets(self, name: Address, targets: Sequence[Address]) -> AliasRow:
        """Remove targets from an alias. Without targets, it is removed."""
        keys = {target.key for target in targets}

        def rest(before: Sequence[Address]) -> Sequence[Address]:
            known = {target.key for target in before}
            for target in targets:
                if target.key not in known:
                    raise AdminError(f"{target} is not a target of {shown(name)}")
            return [target for target in before if target.key not in keys]

        return await self._change("remove-targets", name, rest)

    async def _change(
        self, description: str, name: Address, change: Callable[[Sequence[Address]], Sequence[Address]]
    ) -> AliasRow:
        """Change the targets of an alias.

        @param change: returns the new targets, given the old ones.
        """
        local_key, key = name.key

        def put(connection: Connection) -> AliasRow:
            domain_id = find_domain(connection, key)
            if domain_id is None:
                raise AdminError(f"there is no domain {name.domain}. Add it first.")
            owner = select(accounts.c.account_id).where(
                accounts.c.domain_id == domain_id, accounts.c.local_key == local_key
            )
            if connection.execute(owner).scalar() is not None:
                raise AdminError(f"{name} is an account, so an alias of that name would never be used")
            before = _targets(connection, domain_id, name.key)
            unique: dict[tuple[str, str], Address] = {}
            for target in change(before):
                unique.setdefault(target.key, target)
            chosen = tuple(unique.values())
            _check(name, chosen)
            known = {target.key for target in before}
            _delete(connection, domain_id, local_key)
            for number, target in enumerate(chosen):
                # An existing target may have lost its account. That must not prevent other changes.
                if target.key not in known:
                    check_target(connection, target)
                account_id, _ = _target(connection, target)
                connection.execute(
                    insert(addresses).values(
                        domain_id=domain_id,
                        local_key=local_key,
                        number=number,
                        account_id=account_id,
                        target_local=target.local,
                        target_domain=target.domain,
                        target_local_key=target.key[0],
                        target_domain_key=target.key[1],
                    )
                )
            return AliasRow(name, chosen)

        return await self._changes.run(description, put)

    async def remove_alias(self, name: Address) -> None:
        """Remove an alias. Postmaster and abuse cannot be removed, because every domain needs them (RFC 2142)."""
        local_key, key = name.key
        _check(name, ())

        def remove(connection: Connection) -> None:
            domain_id = find_domain(connection, key)
            if domain_id is None or not _delete(connection, domain_id, local_key, own=key):
                raise AdminError(f"there is no alias {shown(name)}")

        await self._changes.run("remove-alias", remove)

    async def list_aliases(self, domain: str | None) -> Sequence[AliasRow]:
        """List aliases by domain, then local part, the catch-all first."""
        return await self._changes.database.read("list-aliases", lambda connection: list_aliases(connection, domain))


def shown(name: Address) -> str:
    """Format an alias as it is typed and printed. The catch-all is @domain."""
    return str(name) if name.local else f"@{name.domain}"


def _check(name: Address, targets: Sequence[Address]) -> None:
    """@raise AdminError: the alias cannot have these targets."""
    if not targets and name.key[0] in ROLES:
        raise AdminError(f"every domain needs a {name.key[0]}. Give {name} other targets instead.")
    if len(targets) > MAX_TARGETS:
        raise AdminError(f"an alias has at most {MAX_TARGETS} targets, not {len(targets)}")
    if any(target.key == name.key for target in targets):
        raise AdminError(f"{shown(name)} cannot be its own target")


def _targets(connection: Connection, domain_id: int, name_key: tuple[str, str]) -> Sequence[Address]:
    """Read the targets of an alias, in order. The own address of an account has none."""
    asked = (
        select(addresses.c.target_local, addresses.c.target_domain)
        .where(addresses.c.domain_id == domain_id, addresses.c.local_key == name_key[0])
        .order_by(addresses.c.number)
    )
    found = [Address(row.target_local, row.target_domain) for row in connection.execute(asked).all()]
    return [target for target in found if target.key != name_key]


def _delete(connection: Connection, domain_id: int, local_key: str, own: str = "") -> int:
    here = (addresses.c.domain_id == domain_id) & (addresses.c.local_key == local_key)
    if own:
        # The own address of an account is not an alias.
        here &= (addresses.c.target_local_key != local_key) | (addresses.c.target_domain_key != own)
    return connection.execute(delete(addresses).where(here)).rowcount


def check_target(connection: Connection, target: Address) -> None:
    """@raise AdminError: the target is in a domain of this system, and is neither an account nor an alias."""
    account_id, is_ours = _target(connection, target)
    if is_ours and account_id is None and not _is_alias(connection, target):
        raise AdminError(f"{target} is neither an account nor an alias. Add it first.")


def _target(connection: Connection, target: Address) -> tuple[int | None, bool]:
    """Return the account id of a target, and whether its domain belongs to this system."""
    local_key, key = target.key
    domain_id = find_domain(connection, key)
    if domain_id is None:
        return None, False
    account = select(accounts.c.account_id).where(accounts.c.domain_id == domain_id, accounts.c.local_key == local_key)
    return connection.execute(account).scalar(), True


def _is_alias(connection: Connection, target: Address) -> bool:
    """Whether a target without an account is an alias, or an address with a +tag."""
    local_key, key = target.key
    names = {local_key, local_key.partition("+")[0]}
    asked = (
        select(addresses.c.local_key)
        .join(domains, domains.c.domain_id == addresses.c.domain_id)
        .where(domains.c.domain_key == key, addresses.c.local_key.in_(names))
        .limit(1)
    )
    return connection.execute(asked).scalar() is not None


def list_aliases(connection: Connection, domain: str | None) -> Sequence[AliasRow]:
    """List the aliases of a domain, or of all domains, within a transaction."""
    asked = (
        select(domains.c.name, domains.c.domain_key, addresses)
        .join(domains, domains.c.domain_id == addresses.c.domain_id)
        .order_by(domains.c.domain_key, addresses.c.local_key, addresses.c.number)
    )
    if domain is not None:
        if find_domain(connection, domain_key(domain)) is None:
            raise AdminError(f"there is no domain {domain}")
        asked = asked.where(domains.c.domain_key == domain_key(domain))
    found: dict[tuple[str, str], list[Address]] = {}
    names: dict[tuple[str, str], Address] = {}
    for row in connection.execute(asked).all():
        if (row.target_local_key, row.target_domain_key) == (row.local_key, row.domain_key):
            continue
        key = (row.domain_key, row.local_key)
        names[key] = Address(row.local_key, row.name)
        found.setdefault(key, []).append(Address(row.target_local, row.target_domain))
    return [AliasRow(names[key], tuple(targets)) for key, targets in found.items()]

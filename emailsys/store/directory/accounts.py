"""Administration of domains and accounts. Every change increments the generation.

Each account has its own address, and aliases refer to accounts by address. An alias whose target has no account yet is
unbound and receives nothing. `add_user` binds every alias with the new account as target. `add_domain` creates the
aliases postmaster and abuse. If postmaster@ the domain itself is the target, it is the own address of a future account.
When an account is removed, its aliases are unbound again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Select, delete, func, select, update
from zope.interface import implementer

from emailsys.interfaces import Fate
from emailsys.interfaces.operators import AdminError, DomainRow, IAccounts, UserRow
from emailsys.mail.address import ROLES, Address, domain_key
from emailsys.mail.quantities import counted
from emailsys.store.directory.additions import insert_domain, insert_user, put_credentials, refusal_of
from emailsys.store.directory.aliases import check_target
from emailsys.store.directory.changes import Changes, find_account, find_domain
from emailsys.store.directory.forwards import check_forward, put_forward, read_forward
from emailsys.store.directory.known_networks import delete_networks
from emailsys.store.directory.tokens import delete_tokens
from emailsys.store.ledger.endings import end_oldest, end_where
from emailsys.store.schema.columns import of_seconds
from emailsys.store.schema.tables import (
    accounts,
    addresses,
    credentials,
    delegated_senders,
    domains,
    forwards,
    maildrop,
)

# Messages that one transaction purges. That takes some milliseconds, which delay other mail.
_PURGED_AT_ONCE: Final = 250
_PURGED: Final = "the account was removed"


@implementer(IAccounts)
class Accounts:
    """Administration of domains and accounts. Each method is one transaction, except purging a maildrop."""

    def __init__(
        self,
        changes: Changes,
        purged: Callable[[], None],
        default_quota: int,
        now: Callable[[], float],
    ) -> None:
        """
        @param purged: called when bodies may have become free.
        @param default_quota: StoreSettings.default_quota.
        @param now: seconds since 1970.
        """
        self._changes = changes
        self._purged = purged
        #: May be replaced at any time.
        self.default_quota = default_quota
        self._now = now

    async def add_domain(self, name: str, postmaster: Address) -> None:
        """Add a domain with the aliases postmaster and abuse.

        @param postmaster: their target, in a domain of this system. Its account may be added later.
        """
        make_id = self._changes.database.ids.make
        await self._changes.run("add-domain", lambda connection: insert_domain(connection, make_id, name, postmaster))

    async def add_domains(self, rows: Sequence[tuple[str, Address]]) -> Sequence[str | None]:
        """Add domains with their postmasters in one commit. Returns for each row why it was refused, or None."""
        make_id = self._changes.database.ids.make

        def add(connection: Connection) -> Sequence[str | None]:
            return [refusal_of(insert_domain, connection, make_id, *row) for row in rows]

        return await self._changes.run("add-domains", add)

    async def list_domains(self) -> Sequence[DomainRow]:
        """List domains in the order in which they were added."""
        return await self._changes.database.read("list-domains", list_domains)

    async def remove_domain(self, name: str) -> None:
        """Remove a domain. Refused while it has users, or while an alias of another domain refers to it."""
        key = domain_key(name)

        def remove(connection: Connection) -> None:
            domain_id = find_domain(connection, key)
            if domain_id is None:
                raise AdminError(f"there is no domain {name}")
            users = connection.execute(select(func.count()).where(accounts.c.domain_id == domain_id)).scalar_one()
            if users:
                raise AdminError(f"{name} has {counted(users, 'user')}; remove them first")
            other = connection.execute(
                select(domains.c.name, addresses.c.local_key)
                .join(addresses, addresses.c.domain_id == domains.c.domain_id)
                .where(addresses.c.target_domain_key == key, addresses.c.domain_id != domain_id)
                .order_by(addresses.c.local_key.not_in(ROLES))
                .limit(1)
            ).one_or_none()
            if other is not None and other.local_key in ROLES:
                raise AdminError(f"the postmaster of {other.name} is in {name}. Remove {other.name} first.")
            if other is not None:
                raise AdminError(f"{other.local_key}@{other.name} has a target in {name}. Change that alias first.")
            connection.execute(delete(addresses).where(addresses.c.domain_id == domain_id))
            connection.execute(delete(domains).where(domains.c.domain_id == domain_id))

        await self._changes.run("remove-domain", remove)

    async def add_user(self, address: Address, credentials: Sequence[tuple[str, str]]) -> None:
        """Add an account, and bind the aliases that have it as target."""
        make_id = self._changes.database.ids.make
        await self._changes.run("add-user", lambda connection: insert_user(connection, make_id, address, credentials))

    async def add_users(self, rows: Sequence[tuple[Address, Sequence[tuple[str, str]]]]) -> Sequence[str | None]:
        """Add accounts with their credentials in one commit. Returns for each row why it was refused, or None."""
        make_id = self._changes.database.ids.make

        def add(connection: Connection) -> Sequence[str | None]:
            return [refusal_of(insert_user, connection, make_id, *row) for row in rows]

        return await self._changes.run("add-users", add)

    async def list_users(self, domain: str | None) -> Sequence[UserRow]:
        """List accounts by domain, then local part."""
        return await self._changes.database.read(
            "list-users", lambda connection: _list_users(connection, domain, self.default_quota)
        )

    async def find_user(self, address: Address) -> UserRow | None:
        """Return one account as `list_users` does, None if it does not exist."""

        def find(connection: Connection) -> UserRow | None:
            found = find_account(connection, address)
            if found is None:
                return None
            asked = _asked_users().where(accounts.c.account_id == found.account_id)
            return _user_row(connection, connection.execute(asked).one(), self.default_quota)

        return await self._changes.database.read("find-user", find)

    async def remove_user(self, address: Address, purge: bool) -> None:
        """Remove an account. Refused while it has mail, or while it is the postmaster of a domain.

        The last user of a domain can be removed although it is the postmaster, because otherwise no domain could be.

        @param purge: whether to delete the mail first, in steps between which other mail is processed.
        @raise StoreError: the store failed. Some mail may be deleted, but the account still exists.
        """
        if purge:
            await self._purge(address)

        def remove(connection: Connection) -> None:
            account = _removable(connection, address)
            drop = maildrop.c.account_id == account.account_id
            mail = connection.execute(select(func.count()).where(drop)).scalar_one()
            if mail and not purge:
                raise AdminError(f"{address} has {counted(mail, 'message')}. Use --purge to delete the mail, too.")
            # Mail that arrived since the last step.
            end_where(connection, drop, Fate.DROPPED, self._microseconds(), _PURGED)
            connection.execute(delete(credentials).where(credentials.c.account_id == account.account_id))
            delegated = delegated_senders.c.account_id == account.account_id
            connection.execute(delete(delegated_senders).where(delegated))
            connection.execute(delete(forwards).where(forwards.c.account_id == account.account_id))
            delete_networks(connection, account.account_id)
            delete_tokens(connection, account.account_id)
            own = (addresses.c.domain_id == account.domain_id) & (addresses.c.local_key == account.local_key)
            connection.execute(delete(addresses).where(own, addresses.c.local_key.not_in(ROLES)))
            leading = addresses.c.account_id == account.account_id
            connection.execute(update(addresses).where(leading).values(account_id=None))
            connection.execute(delete(accounts).where(accounts.c.account_id == account.account_id))

        await self._changes.run("remove-user", remove)
        self._purged()

    async def _purge(self, address: Address) -> None:
        placeholder = self._changes.database.engine.placeholder

        def some(connection: Connection) -> int:
            account_id, now = _removable(connection, address).account_id, self._microseconds()
            return end_oldest(connection, placeholder, account_id, _PURGED_AT_ONCE, Fate.DROPPED, now, _PURGED)

        while await self._changes.database.run("purge", some) == _PURGED_AT_ONCE:
            self._purged()

    def _microseconds(self) -> int:
        return of_seconds(self._now())

    async def set_credentials(self, address: Address, credentials: Sequence[tuple[str, str]]) -> None:
        """Replace the credentials of an account, and forget its networks: a thief may have used the old password."""

        def put(connection: Connection) -> None:
            account_id = int(_known(connection, address).account_id)
            put_credentials(connection, account_id, credentials)
            own = accounts.c.account_id == account_id
            connection.execute(update(accounts).where(own).values(password_number=accounts.c.password_number + 1))
            delete_networks(connection, account_id)

        await self._changes.run("set-credentials", put)

    async def renew_credentials(self, account_id: int, old: tuple[str, str], made: Sequence[tuple[str, str]]) -> bool:
        """Replace a secret by others if it is still the old one. Returns whether it was."""

        def renew(connection: Connection) -> bool:
            own = credentials.c.account_id == account_id
            rows = connection.execute(select(credentials.c.scheme, credentials.c.secret).where(own))
            stored = {row.scheme: row.secret for row in rows}
            if stored.get(old[0]) != old[1]:
                return False
            del stored[old[0]]
            put_credentials(connection, account_id, list((stored | dict(made)).items()))
            return True

        return await self._changes.run("renew-credentials", renew)

    async def set_forward(self, address: Address, targets: Sequence[Address], keeps_copy: bool) -> None:
        """Forward the mail of an account, with or without a copy in its maildrop. Without targets, stop forwarding."""
        check_forward(address, targets)
        unique = tuple({target.key: target for target in targets}.values())

        def put(connection: Connection) -> None:
            account = _known(connection, address)
            for target in unique:
                check_target(connection, target)
            put_forward(connection, account.account_id, unique, keeps_copy)

        await self._changes.run("set-forward", put)

    async def set_enabled(self, address: Address, enabled: bool) -> None:
        """Enable or disable an account. A disabled account cannot log in, but still receives mail."""

        def put(connection: Connection) -> None:
            account = _known(connection, address)
            connection.execute(
                update(accounts).where(accounts.c.account_id == account.account_id).values(enabled=enabled)
            )

        await self._changes.run("set-enabled", put)


def _known(connection: Connection, address: Address) -> Any:
    account = find_account(connection, address)
    if account is None:
        raise AdminError(f"there is no user {address}")
    return account


def _removable(connection: Connection, address: Address) -> Any:
    """Return the row of an account that can be removed.

    @raise AdminError: there is no such account, or a domain would lose its postmaster.
    """
    account = _known(connection, address)
    leading = addresses.c.account_id == account.account_id
    for domain in connection.execute(
        select(domains)
        .join(addresses, addresses.c.domain_id == domains.c.domain_id)
        .where(leading, addresses.c.local_key == "postmaster")
        .order_by(domains.c.domain_id)
    ).all():
        others = connection.execute(
            select(func.count()).where(
                accounts.c.domain_id == domain.domain_id, accounts.c.account_id != account.account_id
            )
        ).scalar_one()
        if domain.domain_id != account.domain_id or others:
            raise AdminError(f"{address} is the postmaster of {domain.name}")
    return account


def list_domains(connection: Connection) -> Sequence[DomainRow]:
    """List domains in the order in which they were added, within a transaction."""
    users = select(func.count()).where(accounts.c.domain_id == domains.c.domain_id).scalar_subquery()
    octets = (
        select(func.sum(maildrop.c.octets))
        .join(accounts, accounts.c.account_id == maildrop.c.account_id)
        .where(accounts.c.domain_id == domains.c.domain_id)
        .scalar_subquery()
    )
    found = connection.execute(
        select(
            domains.c.name,
            domains.c.quota,
            addresses.c.target_local,
            addresses.c.target_domain,
            users.label("users"),
            octets.label("octets"),
        )
        .outerjoin(
            addresses,
            (addresses.c.domain_id == domains.c.domain_id)
            & (addresses.c.local_key == "postmaster")
            & (addresses.c.number == 0),
        )
        .order_by(domains.c.domain_id)
    ).all()
    return [
        DomainRow(
            row.name,
            None if row.target_local is None else Address(row.target_local, row.target_domain),
            row.users,
            int(row.octets or 0),
            int(row.quota or 0),
        )
        for row in found
    ]


def _asked_users() -> Select[Any]:
    return (
        select(
            accounts.c.account_id,
            accounts.c.local,
            accounts.c.domain,
            accounts.c.enabled,
            accounts.c.quota,
            accounts.c.forwarding,
            func.count(maildrop.c.row_id).label("messages"),
            func.coalesce(func.sum(maildrop.c.octets), 0).label("octets"),
        )
        .join(domains, domains.c.domain_id == accounts.c.domain_id)
        # A maildrop is a range of its table, so maildrops of other domains are not read.
        .outerjoin(maildrop, maildrop.c.account_id == accounts.c.account_id)
        .group_by(accounts.c.account_id, domains.c.domain_key)
        .order_by(domains.c.domain_key, accounts.c.local_key)
    )


def _list_users(connection: Connection, domain: str | None, default_quota: int) -> Sequence[UserRow]:
    asked = _asked_users()
    if domain is not None:
        if find_domain(connection, domain_key(domain)) is None:
            raise AdminError(f"there is no domain {domain}")
        asked = asked.where(domains.c.domain_key == domain_key(domain))
    return [_user_row(connection, row, default_quota) for row in connection.execute(asked).all()]


def _user_row(connection: Connection, row: Any, default_quota: int) -> UserRow:
    return UserRow(
        Address(row.local, row.domain),
        bool(row.enabled),
        int(row.messages),
        int(row.octets),
        default_quota if row.quota is None else int(row.quota),
        read_forward(connection, row),
    )

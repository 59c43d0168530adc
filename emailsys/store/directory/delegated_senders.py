"""Administration of delegated senders: addresses that an account may send from besides its own."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select
from zope.interface import implementer

from emailsys.interfaces.operators import AdminError, IDelegatedSenders
from emailsys.mail.address import Address
from emailsys.store.directory.changes import Changes
from emailsys.store.schema.tables import accounts, delegated_senders, domains


@implementer(IDelegatedSenders)
class DelegatedSenders:
    """Administration of delegated senders. Each method is one transaction."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes

    async def allow(self, account: Address, senders: Sequence[Address]) -> Sequence[Address]:
        """Allow an account to send from addresses."""

        def add(connection: Connection) -> Sequence[Address]:
            account_id = _account_id(connection, account)
            known = {address.key for address in _senders(connection, account_id)}
            for sender in senders:
                if sender.key not in known:
                    known.add(sender.key)
                    local_key, domain_key = sender.key
                    connection.execute(
                        insert(delegated_senders).values(
                            account_id=account_id,
                            domain_key=domain_key,
                            local_key=local_key,
                            local=sender.local,
                            domain=sender.domain,
                        )
                    )
            return _senders(connection, account_id)

        return await self._changes.run("allow-senders", add)

    async def forbid(self, account: Address, senders: Sequence[Address]) -> Sequence[Address]:
        """Take back what `allow` has allowed."""

        def remove(connection: Connection) -> Sequence[Address]:
            account_id = _account_id(connection, account)
            for sender in senders:
                local_key, domain_key = sender.key
                removed = connection.execute(
                    delete(delegated_senders).where(
                        delegated_senders.c.account_id == account_id,
                        delegated_senders.c.domain_key == domain_key,
                        delegated_senders.c.local_key == local_key,
                    )
                )
                if not removed.rowcount:
                    shown = f"{sender.local}@{sender.domain}" if sender.domain else "all addresses"
                    raise AdminError(f"{account} has no delegation for {shown}")
            return _senders(connection, account_id)

        return await self._changes.run("forbid-senders", remove)

    async def senders(self, account: Address) -> Sequence[Address]:
        """Return the addresses delegated to an account, by domain and local part."""
        return await self._changes.database.read(
            "delegated-senders", lambda connection: _senders(connection, _account_id(connection, account))
        )


def _account_id(connection: Connection, account: Address) -> int:
    local_key, domain_key = account.key
    found = connection.execute(
        select(accounts.c.account_id)
        .join(domains, domains.c.domain_id == accounts.c.domain_id)
        .where(accounts.c.local_key == local_key, domains.c.domain_key == domain_key)
    ).scalar()
    if found is None:
        raise AdminError(f"there is no user {account}")
    return int(found)


def _senders(connection: Connection, account_id: int) -> Sequence[Address]:
    asked = (
        select(delegated_senders.c.local, delegated_senders.c.domain)
        .where(delegated_senders.c.account_id == account_id)
        .order_by(delegated_senders.c.domain_key, delegated_senders.c.local_key)
    )
    return [Address(row.local, row.domain) for row in connection.execute(asked).all()]

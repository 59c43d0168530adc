"""Quota warnings: messages to owners and postmasters, sent once each time a quota is nearly reached."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Table, select, update

from emailsys.interfaces import Notice
from emailsys.interfaces.operators import Usage
from emailsys.mail.address import Address
from emailsys.mail.envelope import Envelope, LocalRoute, Recipient, RemoteRoute, Route, own_parameters
from emailsys.mail.quota_notice import NearlyFull, compose, compose_for_domain
from emailsys.store.commit.database import Database
from emailsys.store.commit.ids import id_text
from emailsys.store.commit.inserts import MessageInserts
from emailsys.store.commit.jobs import Rows
from emailsys.store.message.rows import notice_rows
from emailsys.store.schema.columns import of_seconds
from emailsys.store.schema.tables import accounts, addresses, domains


class QuotaWarnings:
    """Sends quota warnings. The store records who was warned until the maildrop is emptier again."""

    def __init__(self, database: Database, now: Callable[[], float], wanted: bool, refused: bool) -> None:
        """
        @param now: seconds since 1970.
        @param wanted: StoreSettings.quota_warning.
        @param refused: StoreSettings.refuse_over_quota.
        """
        self._database = database
        self._now = now
        self._wanted = wanted
        self._refused = refused
        self._inserts = MessageInserts(database.engine)

    async def set_nearly_full(self, account_id: int, address: Address, usage: Usage, nearly_full: bool) -> bool:
        """Record that an account is nearly full, or no longer. A warning is sent in the same commit.

        @return: whether a warning was sent.
        @raise StoreError: nothing was changed.
        """
        to = (Recipient(address, (LocalRoute(account_id),)),)
        return await self._set_nearly_full(
            accounts,
            accounts.c.account_id == account_id,
            nearly_full,
            lambda _: self._rows(address, usage, to, compose),
        )

    async def set_domain_nearly_full(self, domain_id: int, name: str, usage: Usage, nearly_full: bool) -> bool:
        """Record the same for a domain. The warning goes to the accounts and remote addresses of its postmaster.

        If the postmaster is an alias of another alias, no warning is sent: `policy` resolves aliases, on arrival.
        """
        postmaster = Address("postmaster", name)

        def rows(connection: Connection) -> Rows | None:
            routes = _postmaster_routes(connection, domain_id)
            return (
                self._rows(postmaster, usage, (Recipient(postmaster, routes),), compose_for_domain) if routes else None
            )

        return await self._set_nearly_full(domains, domains.c.domain_id == domain_id, nearly_full, rows)

    async def _set_nearly_full(
        self, table: Table, which: Any, nearly_full: bool, rows: Callable[[Connection], Rows | None]
    ) -> bool:
        if nearly_full and not self._wanted:
            return False
        change = update(table).where(which, table.c.quota_warned.is_not(nearly_full)).values(quota_warned=nearly_full)

        def put(connection: Connection) -> bool:
            # Another node may have done the same before.
            if not connection.execute(change).rowcount or not nearly_full:
                return False
            warning = rows(connection)
            if warning is not None:
                self._inserts.insert(connection, [warning])
            return warning is not None

        return await self._database.run("quota-warning", put)

    def _rows(
        self, address: Address, usage: Usage, to: tuple[Recipient, ...], composed: Callable[[NearlyFull], bytes]
    ) -> Rows:
        make = self._database.ids.make
        made_at = datetime.fromtimestamp(self._now(), UTC)
        unique = f"{id_text(make())}.quota"
        octets = composed(NearlyFull(address, usage.octets, usage.limit, self._refused, unique, made_at))
        envelope = Envelope(
            None,
            to,
            made_at,
            own_parameters(octets, address),
            message_id=f"<{unique}@{address.domain}>" if address.is_ascii else "",
        )
        rows = Rows("quota-warning", len(octets))
        notice_rows(rows, Notice(envelope, octets), make, of_seconds(self._now()), None)
        return rows


def _postmaster_routes(connection: Connection, domain_id: int) -> tuple[Route, ...]:
    """Return the direct routes of mail to the postmaster of a domain."""
    local_domains = domains.alias()
    found = connection.execute(
        select(addresses.c.account_id, addresses.c.target_local, addresses.c.target_domain, local_domains.c.domain_id)
        .outerjoin(local_domains, local_domains.c.domain_key == addresses.c.target_domain_key)
        .where(addresses.c.domain_id == domain_id, addresses.c.local_key == "postmaster")
        .order_by(addresses.c.number)
    ).all()
    routes: list[Route] = [LocalRoute(row.account_id) for row in found if row.account_id is not None]
    routes += [RemoteRoute(Address(row.target_local, row.target_domain)) for row in found if row.domain_id is None]
    return tuple(routes)

"""Tell the owner of a maildrop that it is nearly full, by a message in it: once, until it has been emptier."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Connection, update

from emailsys.interfaces import Notice
from emailsys.mail.address import Address
from emailsys.mail.envelope import BodyType, Envelope, LocalRoute, Recipient
from emailsys.mail.quota_notice import NearlyFull, compose
from emailsys.operations import Usage
from emailsys.store.addressing import notice_rows
from emailsys.store.database import Database
from emailsys.store.ids import id_text
from emailsys.store.inserting import Inserting
from emailsys.store.jobs import Rows
from emailsys.store.schema import accounts


class QuotaWarnings:
    """The store remembers who has been told, and forgets it in the commit that finds the maildrop emptier."""

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
        self._inserting = Inserting(database.engine)

    async def turn(self, account_id: int, address: Address, usage: Usage, nearly_full: bool) -> bool:
        """An account is nearly full now, or no longer. Returns whether it is told so, in the same commit.

        @raise StoreError: not now; nothing was changed.
        """
        if nearly_full and not self._wanted:
            return False
        rows = self._rows(account_id, address, usage) if nearly_full else None
        change = (
            update(accounts)
            .where(accounts.c.account_id == account_id, accounts.c.quota_warned.is_not(nearly_full))
            .values(quota_warned=nearly_full)
        )

        def put(connection: Connection) -> bool:
            # Another node may have been first.
            if not connection.execute(change).rowcount or rows is None:
                return False
            self._inserting.insert(connection, [rows])
            return True

        return await self._database.run("quota-warning", put)

    def _rows(self, account_id: int, address: Address, usage: Usage) -> Rows:
        make = self._database.ids.make
        made_at = datetime.fromtimestamp(self._now(), UTC)
        unique = f"{id_text(make())}.quota"
        octets = compose(NearlyFull(address, usage.octets, usage.limit, self._refused, unique, made_at))
        envelope = Envelope(
            None,
            (Recipient(address, (LocalRoute(account_id),)),),
            made_at,
            BodyType.SEVEN_BIT if octets.isascii() else BodyType.EIGHT_BIT_MIME,
            not address.is_ascii,
            message_id=f"<{unique}@{address.domain}>" if address.is_ascii else "",
        )
        rows = Rows("quota-warning", len(octets))
        notice_rows(rows, Notice(envelope, octets), make, int(self._now() * 1_000_000), None)
        return rows

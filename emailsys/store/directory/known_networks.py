"""Networks from which accounts have logged in, with the day of the last login."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, select, tuple_, update
from zope.interface import implementer

from emailsys.interfaces import IKnownNetworks, KnownNetwork
from emailsys.store.commit.database import Database
from emailsys.store.schema.tables import accounts, known_networks

_KEY = (known_networks.c.account_id, known_networks.c.network)
_NEWEST_FIRST = (known_networks.c.day.desc(), *_KEY)
_IS_CURRENT = tuple_(known_networks.c.account_id, known_networks.c.password_number).in_(
    select(accounts.c.account_id, accounts.c.password_number)
)


@implementer(IKnownNetworks)
class KnownNetworks:
    """The networks of all accounts. Several nodes may add to them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.is_shared = database.engine.over_network
        mark = database.engine.placeholder
        # Between a login and its write, another node may remove the account or replace its password.
        # Only placeholders are formatted in.
        self._note = (
            "INSERT INTO known_networks (account_id, network, password_number, day)"  # noqa: S608
            f" SELECT account_id, {mark}, password_number, {mark} FROM accounts"
            f" WHERE account_id = {mark} AND password_number = {mark}"
            " ON CONFLICT (account_id, network) DO UPDATE SET password_number = excluded.password_number, day ="
            " CASE WHEN excluded.day > known_networks.day THEN excluded.day ELSE known_networks.day END"
        )

    async def load(self, most: int, since: int = 0) -> Sequence[KnownNetwork]:
        """Return the most recently used networks, at most `most`, the least recently used one first.

        @param since: only those that were used on this day or later.
        """
        # A node may have written a login while another one replaced the password.
        current = select(known_networks).where(_IS_CURRENT, known_networks.c.day >= since)
        asked = current.order_by(*_NEWEST_FIRST).limit(most)

        def read(connection: Connection) -> list[KnownNetwork]:
            return [KnownNetwork(*row) for row in reversed(connection.execute(asked).all())]

        return await self._database.read("known-networks", read)

    async def note(self, logins: Sequence[KnownNetwork]) -> None:
        """Add networks, or move their day forward.

        Logins of accounts that no longer exist, and with passwords that were replaced, are ignored.
        """
        # In the order of the key, so that two nodes never wait for each other.
        ordered = sorted(logins, key=lambda login: (login.account_id, login.network))
        noted = [(login.network, login.day, login.account_id, login.password_number) for login in ordered]

        def note(connection: Connection) -> None:
            connection.exec_driver_sql(self._note, noted)

        if noted:
            await self._database.run("known-networks", note)

    async def prune(self, today: int, kept_days: int, most: int) -> None:
        """Delete networks that were last used more than `kept_days` ago, and the least recently used above `most`.

        Days after `today` are set to `today`. If all networks are too old, none is: the clock may be wrong.
        """
        since = today - kept_days
        surplus = select(*_KEY).order_by(*_NEWEST_FIRST).offset(most)

        def prune(connection: Connection) -> None:
            connection.execute(update(known_networks).where(known_networks.c.day > today).values(day=today))
            newest = connection.execute(select(func.max(known_networks.c.day))).scalar()
            if newest is not None and newest >= since:
                connection.execute(delete(known_networks).where(known_networks.c.day < since))
            connection.execute(delete(known_networks).where(~_IS_CURRENT))
            connection.execute(delete(known_networks).where(tuple_(*_KEY).in_(surplus)))

        await self._database.run("known-networks", prune)


def delete_networks(connection: Connection, account_id: int) -> None:
    """Delete the networks of an account."""
    connection.execute(delete(known_networks).where(known_networks.c.account_id == account_id))

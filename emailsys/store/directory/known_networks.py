"""Networks from which accounts have logged in, with the day of the last login."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, delete, func, select, tuple_, update
from zope.interface import implementer

from emailsys.interfaces import IKnownNetworks, KnownNetwork
from emailsys.store.commit.database import Database
from emailsys.store.schema.tables import accounts, known_networks

_KEY = (known_networks.c.account_id, known_networks.c.network)
_NEWEST_FIRST = (known_networks.c.day.desc(), *_KEY)


@implementer(IKnownNetworks)
class KnownNetworks:
    """The networks of all accounts. Several nodes may add to them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watchers: list[Callable[[int], None]] = []
        mark = database.engine.placeholder
        # An account may be removed between a login and its write. Only placeholders are formatted in.
        self._note = (
            "INSERT INTO known_networks (account_id, network, day)"  # noqa: S608
            f" SELECT account_id, {mark}, {mark} FROM accounts WHERE account_id = {mark}"
            " ON CONFLICT (account_id, network) DO UPDATE SET day ="
            " CASE WHEN excluded.day > known_networks.day THEN excluded.day ELSE known_networks.day END"
        )

    async def load(self, most: int) -> Sequence[KnownNetwork]:
        """Return the most recently used networks, at most `most`, the least recently used one first."""
        asked = select(known_networks).order_by(*_NEWEST_FIRST).limit(most)
        rows = await self._database.read("known-networks", lambda connection: connection.execute(asked).all())
        return [KnownNetwork(*row) for row in reversed(rows)]

    async def note(self, logins: Sequence[KnownNetwork]) -> None:
        """Add networks, or move their day forward. Logins of accounts that no longer exist are ignored."""
        # In the order of the key, so that two nodes never wait for each other.
        ordered = sorted(logins, key=lambda login: (login.account_id, login.network))
        noted = [(login.network, login.day, login.account_id) for login in ordered]

        def note(connection: Connection) -> None:
            connection.exec_driver_sql(self._note, noted)

        if noted:
            await self._database.run("known-networks", note)

    async def prune(self, today: int, kept_days: int, most: int) -> None:
        """Delete networks that were last used more than `kept_days` ago, and the least recently used above `most`.

        Days after `today` are set to `today`. If all networks are too old, none is: the clock may be wrong.
        """
        since = today - kept_days
        existing = select(accounts.c.account_id)
        surplus = select(*_KEY).order_by(*_NEWEST_FIRST).offset(most)

        def prune(connection: Connection) -> None:
            connection.execute(update(known_networks).where(known_networks.c.day > today).values(day=today))
            newest = connection.execute(select(func.max(known_networks.c.day))).scalar()
            if newest is not None and newest >= since:
                connection.execute(delete(known_networks).where(known_networks.c.day < since))
            # Another node may have written a login while the account was removed.
            connection.execute(delete(known_networks).where(known_networks.c.account_id.not_in(existing)))
            connection.execute(delete(known_networks).where(tuple_(*_KEY).in_(surplus)))

        await self._database.run("known-networks", prune)

    def call_when_forgotten(self, forgotten: Callable[[int], None]) -> None:
        """Call the function with each account whose networks were deleted with it, or with its password."""
        self._watchers.append(forgotten)

    def delete(self, connection: Connection, account_id: int) -> None:
        """Delete the networks of an account."""
        connection.execute(delete(known_networks).where(known_networks.c.account_id == account_id))

    def forgotten(self, account_id: int) -> None:
        """Call the functions of `call_when_forgotten`, after the networks of an account were deleted."""
        for watcher in self._watchers:
            watcher(account_id)

"""Networks from which accounts have logged in, with the day of the last login."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

from sqlalchemy import Connection, delete, select, tuple_
from zope.interface import implementer

from emailsys.interfaces import IKnownNetworks, KnownNetwork
from emailsys.store.commit.database import Database
from emailsys.store.schema.tables import known_networks

_KEY = (known_networks.c.account_id, known_networks.c.network)
_NEWEST_FIRST = (known_networks.c.day.desc(), *_KEY)


@implementer(IKnownNetworks)
class KnownNetworks:
    """The networks of all accounts. Several nodes may add to them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        values = ", ".join([database.engine.placeholder] * len(known_networks.columns))
        # Only placeholders are formatted in.
        self._note = (
            f"INSERT INTO known_networks (account_id, network, day) VALUES ({values})"  # noqa: S608
            " ON CONFLICT (account_id, network) DO UPDATE SET day ="
            " CASE WHEN excluded.day > known_networks.day THEN excluded.day ELSE known_networks.day END"
        )

    async def load(self, most: int) -> Sequence[KnownNetwork]:
        """Return the networks that were used last, at most `most`, the longest unused first."""
        asked = select(known_networks).order_by(*_NEWEST_FIRST).limit(most)
        rows = await self._database.read("known-networks", lambda connection: connection.execute(asked).all())
        return [KnownNetwork(*row) for row in reversed(rows)]

    async def note(self, logins: Sequence[KnownNetwork]) -> None:
        """Add networks, or move their day forward."""
        # In the order of the key, so that two nodes never wait for each other.
        noted = [astuple(login) for login in sorted(logins, key=lambda login: (login.account_id, login.network))]

        def note(connection: Connection) -> None:
            connection.exec_driver_sql(self._note, noted)

        if noted:
            await self._database.run("known-networks", note)

    async def prune(self, since: int, most: int) -> None:
        """Delete networks that were last used before the day `since`, and the longest unused above `most`."""
        surplus = select(*_KEY).order_by(*_NEWEST_FIRST).offset(most)

        def prune(connection: Connection) -> None:
            connection.execute(delete(known_networks).where(known_networks.c.day < since))
            connection.execute(delete(known_networks).where(tuple_(*_KEY).in_(surplus)))

        await self._database.run("known-networks", prune)

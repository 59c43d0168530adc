"""Counts of what each sender sent to other hosts, by hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple

from sqlalchemy import Connection, delete, select
from zope.interface import implementer

from emailsys.interfaces import ISentCounts, SentCount
from emailsys.store.commit.database import Database
from emailsys.store.schema.tables import sent_counts


@implementer(ISentCounts)
class SentCounts:
    """The counts of all senders. Several nodes may add to them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        values = ", ".join([database.engine.placeholder] * len(sent_counts.columns))
        # Only placeholders are formatted in.
        self._add = (
            f"INSERT INTO sent_counts (sender, hour, messages, recipients, told) VALUES ({values})"  # noqa: S608
            " ON CONFLICT (sender, hour) DO UPDATE SET messages = sent_counts.messages + excluded.messages,"
            " recipients = sent_counts.recipients + excluded.recipients,"
            " told = CASE WHEN excluded.told > sent_counts.told THEN excluded.told ELSE sent_counts.told END"
        )

    async def load(self, since: int) -> Sequence[SentCount]:
        """Return the counts of the hour `since` and later hours."""
        asked = select(sent_counts).where(sent_counts.c.hour >= since)
        rows = await self._database.read("sent-counts", lambda connection: connection.execute(asked).all())
        return [SentCount(*row) for row in rows]

    async def add(self, counts: Sequence[SentCount], since: int) -> None:
        """Add to the counts, and delete those of hours before `since`."""
        # In the order of the key, so that two nodes never wait for each other.
        added = [astuple(count) for count in sorted(counts, key=lambda count: (count.sender, count.hour))]

        def add(connection: Connection) -> None:
            connection.execute(delete(sent_counts).where(sent_counts.c.hour < since))
            if added:
                connection.exec_driver_sql(self._add, added)

        await self._database.run("sent-counts", add)

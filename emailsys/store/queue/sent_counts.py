"""Counts of what each sender sent to other hosts, by hour."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, replace
from typing import TypeVar

from sqlalchemy import Connection, delete, select
from zope.interface import implementer

from emailsys.interfaces import ISentCounts, SentCount
from emailsys.store.commit.database import Database
from emailsys.store.schema.tables import sent_counts

T = TypeVar("T")


@implementer(ISentCounts)
class SentCounts:
    """The counts of all senders. Several nodes may add to them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        #: Whether other nodes may count the same senders.
        self.is_shared = database.engine.locks_rows
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

        def add(connection: Connection) -> None:
            connection.execute(delete(sent_counts).where(sent_counts.c.hour < since))
            self._add_to(connection, counts)

        await self._database.run("sent-counts", add)

    def _add_to(self, connection: Connection, counts: Sequence[SentCount]) -> None:
        # In the order of the key, so that two nodes never wait for each other.
        added = [astuple(count) for count in sorted(counts, key=lambda count: (count.sender, count.hour))]
        if added:
            connection.exec_driver_sql(self._add, added)

    async def count(
        self,
        senders: Sequence[str],
        hour: int,
        since: int,
        decide: Callable[[Sequence[SentCount]], tuple[Sequence[SentCount], T]],
    ) -> T:
        """Add to the counts of some senders, depending on what these are, while no other node does."""

        def count(connection: Connection) -> T:
            # Locks the rows of the present hour: another node that counts one of these senders waits for the commit.
            self._add_to(connection, [SentCount(sender, hour, 0, 0) for sender in senders])
            asked = select(sent_counts).where(sent_counts.c.sender.in_(senders), sent_counts.c.hour >= since)
            found = [SentCount(*row) for row in connection.execute(asked)]
            ahead = [count for count in found if count.hour > hour + 1]
            if ahead:
                # From a clock that was wrong. They count as those of the present hour, and end with it.
                late = sent_counts.c.hour > hour + 1
                connection.execute(delete(sent_counts).where(sent_counts.c.sender.in_(senders), late))
                self._add_to(connection, [replace(count, hour=hour) for count in ahead])
            added, result = decide(found)
            self._add_to(connection, added)
            connection.execute(delete(sent_counts).where(sent_counts.c.hour < since))
            return result

        return await self._database.run("sent-counts", count)

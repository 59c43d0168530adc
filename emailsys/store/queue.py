"""Lease recipients on other hosts to who delivers, and settle what came of it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select, update
from zope.interface import implementer

from emailsys.interfaces import IQueue, QueueRow, Settlement, StoreError
from emailsys.mail.address import Address
from emailsys.mail.envelope import BodyType
from emailsys.store.bodies import read_piece
from emailsys.store.database import Database
from emailsys.store.ids import id_text
from emailsys.store.reclaim import Sweeper
from emailsys.store.schema import messages, queue, reclaim

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@implementer(IQueue)
class Queue:
    """Recipients on other hosts that wait. The intake puts them in, with their message."""

    def __init__(self, database: Database, sweeper: Sweeper, now: Callable[[], float] = time.time) -> None:
        self._database = database
        self._sweeper = sweeper
        self._now = now

    def _microseconds(self) -> int:
        return int(self._now() * 1_000_000)

    async def lease(self, limit: int, seconds: float) -> Sequence[QueueRow]:
        """Take rows that are due; nobody else gets them for so many seconds."""
        lease = self._database.ids.make()
        now = self._microseconds()

        def take(connection: Connection) -> Sequence[QueueRow]:
            due = (
                select(queue, messages)
                .join(messages, messages.c.message_id == queue.c.message_id)
                .where(queue.c.due_at <= now)
                .order_by(queue.c.due_at, queue.c.row_id)
                .limit(limit)
                # Rows that another node is just taking are none of ours. SQLite has one writer and ignores it.
                .with_for_update(of=queue, skip_locked=True)
            )
            rows = connection.execute(due).mappings().all()
            if rows:
                connection.execute(
                    update(queue)
                    .where(queue.c.row_id.in_([row[queue.c.row_id] for row in rows]))
                    .values(state="leased", lease=lease, due_at=now + int(seconds * 1_000_000))
                )
            return [
                QueueRow(
                    row_id=row[queue.c.row_id],
                    lease=lease,
                    queue_id=id_text(row[messages.c.message_id]),
                    reverse_path=(
                        None
                        if row[messages.c.reverse_domain] is None
                        else Address(row[messages.c.reverse_local], row[messages.c.reverse_domain])
                    ),
                    forward_path=Address(row[queue.c.forward_local], row[queue.c.forward_domain]),
                    arrived_at=_EPOCH + row[messages.c.arrived_at] * _MICROSECOND,
                    octets=row[messages.c.octets],
                    body=BodyType(row[messages.c.body_type]),
                    smtputf8=bool(row[messages.c.smtputf8]),
                    attempts=row[queue.c.attempts],
                )
                for row in rows
            ]

        return await self._database.run("lease", take)

    async def settle(self, settlements: Sequence[Settlement]) -> int:
        """Record attempts in one commit; returns for how many the lease still held."""

        def record(connection: Connection) -> int:
            settled = 0
            for settlement in settlements:
                ours = (queue.c.row_id == settlement.row.row_id) & (queue.c.lease == settlement.row.lease)
                if settlement.due_at is not None:
                    settled += connection.execute(
                        update(queue)
                        .where(ours)
                        .values(
                            state="waiting",
                            lease=None,
                            due_at=(settlement.due_at - _EPOCH) // _MICROSECOND,
                            attempts=queue.c.attempts + 1,
                            last_reply=settlement.reply,
                        )
                    ).rowcount
                    continue
                connection.execute(
                    insert(reclaim).from_select(
                        ["row_id", "message_id"], select(queue.c.row_id, queue.c.message_id).where(ours)
                    )
                )
                settled += connection.execute(delete(queue).where(ours)).rowcount
            return settled

        settled = await self._database.run("settle", record)
        self._sweeper.wake()
        return settled

    async def release(self, rows: Sequence[QueueRow]) -> None:
        """Give leased rows back without an attempt: they are due at once."""
        now = self._microseconds()

        def give_back(connection: Connection) -> None:
            for row in rows:
                connection.execute(
                    update(queue)
                    .where(queue.c.row_id == row.row_id, queue.c.lease == row.lease)
                    .values(state="waiting", lease=None, due_at=now)
                )

        await self._database.run("release", give_back)

    async def next_due(self) -> datetime | None:
        """When the next row is due or its lease ends."""
        due_at = await self._database.read(
            "next-due", lambda connection: connection.execute(select(func.min(queue.c.due_at))).scalar()
        )
        return None if due_at is None else _EPOCH + due_at * _MICROSECOND

    async def pieces(self, row: QueueRow) -> AsyncIterator[bytes]:
        """The body as it was accepted, each piece read in a transaction of its own."""
        asked = (
            select(messages.c.message_id, messages.c.pieces)
            .join(queue, queue.c.message_id == messages.c.message_id)
            .where(queue.c.row_id == row.row_id)
        )
        found = await self._database.read("queue-row", lambda connection: connection.execute(asked).one_or_none())
        if found is None:
            raise StoreError("the recipient is settled; its message may be gone")
        for number in range(found.pieces):
            content, _dots = await read_piece(self._database, found.message_id, number)
            yield content

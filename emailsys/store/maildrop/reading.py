"""Reading of maildrops without their locks, for browsers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, func, select
from zope.interface import implementer

from emailsys.interfaces import BEFORE_ALL, Fate, IMaildropReading, Listed, StoreError
from emailsys.interfaces.operators import EventKind
from emailsys.store.body.pieces import LaterPieces
from emailsys.store.commit.database import Database
from emailsys.store.commit.ids import id_number, id_text
from emailsys.store.ledger.endings import end_by_ids
from emailsys.store.maildrop.first_piece import FirstPiece, select_messages
from emailsys.store.maildrop.maildrop import Maildrops
from emailsys.store.schema import tables
from emailsys.store.schema.columns import moment

# The reason in the ledger.
_BY_BROWSER: Final = "in the web face"
_DELETED: Final = "the message is deleted"
_DROP: Final = tables.maildrop
_LISTED: Final = select(_DROP.c.row_id, _DROP.c.message_id, _DROP.c.octets, tables.messages.c.arrived_at).join_from(
    _DROP, tables.messages, tables.messages.c.message_id == _DROP.c.message_id
)


def _numbers(uids: Collection[str]) -> list[int]:
    return [number for uid in uids if (number := id_number(uid)) is not None]


def _listed(row: Any) -> Listed:
    return Listed(id_text(row.row_id), id_text(row.message_id), row.octets, moment(row.arrived_at))


@implementer(IMaildropReading)
class MaildropReading:
    """Reads maildrops. Each read is one short transaction, so that no checkpoint waits for a browser."""

    def __init__(self, database: Database, maildrops: Maildrops) -> None:
        self._database = database
        self._maildrops = maildrops

    async def page(self, account_id: int, count: int, before: str = "", after: str = "") -> Sequence[Listed]:
        """Return the messages next to a unique-id, by a range of the primary key."""
        asked = _LISTED.where(_DROP.c.account_id == account_id).limit(count)
        least, most = -1 if after == BEFORE_ALL else id_number(after), id_number(before)
        if (after and least is None) or (before and most is None):
            return ()
        if most is not None:
            asked = asked.where(_DROP.c.row_id < most)
        if least is not None:
            # The nearest ones are the first in ascending order.
            asked = asked.where(_DROP.c.row_id > least).order_by(_DROP.c.row_id)
        else:
            asked = asked.order_by(_DROP.c.row_id.desc())
        rows = await self._database.read("page", lambda connection: connection.execute(asked).all())
        return tuple(sorted(map(_listed, rows), key=lambda one: one.uid, reverse=True))

    async def find(self, account_id: int, uid: str) -> Listed | None:
        """Return one message."""
        asked = _LISTED.where(_DROP.c.account_id == account_id, _DROP.c.row_id == id_number(uid))
        row = await self._database.read("find", lambda connection: connection.execute(asked).one_or_none())
        return None if row is None else _listed(row)

    async def heads(self, account_id: int, uids: Sequence[str], octets: int) -> Mapping[str, bytes]:
        """Return the beginnings of messages."""
        content = func.substr(tables.bodies.c.content, 1, octets)
        asked = (
            select(_DROP.c.row_id, _DROP.c.prefix, content)
            .join_from(_DROP, tables.bodies, tables.bodies.c.body_id == _DROP.c.message_id)
            .where(_DROP.c.account_id == account_id, _DROP.c.row_id.in_(_numbers(uids)))
        )
        rows = await self._database.read("heads", lambda connection: connection.execute(asked).all())
        return {id_text(row[0]): (bytes(row[1]) + bytes(row[2]))[:octets] for row in rows}

    async def read(self, account_id: int, uids: Collection[str]) -> frozenset[str]:
        """Return the messages with an event that says so."""
        events = tables.events
        row_ids = _numbers(uids)
        asked = (
            select(events.c.row_id)
            .join_from(_DROP, events, events.c.message_id == _DROP.c.message_id)
            .where(
                _DROP.c.account_id == account_id,
                _DROP.c.row_id.in_(row_ids),
                events.c.row_id == _DROP.c.row_id,
                events.c.kind == EventKind.FETCHED.value,
            )
        )
        found = await self._database.read("read", lambda connection: connection.execute(asked).scalars().all())
        return frozenset(map(id_text, found))

    async def pieces(self, account_id: int, uid: str) -> AsyncIterator[bytes]:
        """Read a message in pieces, each compared with its checksum."""
        row_id = id_number(uid)
        octets_of = select(_DROP.c.octets).where(_DROP.c.account_id == account_id, _DROP.c.row_id == row_id)
        statement = select_messages(self._database.engine.placeholder, 1)

        def fetch(connection: Connection) -> FirstPiece | None:
            octets = connection.execute(octets_of).scalar()
            row = None if octets is None else connection.exec_driver_sql(statement, (account_id, row_id)).one_or_none()
            if octets is None or row is None:
                return None
            return FirstPiece(octets, row)

        first = await self._database.read("message", fetch)
        if first is None:
            raise StoreError(_DELETED)
        if first.wrong:
            raise self._database.damage.report(first.body_id, first.wrong.format(0))
        rest = LaterPieces(self._database, first.body_id, first.count, first.rest)
        rest.check_size()
        for piece, _dots in first.first:
            yield piece
        for number in range(1, first.count):
            yield (await rest.read(number))[0]

    async def note_read(self, account_id: int, uid: str) -> None:
        """Record the event of a fetch, once."""
        found = await self.find(account_id, uid)
        if found is None or await self.read(account_id, [uid]):
            return
        pair = [(number, message) for number in _numbers([uid]) for message in _numbers([found.queue_id])]
        now = self._maildrops.microseconds()
        await self._database.run("read", lambda connection: self._maildrops.record_fetched(connection, pair, now))

    async def delete(self, account_id: int, uids: Collection[str]) -> int:
        """Delete messages under the lock."""
        row_ids, now = _numbers(uids), self._maildrops.microseconds()
        placeholder = self._database.engine.placeholder

        def write(connection: Connection) -> int:
            self._maildrops.check_fence(connection, account_id, fence)
            return end_by_ids(connection, placeholder, account_id, row_ids, Fate.DELETED, now, _BY_BROWSER)

        fence = await self._maildrops.lock(account_id)
        try:
            ended: int = await self._database.run("delete", write)
        finally:
            self._maildrops.unlock(account_id)
        self._maildrops.wake_sweeper()
        return ended

"""Reads the keys of messages that were sent by HTTP."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, select
from zope.interface import implementer

from emailsys.interfaces import ISentKeys, SentKey
from emailsys.store.commit.database import Database
from emailsys.store.commit.ids import first_id_at, id_text
from emailsys.store.ledger.events import SENT_KEY
from emailsys.store.schema.columns import microseconds
from emailsys.store.schema.tables import HAS_SENT_KEY, messages

# Messages that one read looks at.
_SCANNED: Final = 5_000

#: The highest id of a part, None after the last one, and the keys in it.
Part = tuple[int | None, list[SentKey]]


@implementer(ISentKeys)
class SentKeys:
    """The keys stand in the rows of their messages.

    SQLite has no index of them, which each message that is received by SMTP would have to pass: they are read once, at
    the first use. A shared store is read with each keyed message, because other nodes add keys, so PostgreSQL has one.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def is_shared(self) -> bool:
        """Whether other daemons may use the same store."""
        return self._database.engine.over_network

    async def since(self, at: datetime) -> Sequence[SentKey]:
        """Return the keys of the messages since a time, part by part."""
        read_part = _read_indexed if self.is_shared else _read_all
        found: list[SentKey] = []
        least = first_id_at(microseconds(at))
        while True:
            highest, part = await self._database.read("sent-keys", partial(read_part, least))
            found += part
            if highest is None:
                return found
            least = highest + 1


def _read_indexed(least: int, connection: Connection) -> Part:
    """Read the next messages that have a key."""
    rows = connection.execute(keyed_messages(least)).all()
    return (rows[-1].message_id if len(rows) == _SCANNED else None), _keys(rows)


def _read_all(least: int, connection: Connection) -> Part:
    """Read the keys among the next messages."""
    ids = select(messages.c.message_id).where(messages.c.message_id >= least).order_by(messages.c.message_id)
    # The last row of a full part.
    highest = connection.execute(ids.offset(_SCANNED - 1).limit(1)).scalar()
    part = _messages(least).limit(_SCANNED).subquery()
    return highest, _keys(connection.execute(select(part).where(HAS_SENT_KEY)).all())


def keyed_messages(least: int) -> Any:
    """Return the statement that reads the next messages that have a key."""
    return _messages(least).where(HAS_SENT_KEY).limit(_SCANNED)


def _messages(least: int) -> Any:
    columns = messages.c.message_id, messages.c.header_id, messages.c.octets, messages.c.client
    return select(*columns).where(messages.c.message_id >= least).order_by(messages.c.message_id)


def _keys(rows: Sequence[Any]) -> list[SentKey]:
    keys = [(json.loads(row.client).get(SENT_KEY), row) for row in rows]
    return [SentKey(key, id_text(row.message_id), row.header_id or "", row.octets) for key, row in keys if key]

"""Get past rows that cannot be read, and name the messages among them from the tables that can."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, select, union

from emailsys.interfaces import StoreDamaged, StoreError
from emailsys.store.commit.database import Database
from emailsys.store.schema.tables import bodies, generation, maildrop, messages, queue

T = TypeVar("T")

# An id above all.
ABOVE: Final = (1 << 63) - 1
# Messages that are named of one gap.
_NAMED: Final = 10_000
# Where ids of messages stand.
_IDS: Final = (messages.c.message_id, bodies.c.body_id, maildrop.c.message_id, queue.c.message_id)


async def read_or_damaged(database: Database, description: str, function: Callable[[Connection], T]) -> T:
    """Read; where one place of the disk cannot be read and the store answers otherwise, that is damage, too.

    @raise StoreDamaged: what was asked for cannot be read.
    @raise StoreError: nothing can.
    """
    try:
        return await database.read(description, function)
    except StoreDamaged:
        raise
    except StoreError as error:
        await database.read("answers", lambda connection: connection.execute(select(generation.c.number)).scalar())
        raise StoreDamaged(str(error)) from error


async def first_readable(database: Database, column: Any, least: int) -> int | None:
    """The least bound from which on rows can be read in the order of a key; None if none can up to the end.

    Halves the room of ids, as what a page that cannot be read held is not known.

    @param least: from there on, none can.
    """
    if not await _is_readable(database, column, ABOVE):
        return None
    unreadable, readable = least, ABOVE
    while readable - unreadable > 1:
        middle = (readable + unreadable) // 2
        if await _is_readable(database, column, middle):
            readable = middle
        else:
            unreadable = middle
    return readable


async def _is_readable(database: Database, column: Any, least: int) -> bool:
    try:
        await first_id(database, column, least)
    except StoreDamaged:
        return False
    return True


async def first_id(database: Database, column: Any, least: int) -> int | None:
    """The first key from `least` on.

    @raise StoreDamaged: its page cannot be read.
    """
    asked = select(column).where(column >= least).order_by(column).limit(1)
    return await read_or_damaged(database, "first-id", lambda connection: connection.execute(asked).scalar())


async def ids_in_other_tables(database: Database, column: Any, least: int, below: int) -> Sequence[int]:
    """Messages that other tables than the column's have from an id on, below another; those that can be read."""
    found: set[int] = set()
    for other in _IDS:
        if other.table is column.table:
            continue
        asked = union(select(other).where(other >= least, other < below)).limit(_NAMED)
        try:
            found.update(await read_or_damaged(database, "named", _scalars(asked)))
        except StoreDamaged:
            continue
    return sorted(found)


def _scalars(asked: Any) -> Callable[[Connection], Sequence[int]]:
    return lambda connection: connection.execute(asked).scalars().all()

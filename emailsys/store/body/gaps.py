"""Gaps of unreadable rows: finds their ends, and the affected messages from other tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, select, union

from emailsys.interfaces import StoreDamaged, StoreError
from emailsys.store.commit.database import Database
from emailsys.store.schema.tables import bodies, generation, maildrop, messages, queue

T = TypeVar("T")

# An id above all others.
ABOVE: Final = (1 << 63) - 1
# Messages that are listed for one gap.
_NAMED: Final = 10_000
# The columns that contain message ids.
_IDS: Final = (messages.c.message_id, bodies.c.body_id, maildrop.c.message_id, queue.c.message_id)


async def read_or_damaged(database: Database, description: str, function: Callable[[Connection], T]) -> T:
    """Read. If the read fails but the store answers another query, report the failure as damage.

    @raise StoreDamaged: the requested rows cannot be read.
    @raise StoreError: nothing can be read.
    """
    try:
        return await database.read(description, function)
    except StoreDamaged:
        raise
    except StoreError as error:
        await database.read("answers", lambda connection: connection.execute(select(generation.c.number)).scalar())
        raise StoreDamaged(str(error)) from error


async def first_readable(database: Database, column: Any, least: int) -> int | None:
    """Find the lowest id from which rows can be read in the order of a key. None if there is no such id.

    Searches by bisection, because the contents of an unreadable page are unknown.

    @param least: the id at which reading fails.
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
    """Return the first key from `least` on. None if there is none.

    @raise StoreDamaged: the page of the key cannot be read.
    """
    asked = select(column).where(column >= least).order_by(column).limit(1)
    return await read_or_damaged(database, "first-id", lambda connection: connection.execute(asked).scalar())


async def ids_in_other_tables(database: Database, column: Any, least: int, below: int) -> Sequence[int]:
    """List the message ids in a range that other tables than the column's contain, as far as they can be read."""
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

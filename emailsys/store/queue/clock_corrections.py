"""Clock corrections: dates and ages of queue rows after the clock jumped, or after no daemon ran for some time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, bindparam, or_, select, update

from emailsys.store.commit.database import Database
from emailsys.store.schema.columns import SECOND
from emailsys.store.schema.tables import NEVER, messages, queue

# Microseconds that a row may be due without a lease before that time no longer counts toward its age. A queue runner
# looks every 30 s; only an overloaded one takes longer.
_OVERDUE: Final = 600 * SECOND
# Microseconds by which the start of an age may lie in the future. More than that is the date of a wrong clock.
_FUTURE: Final = 86_400 * SECOND
# Rows that one step corrects. Arriving mail waits for at most one step.
_STEP: Final = 500

_SET_AGE: Final = update(queue).where(queue.c.row_id == bindparam("row")).values(aged_from=bindparam("start"))
_SET_DATE: Final = (
    update(queue)
    .where(queue.c.row_id == bindparam("row"), queue.c.due_at == bindparam("was_due"))
    .values(due_at=bindparam("due"), aged_from=bindparam("start"))
)


def age_starts(connection: Connection, rows: Sequence[Any], now: int) -> dict[int, int]:
    """Return the start of the age of due rows, by row id, where it is not the arrival of the message. Records changes.

    Time in which a row was due and was not leased does not count: the daemon was down, or the clock jumped. So a jump
    expires no mail. It makes mail due, and the failed attempt leaves the row nearly as old as it was.

    @param rows: mappings of due rows with their messages.
    @param now: microseconds since 1970.
    """
    starts: dict[int, int] = {}
    changed: list[dict[str, int]] = []
    for row in rows:
        aged_from = row[queue.c.aged_from]
        start = row[messages.c.arrived_at] if aged_from is None else aged_from
        overdue = now - row[queue.c.due_at]
        if overdue > _OVERDUE or start > now + _FUTURE:
            aged_from = min(start + overdue if overdue > _OVERDUE else start, now)
            changed.append({"row": row[queue.c.row_id], "start": aged_from})
        if aged_from is not None:
            starts[row[queue.c.row_id]] = aged_from
    if changed:
        connection.execute(_SET_AGE, changed)
    return starts


async def correct_dates(database: Database, now: int, steady: int, ahead: int, is_own: ColumnElement[bool]) -> int:
    """Make rows due now that are due more than `ahead` microseconds after `now`, in short steps. Returns their number.

    A row that this process leased keeps its lease, but only for `ahead`. The age of mail from the future begins now.

    @param steady: the time by the clock of leases, in microseconds since 1970.
    @param is_own: the condition that this process made the lease of a row.
    """
    latest, latest_lease = now + ahead, steady + ahead
    is_far = or_(and_(queue.c.lease.is_(None), queue.c.due_at > latest), and_(is_own, queue.c.due_at > latest_lease))
    asked = (
        select(queue.c.row_id, queue.c.due_at, queue.c.lease, queue.c.aged_from, messages.c.arrived_at)
        .join(messages, messages.c.message_id == queue.c.message_id)
        # The first condition is for the index.
        .where(queue.c.due_at > min(latest, latest_lease), queue.c.due_at < NEVER, is_far)
        .limit(_STEP)
    )

    def correct(connection: Connection) -> int:
        found = connection.execute(asked).all()
        corrections = []
        for row in found:
            start = row.arrived_at if row.aged_from is None else row.aged_from
            corrections.append(
                {
                    "row": row.row_id,
                    "was_due": row.due_at,
                    "due": now if row.lease is None else latest_lease,
                    "start": now if start > now + _FUTURE else row.aged_from,
                }
            )
        if corrections:
            connection.execute(_SET_DATE, corrections)
        return len(corrections)

    corrected = 0
    while await database.read("far-dates", lambda connection: connection.execute(asked.limit(1)).first()) is not None:
        step = await database.run("correct-dates", correct)
        if not step:
            break
        corrected += step
    return corrected

"""Ends of maildrop rows: moves them to the ledger and leaves their bodies to the sweeper."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, literal, select

from emailsys.interfaces import Fate
from emailsys.store.engine.base import pad_to_power_of_two
from emailsys.store.schema.tables import maildrop, reclaim, settled

# Row ids in one statement.
_ROWS_AT_ONCE: Final = 256


def end_where(connection: Connection, which: Any, fate: Fate, now: int, words: str) -> int:
    """End the maildrop rows that match a condition. Returns the number of rows.

    @param which: the condition on `maildrop`.
    @param now: microseconds since 1970.
    @param words: the reason, for `trace`.
    """
    connection.execute(
        insert(reclaim).from_select(
            ["row_id", "message_id"], select(maildrop.c.row_id, maildrop.c.message_id).where(which)
        )
    )
    connection.execute(
        insert(settled).from_select(
            ["row_id", "message_id", "settled_at", "fate", "reply"],
            select(maildrop.c.row_id, maildrop.c.message_id, literal(now), literal(fate.name), literal(words)).where(
                which
            ),
        )
    )
    return connection.execute(delete(maildrop).where(which)).rowcount


@lru_cache(maxsize=32)
def _statements(placeholder: str, count: int) -> tuple[str, str, str]:
    """Return the three statements for a number of rows of one account. Building them each time doubles the work."""
    here = f"account_id = {placeholder} AND row_id IN ({', '.join([placeholder] * count)})"
    said = ", ".join([placeholder] * 3)
    # Only names from the schema are formatted in. Values are parameters.
    return (
        f"INSERT INTO reclaim (row_id, message_id) SELECT row_id, message_id FROM maildrop WHERE {here}",  # noqa: S608
        "INSERT INTO settled (settled_at, fate, reply, row_id, message_id)"  # noqa: S608
        f" SELECT {said}, row_id, message_id FROM maildrop WHERE {here}",
        f"DELETE FROM maildrop WHERE {here}",  # noqa: S608
    )


def end_by_ids(
    connection: Connection, placeholder: str, account_id: int, row_ids: Sequence[int], fate: Fate, now: int, words: str
) -> int:
    """End rows of one account by their ids, as fast as possible, because other mail waits for this transaction.

    @param placeholder: Engine.placeholder.
    @return: the number of rows.
    """
    ended = 0
    for start in range(0, len(row_ids), _ROWS_AT_ONCE):
        part = row_ids[start : start + _ROWS_AT_ONCE]
        named = pad_to_power_of_two(part)
        here = (account_id, *named)
        free, settle, remove = _statements(placeholder, len(named))
        connection.exec_driver_sql(free, here)
        connection.exec_driver_sql(settle, (now, fate.name, words, *here))
        ended += connection.exec_driver_sql(remove, here).rowcount
    return ended


def end_oldest(
    connection: Connection,
    placeholder: str,
    account_id: int,
    most: int,
    fate: Fate,
    now: int,
    words: str,
    before: int | None = None,
) -> int:
    """End the oldest rows of an account. Ending all rows in one transaction would delay other mail.

    @param most: the highest number of rows.
    @param before: only rows with lower ids.
    @return: the number of rows.
    """
    oldest = select(maildrop.c.row_id).where(maildrop.c.account_id == account_id)
    if before is not None:
        oldest = oldest.where(maildrop.c.row_id < before)
    row_ids = connection.execute(oldest.order_by(maildrop.c.row_id).limit(most)).scalars().all()
    return end_by_ids(connection, placeholder, account_id, row_ids, fate, now, words)

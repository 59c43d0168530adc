"""End rows of maildrops: in the ledger for as long as it remembers, their bodies left to the sweeper."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, insert, literal, select

from emailsys.interfaces import Fate
from emailsys.store.schema import maildrop, reclaim, settled


def end_in_maildrop(connection: Connection, which: Any, fate: Fate, now: int, words: str) -> int:
    """Returns how many rows there were.

    @param which: the rows, as a condition on `maildrop`.
    @param now: microseconds since 1970.
    @param words: why, for `trace`.
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


def end_some(connection: Connection, which: Any, most: int, fate: Fate, now: int, words: str) -> int:
    """The same for the oldest rows of one account, at most so many: a step of what would hold mail up as a whole.

    @param which: the rows, as a condition on `maildrop` that names one account.
    """
    oldest = select(maildrop.c.row_id).where(which).order_by(maildrop.c.row_id).limit(most)
    row_ids = connection.execute(oldest).scalars().all()
    return end_in_maildrop(connection, which & maildrop.c.row_id.in_(row_ids), fate, now, words) if row_ids else 0

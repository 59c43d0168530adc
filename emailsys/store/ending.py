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

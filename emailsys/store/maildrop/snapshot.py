"""Snapshot of a maildrop: ids, sizes and flags of its messages in arrays."""

from __future__ import annotations

from array import array
from typing import Final

from sqlalchemy import Connection, select

from emailsys.store.schema import tables

# Rows that are fetched at a time.
_AT_ONCE: Final = 5000

#: Ids, octets and flags of the messages. The flags are those of `maildrop`.
Snapshot = tuple["array[int]", "array[int]", bytearray]


def read_snapshot(connection: Connection, account_id: int) -> Snapshot:
    """Read the ids, octets and flags of the messages, oldest first. A message takes 17 octets of memory."""
    ids, octets, flags = array("q"), array("q"), bytearray()
    drop = tables.maildrop
    found = connection.execute(
        select(drop.c.row_id, drop.c.octets, drop.c.smtputf8)
        .where(drop.c.account_id == account_id)
        .order_by(drop.c.row_id)
    )
    # Rows of the driver: those of SQLAlchemy would cost twice as much.
    cursor = found.cursor
    assert cursor is not None
    while rows := cursor.fetchmany(_AT_ONCE):
        row_ids, sizes, utf8 = zip(*rows, strict=True)
        ids.extend(row_ids)
        octets.extend(sizes)
        flags.extend(map(bool, utf8))
    found.close()
    return ids, octets, flags

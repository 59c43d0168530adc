"""Read one piece of a stored body."""

from __future__ import annotations

from sqlalchemy import Connection, select

from emailsys.interfaces import StoreError
from emailsys.store import schema
from emailsys.store.database import Database


async def read_piece(database: Database, body_id: int, number: int) -> tuple[bytes, bool]:
    """A piece and whether a line of it may begin with a dot, in a transaction of its own. Pieces count from 0.

    @raise StoreError: there is no such piece any more.
    """
    if number == 0:
        table = schema.bodies
        asked = select(table.c.content, table.c.dots).where(table.c.body_id == body_id)
    else:
        further = schema.body_pieces
        asked = select(further.c.content, further.c.dots).where(
            further.c.body_id == body_id, further.c.number == number
        )

    def fetch(connection: Connection) -> tuple[bytes, bool]:
        found = connection.execute(asked).one_or_none()
        if found is None:
            raise StoreError("the message is gone")
        return bytes(found[0]), bool(found[1])

    return await database.read("piece", fetch)

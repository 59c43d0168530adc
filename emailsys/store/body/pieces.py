"""Read and check the pieces of stored bodies."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from emailsys.interfaces import StoreDamaged, StoreError
from emailsys.store.commit.checksum import is_intact
from emailsys.store.commit.database import Database
from emailsys.store.schema.tables import bodies, body_pieces, maildrop, queue

# Descriptions of damage; the number of the piece is filled in.
CHANGED = "piece {} of its body differs from what was accepted"
MISSING = "piece {} of its body is missing"
UNREADABLE = "piece {} of its body cannot be read"


def is_referenced(connection: Connection, message_id: int) -> bool:
    """Whether a maildrop or queue row refers to the message. If none does, the sweeper may have deleted the body."""
    return any(
        connection.execute(select(table.c.row_id).where(table.c.message_id == message_id).limit(1)).scalar() is not None
        for table in (maildrop, queue)
    )


def piece_of(connection: Connection, body_id: int, number: int) -> Any:
    """Read the row of a piece: content, dots, checksum, digest. None if it is missing."""
    table: Any = body_pieces if number else bodies
    here = table.c.body_id == body_id
    if number:
        here &= table.c.number == number
    return connection.execute(
        select(table.c.content, table.c.dots, table.c.checksum, table.c.digest).where(here)
    ).one_or_none()


class LaterPieces:
    """Reader for the pieces of a body after the first."""

    def __init__(self, database: Database, body_id: int, pieces: int, octets: int) -> None:
        """
        @param pieces: the number of pieces of the body, including the first.
        @param octets: the size of all pieces after the first together.
        """
        self._database = database
        self._body_id = body_id
        self._pieces = pieces
        self._octets = octets
        self._left = octets

    def check_size(self) -> None:
        """Check the size of a body with one piece. Call before returning the first piece.

        @raise StoreDamaged: octets are missing after the only piece.
        """
        if self._left and self._pieces <= 1:
            raise self._wrong_size()

    async def verify_if_damaged(self) -> None:
        """If the message is known to be damaged, read it to its end before returning any of it.

        Otherwise each session would break at the same place, and the client would never get the later messages.

        @raise StoreDamaged: the message is still damaged.
        """
        damage = self._database.damage
        if self._body_id in damage.known:
            for number in range(1, self._pieces):
                await self.read(number)
            self._left = self._octets
            damage.clear(self._body_id)

    async def read(self, number: int) -> tuple[bytes, bool]:
        """Read the next piece in a transaction of its own, and whether one of its lines may begin with a dot.

        Returns the last piece only if the total size of all pieces is correct.

        @raise StoreDamaged: the piece is not the one that was accepted.
        @raise StoreError: the message is deleted.
        """
        body_id, damage = self._body_id, self._database.damage

        def fetch(connection: Connection) -> tuple[bytes, bool, str]:
            found = piece_of(connection, body_id, number)
            if found is None:
                if is_referenced(connection, body_id):
                    return b"", False, MISSING
                raise StoreError("the message is deleted")
            content, dots = bytes(found.content), bool(found.dots)
            return content, dots, "" if is_intact(body_id, number, dots, content, found[2], found[3]) else CHANGED

        try:
            content, dots, wrong = await self._database.read("piece", fetch)
        except StoreDamaged as error:
            raise damage.report(body_id, UNREADABLE.format(number)) from error
        if wrong:
            raise damage.report(body_id, wrong.format(number))
        self._left -= len(content)
        if self._left < 0 or (self._left and number == self._pieces - 1):
            raise self._wrong_size()
        return content, dots

    def _wrong_size(self) -> StoreDamaged:
        return self._database.damage.report(self._body_id, "the size of its pieces differs from the size in its row")

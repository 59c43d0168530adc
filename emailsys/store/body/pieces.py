"""Read and check the pieces of stored bodies."""

from __future__ import annotations

from functools import lru_cache

from sqlalchemy import Connection, select
from twisted.internet.defer import Deferred

from emailsys.interfaces import StoreDamaged, StoreError
from emailsys.store.commit.checksum import is_intact
from emailsys.store.commit.database import Database
from emailsys.store.engine.base import Engine
from emailsys.store.schema.tables import maildrop, queue

# The content of a piece, whether one of its lines may begin with a dot, and a description of damage or "".
_Piece = tuple[bytes, bool, str]
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


@lru_cache(maxsize=4)
def _select_piece(placeholder: str, is_first: bool) -> str:
    table, here = ("bodies", "") if is_first else ("body_pieces", f" AND number = {placeholder}")
    return f"SELECT content, dots, checksum, digest FROM {table} WHERE body_id = {placeholder}{here}"  # noqa: S608


def piece_of(
    engine: Engine, connection: Connection, body_id: int, number: int
) -> tuple[bytes, bool, bytes | None, bytes | None] | None:
    """Read a piece: content, dots, checksum, SHA-256. None if it is missing."""
    values = (body_id, number) if number else (body_id,)
    rows = engine.fetch(connection, _select_piece(engine.placeholder, not number), values)
    if not rows:
        return None
    content, dots, stored, digest = rows[0]
    return content, bool(dots), stored, digest


class AheadLimit:
    """Limits the pieces that all sessions together read ahead, because each holds its piece in memory."""

    __slots__ = ("_left",)

    def __init__(self, pieces: int) -> None:
        self._left = pieces

    def take(self) -> bool:
        """Count one more piece. Returns False if the limit is reached."""
        if not self._left:
            return False
        self._left -= 1
        return True

    def give_back(self) -> None:
        """Count one piece less: its session has taken it, or has ended."""
        self._left += 1


class LaterPieces:
    """Reader for the pieces of a body after the first.

    With a limit for reading ahead, a piece is read while the caller sends the one before it. Call `close` then.
    """

    def __init__(
        self, database: Database, body_id: int, pieces: int, octets: int, limit: AheadLimit | None = None
    ) -> None:
        """
        @param pieces: the number of pieces of the body, including the first.
        @param octets: the size of all pieces after the first together.
        @param limit: shared with other readers. None reads each piece only when it is requested.
        """
        self._limit = limit
        self._ahead: Deferred[_Piece] | None = None
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
        damage = self._database.damage
        reading = self._take_ahead()
        try:
            content, dots, wrong = await (self._begin(number) if reading is None else reading)
        except StoreDamaged as error:
            raise damage.report(self._body_id, UNREADABLE.format(number)) from error
        if wrong:
            raise damage.report(self._body_id, wrong.format(number))
        self._left -= len(content)
        if self._left < 0 or (self._left and number == self._pieces - 1):
            raise self._wrong_size()
        if self._left and self._limit is not None and self._limit.take():
            self._ahead = self._begin(number + 1)
        return content, dots

    def _begin(self, number: int) -> Deferred[_Piece]:
        body_id, engine = self._body_id, self._database.engine

        def fetch(connection: Connection) -> _Piece:
            found = piece_of(engine, connection, body_id, number)
            if found is None:
                if is_referenced(connection, body_id):
                    return b"", False, MISSING
                raise StoreError("the message is deleted")
            content, dots, stored, digest = found
            return content, dots, "" if is_intact(body_id, number, dots, content, stored, digest) else CHANGED

        return self._database.read("piece", fetch)

    def _take_ahead(self) -> Deferred[_Piece] | None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None and self._limit is not None:
            self._limit.give_back()
        return ahead

    def close(self) -> None:
        """Drop the piece that was read ahead. Safe to call at any time."""
        ahead = self._take_ahead()
        if ahead is not None:
            # A damaged piece is reported when a client requests it.
            _ = ahead.addErrback(lambda failure: None)

    def _wrong_size(self) -> StoreDamaged:
        return self._database.damage.report(self._body_id, "the size of its pieces differs from the size in its row")

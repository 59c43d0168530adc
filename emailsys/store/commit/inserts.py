"""INSERT statements for messages: parents before children, each body piece with its digest and checksum."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection

from emailsys.store.commit.checksum import checksum
from emailsys.store.commit.jobs import Rows
from emailsys.store.engine.base import Engine
from emailsys.store.schema import tables
from emailsys.store.schema.rows import BodyRow, PieceRow

# Octets for one update. hashlib releases the interpreter lock for more than 2047 octets, and getting it back from a
# busy reactor thread takes longer than hashing a small message.
_UPDATE_OCTETS: Final = 2047
# Octets up to which the lock is kept.
_SMALL_OCTETS: Final = 16 * 1024


def _digest(content: bytes) -> bytes:
    if len(content) > _SMALL_OCTETS:
        return sha256(content).digest()
    digest = sha256()
    for start in range(0, len(content), _UPDATE_OCTETS):
        digest.update(content[start : start + _UPDATE_OCTETS])
    return digest.digest()


# Hashing happens in the writer thread, so that a large piece never blocks the reactor.


def _first_pieces(rows: Sequence[BodyRow]) -> list[BodyRow]:
    return [
        BodyRow(body_id, dots, content, _digest(content), checksum(body_id, 0, dots, content))
        for body_id, dots, content, _, _ in rows
    ]


def _later_pieces(rows: Sequence[PieceRow]) -> list[PieceRow]:
    return [
        PieceRow(body_id, number, dots, content, _digest(content), checksum(body_id, number, dots, content))
        for body_id, number, dots, content, _, _ in rows
    ]


class MessageInserts:
    """The INSERT statements for messages, on one engine."""

    def __init__(self, engine: Engine) -> None:
        self._bodies = engine.inserts(tables.bodies)
        self._pieces = engine.inserts(tables.body_pieces)
        self._staged = engine.inserts(tables.staged)
        self._messages = engine.inserts(tables.messages)
        self._maildrop = engine.inserts(tables.maildrop)
        self._queue = engine.inserts(tables.queue)

    def insert(self, connection: Connection, jobs: Sequence[Rows]) -> None:
        """Insert the rows of all jobs. Foreign keys are checked row by row, so parents come before children."""
        self._bodies.insert(connection, _first_pieces([row for job in jobs for row in job.bodies]))
        self._pieces.insert(connection, _later_pieces([row for job in jobs for row in job.pieces]))
        self._staged.insert(connection, [row for job in jobs for row in job.staged])
        self._messages.insert(connection, [row for job in jobs for row in job.messages])
        self._maildrop.insert(connection, [row for job in jobs for row in job.maildrop])
        self._queue.insert(connection, [row for job in jobs for row in job.queue])

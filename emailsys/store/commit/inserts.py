"""Insert the rows of messages, parents before children, each piece of a body with its digest and checksum."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection

from emailsys.store.commit.checksum import checksum
from emailsys.store.commit.jobs import Row, Rows
from emailsys.store.engine.base import Engine
from emailsys.store.schema import tables

# Beyond 2047 octets at once hashlib gives the interpreter lock away; to get it back beside a busy reactor takes longer
# than to hash a small message.
_AT_ONCE: Final = 2047
_SMALL: Final = 16 * 1024


def _digest(content: bytes) -> bytes:
    if len(content) > _SMALL:
        return sha256(content).digest()
    digest = sha256()
    for start in range(0, len(content), _AT_ONCE):
        digest.update(content[start : start + _AT_ONCE])
    return digest.digest()


# Here, in the writer's thread: a large piece holds nobody up.


def _first_pieces(rows: Sequence[Row]) -> list[Row]:
    return [(*row, _digest(row[2]), checksum(row[0], 0, row[1], row[2])) for row in rows]


def _further_pieces(rows: Sequence[Row]) -> list[Row]:
    return [(*row, _digest(row[3]), checksum(*row)) for row in rows]


class Inserting:
    """The statements of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._bodies = engine.inserts(tables.bodies)
        self._pieces = engine.inserts(tables.body_pieces)
        self._others = [
            engine.inserts(table) for table in (tables.staged, tables.messages, tables.maildrop, tables.queue)
        ]

    def insert(self, connection: Connection, jobs: Sequence[Rows]) -> None:
        """Insert the rows of all jobs; foreign keys are checked row by row."""
        bodies = [row for job in jobs for row in job.bodies]
        if bodies:
            self._bodies.insert(connection, _first_pieces(bodies))
        pieces = [row for job in jobs for row in job.pieces]
        if pieces:
            self._pieces.insert(connection, _further_pieces(pieces))
        for inserts, rows in zip(
            self._others,
            (
                [row for job in jobs for row in job.staged],
                [row for job in jobs for row in job.messages],
                [row for job in jobs for row in job.maildrop],
                [row for job in jobs for row in job.queue],
            ),
            strict=True,
        ):
            if rows:
                inserts.insert(connection, rows)

"""Insert the rows of messages, parents before children, each piece of a body with its digest."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection

from emailsys.store import schema
from emailsys.store.engine import Engine
from emailsys.store.jobs import Row, Rows

# The content is the last column that a piece comes with.
_CONTENT: Final = -1


def _with_digests(pieces: Sequence[Row]) -> list[Row]:
    # Here, in the writer's thread: hashing gives the interpreter lock away.
    return [(*piece, sha256(piece[_CONTENT]).digest()) for piece in pieces]


class Inserting:
    """The statements of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._bodies = engine.inserts(schema.bodies)
        self._pieces = engine.inserts(schema.body_pieces)
        self._others = [
            engine.inserts(table) for table in (schema.staged, schema.messages, schema.maildrop, schema.queue)
        ]

    def insert(self, connection: Connection, jobs: Sequence[Rows]) -> None:
        """Insert the rows of all jobs; foreign keys are checked row by row."""
        bodies = [row for job in jobs for row in job.bodies]
        if bodies:
            self._bodies.insert(connection, _with_digests(bodies))
        pieces = [row for job in jobs for row in job.pieces]
        if pieces:
            self._pieces.insert(connection, _with_digests(pieces))
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

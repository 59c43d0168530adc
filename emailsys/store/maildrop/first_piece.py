"""First pieces of messages as a maildrop reads them: the query, and a check of each piece."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, select

from emailsys.store.body.pieces import CHANGED, MISSING
from emailsys.store.commit.checksum import first_checksum, is_intact
from emailsys.store.message.rows import PIECE_OCTETS
from emailsys.store.schema import tables


@lru_cache(maxsize=8)
def select_messages(placeholder: str, count: int) -> str:
    names = ", ".join([placeholder] * count)
    return (
        "SELECT d.row_id, d.message_id, d.prefix, m.pieces, b.dots, b.content, b.checksum"  # noqa: S608
        " FROM maildrop d JOIN messages m ON m.message_id = d.message_id LEFT JOIN bodies b ON b.body_id = d.message_id"
        f" WHERE d.account_id = {placeholder} AND d.row_id IN ({names})"
    )


def read_digests(connection: Connection, body_ids: Sequence[int]) -> dict[int, bytes | None]:
    """Read the SHA-256 of first pieces that were accepted before pieces had checksums."""
    table = tables.bodies
    found = connection.execute(select(table.c.body_id, table.c.digest).where(table.c.body_id.in_(body_ids)))
    return {row.body_id: row.digest for row in found}


class FirstPiece:
    """The first piece of a message with its prefix, and the number of pieces that are still in the store."""

    __slots__ = ("body_id", "count", "first", "is_whole", "rest", "wrong")

    def __init__(self, octets: int, digests: Mapping[int, bytes | None], row: Sequence[Any]) -> None:
        """
        @param octets: size of the message with its prefix, from the snapshot.
        @param digests: SHA-256 by body id, for bodies without a checksum.
        @param row: a row of the query `select_messages`.
        """
        _, body_id, prefix, count, dots, content, stored = row
        self.body_id: int = body_id
        self.count: int = count
        #: A description of damage to the first piece, or "".
        self.wrong = ""
        if content is None:
            self.wrong, content = MISSING, b""
        elif stored is None:
            if not is_intact(body_id, 0, dots, content, None, digests.get(body_id)):
                self.wrong = CHANGED
        elif first_checksum(content, body_id << 1 | dots) != stored:
            self.wrong = CHANGED
        whole = len(prefix) + len(content)
        #: Octets of the pieces that are still in the store.
        self.rest = octets - whole
        self.first: tuple[tuple[bytes, bool], ...]
        #: Whether `first` is the message, in one piece and intact.
        self.is_whole = False
        if whole <= PIECE_OCTETS:
            self.first = ((prefix + content, bool(dots)),)
            self.is_whole = whole == octets and count == 1 and not self.wrong
        else:
            self.first = ((bytes(prefix), False), (bytes(content), bool(dots)))

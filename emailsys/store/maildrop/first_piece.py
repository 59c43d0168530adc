"""First pieces of messages as a maildrop reads them: the query, and a check of each piece."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from emailsys.store.body.pieces import CHANGED, MISSING
from emailsys.store.commit.checksum import first_checksum, is_intact
from emailsys.store.message.rows import PIECE_OCTETS

#: A row of the query `select_messages`.
Row = Sequence[Any]


@lru_cache(maxsize=8)
def select_messages(placeholder: str, count: int) -> str:
    """Return the query for the first pieces of messages.

    Its last column is the SHA-256 of a piece that was accepted before pieces had checksums.
    """
    names = ", ".join([placeholder] * count)
    return (
        "SELECT d.row_id, d.message_id, d.prefix, m.pieces, b.dots, b.content, b.checksum,"  # noqa: S608
        " CASE WHEN b.checksum IS NULL THEN b.digest END"
        " FROM maildrop d JOIN messages m ON m.message_id = d.message_id LEFT JOIN bodies b ON b.body_id = d.message_id"
        f" WHERE d.account_id = {placeholder} AND d.row_id IN ({names})"
    )


def whole_text(octets: int, row: Row) -> bytes | None:
    """Return a message with its prefix if it consists of one piece and its checksum is correct; None otherwise.

    This is the quick way for small messages. `FirstPiece` says what is wrong with the others.

    @param octets: size of the message with its prefix, from the snapshot.
    """
    _, body_id, prefix, count, dots, content, stored, _ = row
    if count != 1 or stored is None or first_checksum(content, body_id << 1 | dots) != stored:
        return None
    text: bytes = prefix + content
    return text if len(text) == octets <= PIECE_OCTETS else None


class FirstPiece:
    """The first piece of a message with its prefix, and the number of pieces that are still in the store."""

    __slots__ = ("body_id", "count", "first", "is_whole", "rest", "wrong")

    def __init__(self, octets: int, row: Row) -> None:
        """@param octets: size of the message with its prefix, from the snapshot."""
        _, body_id, prefix, count, dots, content, stored, digest = row
        self.body_id: int = body_id
        self.count: int = count
        #: A description of damage to the first piece, or "".
        self.wrong = ""
        if content is None:
            self.wrong, content = MISSING, b""
        elif not is_intact(body_id, 0, dots, content, stored, digest):
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

"""Verification: checks the ledger and all bodies, part by part, while mail continues."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, exists, func, literal, null, or_, select, union_all
from zope.interface import implementer

from emailsys.interfaces import Fate, StoreDamaged
from emailsys.interfaces.operators import Checked, Flaw, IVerification
from emailsys.store.body.gaps import ABOVE, first_id, first_readable, ids_in_other_tables, read_or_damaged
from emailsys.store.body.pieces import MISSING, UNREADABLE, is_referenced, piece_of
from emailsys.store.commit.checksum import is_intact
from emailsys.store.commit.database import Database
from emailsys.store.commit.ids import id_text
from emailsys.store.engine.base import Engine
from emailsys.store.schema.tables import bodies, maildrop, messages, queue, reclaim, settled, staged

# Messages, settled rows and bodies in one read. Read transactions stay short, so that they never block checkpoints.
_MESSAGES: Final = 100
_SETTLED: Final = 1_000
_BODIES: Final = 200
# A cursor is a number: the index of the step, then an id of 63 bits.
_ID_BITS: Final = 63
_MAILDROP: Final = "maildrop"
_QUEUE: Final = "queue"
# The queue id of a flaw that belongs to no message, or to an unknown one.
NO_MESSAGE: Final = "-"

T = TypeVar("T")


@dataclass(slots=True)
class _Tally:
    """The results so far."""

    messages: int = 0
    octets: int = 0
    by_end: Counter[str] = field(default_factory=Counter)
    flaws: list[Flaw] = field(default_factory=list)


@implementer(IVerification)
class Verification:
    """Checks the store. It only reads: flaws are reported, never repaired."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        """@param clock: a monotonic clock, in seconds."""
        self._database = database
        self._clock = clock

    async def check(self, cursor: str | None, seconds: float) -> Checked:
        """Continue from a cursor: first all messages, then all settled rows, then all bodies.

        @param seconds: the approximate duration of the call.
        """
        until = self._clock() + seconds
        steps = (self._messages, self._settled, self._bodies)
        tally = _Tally()
        which, least = (0, 0) if cursor is None else divmod(int(cursor), 1 << _ID_BITS)
        following: str | None = None
        while which < len(steps):
            after = await steps[which](least, tally)
            which, least = (which + 1, 0) if after is None else (which, after + 1)
            if which < len(steps) and self._clock() >= until:
                following = str(which << _ID_BITS | least)
                break
        return Checked(following, tally.messages, tally.octets, dict(tally.by_end), tuple(tally.flaws))

    async def _messages(self, least: int, tally: _Tally) -> int | None:
        """Check some messages from an id on, with their bodies. Returns the last id, or None if there was none."""
        try:
            found = await self._some("verify-ledger", lambda limit: _read_messages(least, limit), _MESSAGES)
        except StoreDamaged:
            return await self._skip_unreadable(messages.c.message_id, least, tally)
        for message_id, entry in found.items():
            tally.messages += 1
            tally.by_end.update(entry.by_end)
            tally.flaws += entry.flaws(message_id)
            if entry.is_alive:
                size, wrong = await self._check_body(message_id, entry.octets, entry.pieces)
                tally.octets += size
                tally.flaws += wrong
        return max(found, default=None)

    async def _settled(self, least: int, tally: _Tally) -> int | None:
        """Check that settled rows belong to accepted messages."""
        try:
            rows = await self._some("verify-settled", lambda limit: _read_settled(least, limit), _SETTLED)
        except StoreDamaged:
            return await self._skip_unreadable(settled.c.row_id, least, tally)
        tally.flaws += [
            Flaw(id_text(row.message_id), f"row {row.row_id} is settled, but its message is unknown")
            for row in rows
            if row.known is None
        ]
        return rows[-1].row_id if rows else None

    async def _bodies(self, least: int, tally: _Tally) -> int | None:
        """Check that each body is in use, still arriving, or known to the sweeper: else its space would be lost."""
        try:
            rows = await self._some("verify-bodies", lambda limit: _read_bodies(least, limit), _BODIES)
        except StoreDamaged:
            return await self._skip_unreadable(bodies.c.body_id, least, tally)
        tally.flaws += [
            Flaw(id_text(row.body_id), "its body is kept, but neither a recipient nor the sweeper refers to it")
            for row in rows
            if not row.named
        ]
        return rows[-1].body_id if rows else None

    async def _some(self, description: str, read: Callable[[int], Callable[[Connection], T]], most: int) -> T:
        """Read several rows, or a single one if another row is on an unreadable page.

        @raise StoreDamaged: the first row cannot be read.
        """
        try:
            return await read_or_damaged(self._database, description, read(most))
        except StoreDamaged:
            return await read_or_damaged(self._database, description, read(1))

    async def _skip_unreadable(self, column: Any, least: int, tally: _Tally) -> int | None:
        """Skip unreadable rows from an id on, and report the affected messages.

        @return: the last id that was skipped, or None at the end of the table.
        """
        database, table = self._database, column.table.name
        try:
            number = await first_id(database, column, least)
        except StoreDamaged:
            number = None
        else:
            # The row itself can be read, but not the related rows.
            if number is not None:
                what = (
                    "its rows in other tables cannot be read"
                    if table != settled.name
                    else f"the message of row {number} cannot be read"
                )
                tally.flaws.append(Flaw(id_text(number) if table != settled.name else NO_MESSAGE, what))
            return number
        readable = await first_readable(database, column, least)
        affected = (
            [] if table == settled.name else await ids_in_other_tables(database, column, least, readable or ABOVE)
        )
        tally.flaws += [Flaw(id_text(message_id), f"its row in {table} cannot be read") for message_id in affected] or [
            Flaw(NO_MESSAGE, f"rows of {table} cannot be read, and the affected messages are unknown")
        ]
        return None if readable is None else readable - 1

    async def _check_body(self, message_id: int, expected: int, pieces: int) -> tuple[int, list[Flaw]]:
        """Check all pieces, each in a transaction of its own, in a reader thread. Returns octets and flaws."""
        octets = 0
        wrong: list[str] = []
        engine = self._database.engine
        for number in range(pieces):
            check = _check_piece(engine, message_id, number)
            try:
                piece = await read_or_damaged(self._database, "verify-piece", check)
            except StoreDamaged:
                wrong.append(UNREADABLE.format(number))
                continue
            if piece is None:
                if not await self._database.read(
                    "verify-again", lambda connection: is_referenced(connection, message_id)
                ):
                    # Deleted since the message was read.
                    return octets, []
                wrong.append(MISSING.format(number))
                continue
            size, flaw = piece
            octets += size
            if flaw:
                wrong.append(flaw)
        if not wrong and octets != expected:
            wrong.append(f"its body has {octets} octets, but {expected} were accepted")
        return octets, [Flaw(id_text(message_id), what) for what in wrong]


class _Entry:
    """A message and the tables in which its rows were found at one moment."""

    def __init__(self, octets: int, pieces: int, rows: int | None) -> None:
        self.octets = octets
        self.pieces = pieces
        self.rows = rows
        self.found: list[tuple[int, str]] = []
        self.wrong_sizes: list[int] = []

    @property
    def is_alive(self) -> bool:
        return any(place in (_MAILDROP, _QUEUE) for _, place in self.found)

    @property
    def by_end(self) -> Counter[str]:
        return Counter(place for _, place in self.found)

    def flaws(self, message_id: int) -> list[Flaw]:
        texts = [f"row {row_id} has a different size than its message" for row_id in self.wrong_sizes]
        places: dict[int, list[str]] = {}
        for row_id, place in self.found:
            places.setdefault(row_id, []).append(place)
        texts += [
            f"recipient {row_id} is in several places: {', '.join(some)}"
            for row_id, some in places.items()
            if len(some) > 1
        ]
        # Messages that release 0.1 accepted after the upgrade are not in the ledger.
        if self.rows is not None and len(places) != self.rows:
            texts.append(f"it has {self.rows} recipients, but {len(places)} were found")
        return [Flaw(id_text(message_id), what) for what in texts]


def _read_settled(least: int, limit: int) -> Callable[[Connection], Sequence[Any]]:
    some = (
        select(settled.c.row_id, settled.c.message_id)
        .where(settled.c.row_id >= least)
        .order_by(settled.c.row_id)
        .limit(limit)
        .subquery()
    )
    asked = (
        select(some.c.row_id, some.c.message_id, messages.c.message_id.label("known"))
        .outerjoin(messages, messages.c.message_id == some.c.message_id)
        .order_by(some.c.row_id)
    )
    return lambda connection: connection.execute(asked).all()


def _read_bodies(least: int, limit: int) -> Callable[[Connection], Sequence[Any]]:
    some = select(bodies.c.body_id).where(bodies.c.body_id >= least).order_by(bodies.c.body_id).limit(limit).subquery()
    named = or_(
        exists().where(maildrop.c.message_id == some.c.body_id),
        exists().where(queue.c.message_id == some.c.body_id),
        exists().where(staged.c.body_id == some.c.body_id),
        some.c.body_id.in_(select(reclaim.c.message_id)),
    )
    asked = select(some.c.body_id, named.label("named")).order_by(some.c.body_id)
    return lambda connection: connection.execute(asked).all()


def _read_messages(least: int, limit: int) -> Callable[[Connection], dict[int, _Entry]]:
    """Return a function that reads the next messages with all their rows, in one statement and so at one moment."""

    def read(connection: Connection) -> dict[int, _Entry]:
        some = (
            select(messages.c.message_id)
            .where(messages.c.message_id >= least)
            .order_by(messages.c.message_id)
            .limit(limit)
            .subquery()
        )
        numbers = select(some.c.message_id)
        asked = union_all(
            select(
                messages.c.message_id,
                null().label("row_id"),
                literal("").label("place"),
                messages.c.octets,
                messages.c.pieces,
                messages.c.rows,
            ).where(messages.c.message_id.in_(numbers)),
            _rows(maildrop, literal(_MAILDROP), numbers, maildrop.c.octets - func.length(maildrop.c.prefix)),
            _rows(queue, literal(_QUEUE), numbers),
            _rows(settled, settled.c.fate, numbers),
        )
        found: dict[int, _Entry] = {}
        rows: Sequence[Any] = connection.execute(asked).all()
        for row in rows:
            if row.row_id is None:
                found[row.message_id] = _Entry(row.octets, row.pieces, row.rows)
        for row in rows:
            if row.row_id is None or row.message_id not in found:
                continue
            entry = found[row.message_id]
            entry.found.append((row.row_id, row.place if row.place in (_MAILDROP, _QUEUE) else Fate[row.place].value))
            if row.octets is not None and row.octets != entry.octets:
                entry.wrong_sizes.append(row.row_id)
        return dict(sorted(found.items()))

    return read


def _rows(table: Any, place: Any, numbers: Any, octets: Any = None) -> Any:
    return select(
        table.c.message_id,
        table.c.row_id,
        place.label("place"),
        (null() if octets is None else octets).label("octets"),
        null().label("pieces"),
        null().label("rows"),
    ).where(table.c.message_id.in_(numbers))


def _check_piece(engine: Engine, message_id: int, number: int) -> Callable[[Connection], tuple[int, str] | None]:
    """Return a function that reads a piece: its octets and a description of damage or "". None if it is missing."""

    def check(connection: Connection) -> tuple[int, str] | None:
        found = piece_of(engine, connection, message_id, number)
        if found is None:
            return None
        content, dots, stored, digest = found
        wrong = ""
        # Pieces that release 0.1 accepted have no digest.
        if digest is not None and sha256(content).digest() != bytes(digest):
            wrong = f"the digest of piece {number} of its body differs from the one recorded at its acceptance"
        elif not is_intact(message_id, number, dots, content, stored, None):
            wrong = f"flag or checksum of piece {number} of its body differs from the one recorded at its acceptance"
        return len(content), wrong

    return check

"""The queue: leases recipients on other hosts to the queue runner, and reads their bodies."""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, or_, select, update
from zope.interface import implementer

from emailsys.interfaces import (
    NO_DELAYS,
    DelayRule,
    DomainPair,
    IQueue,
    Notice,
    QueueRow,
    Settlement,
    StoreDamaged,
    StoreError,
)
from emailsys.mail.address import Address
from emailsys.mail.dsn_request import RecipientRequest, parse_notify, parse_orcpt
from emailsys.store.body.pieces import CHANGED, MISSING, UNREADABLE, LaterPieces
from emailsys.store.commit.batching import Batcher
from emailsys.store.commit.checksum import is_intact
from emailsys.store.commit.database import Database
from emailsys.store.commit.ids import id_text, is_made_by
from emailsys.store.maintenance.sweeper import Sweeper
from emailsys.store.node.notices import Notices
from emailsys.store.queue.clock_corrections import age_starts, correct_dates
from emailsys.store.queue.hints import QueueHints
from emailsys.store.queue.lease_clock import LeaseClock
from emailsys.store.queue.postponement import Delayed, Due, Postponement, chunks
from emailsys.store.queue.returns import record_interrupted, return_leases
from emailsys.store.queue.settlements import Settlements
from emailsys.store.schema.columns import microseconds, moment, of_seconds, reverse_path
from emailsys.store.schema.rows import PARAMETER_COLUMNS, parameters_of
from emailsys.store.schema.tables import NEVER, bodies, messages, queue

# Queries for due rows in one lease, if some of the rows found are postponed.
_QUERIES: Final = 4
# The columns of the message that a queue row needs. The list of recipients, which may be long, is not among them.
ENVELOPE: Final = (
    messages.c.message_id,
    messages.c.reverse_local,
    messages.c.reverse_domain,
    messages.c.arrived_at,
    messages.c.octets,
    *PARAMETER_COLUMNS,
)

# First pieces in one read, each up to 256 KiB.
_FIRST_PIECES_AT_ONCE: Final = 16
_SELECT_FIRST_PIECES: Final = (
    select(
        queue.c.row_id,
        queue.c.lease,
        messages.c.message_id,
        messages.c.pieces,
        messages.c.octets,
        bodies.c.dots,
        bodies.c.content,
        bodies.c.checksum,
        bodies.c.digest,
    )
    .join(messages, messages.c.message_id == queue.c.message_id)
    .outerjoin(bodies, bodies.c.body_id == messages.c.message_id)
    .where(queue.c.row_id.in_(bindparam("rows", expanding=True)))
)
# The lease, the message id, the number of pieces, the first piece, the octets of the others, and a description of
# damage or "".
_FirstPiece = tuple[int | None, int, int, bytes, int, str]


@implementer(IQueue)
class Queue:
    """The recipients on other hosts. The intake adds them, with their message.

    A lease lasts as long as its process. Other processes take it when that has ended (`ended_nodes`), whatever their
    clocks say. The end of a lease counts only for the process that wrote it.
    """

    def __init__(
        self,
        database: Database,
        sweeper: Sweeper,
        tenure: Callable[[], int | None],
        notices: Notices,
        now: Callable[[], float] = time.time,
    ) -> None:
        """@param tenure: IQueue.tenure."""
        self._database = database
        self._now = now
        self._lease_clock = LeaseClock(database.seconds, now)
        self._is_own = is_made_by(queue.c.lease, database.ids)
        self.tenure = tenure
        #: The duration of the latest lease in seconds. If this process leases nothing, it never ends one that hangs.
        self.lease_seconds = math.inf
        #: Called when leases of other processes were returned, or another process has told that rows are due.
        self.on_returned: Callable[[], None] = _nothing
        #: Hints to other nodes.
        self.hints = QueueHints(notices, lambda: self.on_returned())
        self._settlements = Settlements(database, sweeper, now)
        self._postponement = Postponement(database)
        self._first_pieces: Batcher[int, _FirstPiece | None] = Batcher(
            lambda read: database.read("first-pieces", read), _read_first_pieces, _FIRST_PIECES_AT_ONCE
        )

    def _microseconds(self) -> int:
        return of_seconds(self._now())

    def share(self) -> None:
        """Tell other nodes that rows are due which this one does not deliver now."""
        self.hints.begin()

    async def lease(
        self, limit: int, seconds: float, later: Mapping[DomainPair, DelayRule] = NO_DELAYS
    ) -> Sequence[QueueRow]:
        """Lease due rows, the longest due first. No other runner gets them before the lease ends.

        @param limit: the highest number of rows.
        @param seconds: duration of the lease.
        @param later: domains whose rows are rescheduled instead of leased.
        """
        make = self._database.ids.make
        lease, now = make(), self._microseconds()
        steady = self._lease_clock.microseconds()
        self.lease_seconds = seconds

        def take(connection: Connection) -> tuple[list[QueueRow], list[Delayed]]:
            taken: list[QueueRow] = []
            delayed: list[Delayed] = []
            for _ in range(_QUERIES):
                rows = connection.execute(due_rows(now, limit - len(taken), self._is_own, steady)).mappings().all()
                record_interrupted(connection, [row for row in rows if row[queue.c.lease] is not None], make, now)
                ages = age_starts(connection, rows, now)
                due = Due(rows, later, ages)
                delayed += self._postponement.record(connection, due, now)
                for some in chunks([row[queue.c.row_id] for row in due.taken]):
                    connection.execute(
                        update(queue)
                        .where(queue.c.row_id.in_(some))
                        .values(state="leased", lease=lease, due_at=steady + of_seconds(seconds))
                    )
                taken += [_queue_row(row, lease, ages) for row in due.taken]
                if not due.postponed or len(taken) >= limit:
                    break
            return taken, delayed

        taken, delayed = await self._database.run("lease", take)
        for rule, message_id, forward_path in delayed:
            rule.on_delayed(id_text(message_id), forward_path)
        return taken

    async def renew(self, rows: Sequence[QueueRow], seconds: float) -> Sequence[QueueRow]:
        """Extend leases to a number of seconds from now.

        @return: the rows whose lease was already lost.
        """
        until = self._lease_clock.microseconds() + of_seconds(seconds)

        def prolong(connection: Connection) -> set[tuple[int, int]]:
            held: set[tuple[int, int]] = set()
            for lease, row_ids in _by_lease(rows).items():
                for some in chunks(row_ids):
                    found = connection.execute(
                        update(queue)
                        .where(queue.c.row_id.in_(some), queue.c.lease == lease)
                        .values(due_at=until)
                        .returning(queue.c.row_id)
                    )
                    held.update((row_id, lease) for row_id in found.scalars())
            return held

        held = await self._database.run("renew", prolong)
        return [row for row in rows if (row.row_id, row.lease) not in held]

    async def settle(self, settlements: Sequence[Settlement], notices: Sequence[Notice] = ()) -> int:
        """Record attempts in one commit, with the notices. Returns the number of leases that were still valid."""
        return await self._settlements.settle(settlements, notices)

    async def release(self, rows: Sequence[QueueRow], since: datetime) -> None:
        """Return leased rows without an attempt. They are due since `since`, or since their lease ended."""
        now = min(self._microseconds(), microseconds(since))

        def return_all(connection: Connection) -> None:
            for lease, row_ids in _by_lease(rows).items():
                return_leases(connection, queue.c.lease == lease, row_ids, now)

        await self._database.run("release", return_all)

    async def correct_dates(self, ahead: float) -> int:
        """Make rows due now that are due more than `ahead` seconds from now. Returns their number."""
        now, steady = self._microseconds(), self._lease_clock.microseconds()
        return await correct_dates(self._database, now, steady, of_seconds(ahead), self._is_own)

    async def next_due(self) -> datetime | None:
        """Return the time when the next row is due or the next lease of this process ends."""
        asked = (
            select(queue.c.due_at, queue.c.lease)
            .where(queue.c.due_at < NEVER, or_(queue.c.lease.is_(None), self._is_own))
            .order_by(queue.c.due_at)
            .limit(1)
        )
        found = await self._database.read("next-due", lambda connection: connection.execute(asked).first())
        if found is None:
            return None
        ahead = 0 if found.lease is None else self._microseconds() - self._lease_clock.microseconds()
        return moment(found.due_at + ahead)

    async def pieces(self, row: QueueRow) -> AsyncIterator[bytes]:
        """Read the body as it was accepted, each piece in a transaction of its own.

        @raise StoreDamaged: the next piece is not the one that was accepted.
        """
        found = await self._first_piece(row)
        if found is None or found[0] != row.lease:
            raise StoreError("the lease of the recipient has ended, and its message may be deleted")
        _, message_id, pieces, content, octets, wrong = found
        if wrong:
            raise self._database.damage.report(message_id, wrong.format(0))
        rest = LaterPieces(self._database, message_id, pieces, octets)
        rest.check_size()
        await rest.verify_if_damaged()
        yield content
        for number in range(1, pieces):
            content, _dots = await rest.read(number)
            yield content

    async def _first_piece(self, row: QueueRow) -> _FirstPiece | None:
        try:
            return await self._first_pieces.submit(row.row_id)
        except StoreDamaged:
            # The damage may be in another message of the same read.
            pass
        single = [row.row_id]
        try:
            [found] = await self._database.read(
                "first-piece", lambda connection: _read_first_pieces(connection, single)
            )
        except StoreDamaged as error:
            raise self._database.damage.report(row.message_id, UNREADABLE.format(0)) from error
        return found


def _read_first_pieces(connection: Connection, row_ids: Sequence[int]) -> list[_FirstPiece | None]:
    found = {
        row_id: _check_first_piece(*rest)
        for row_id, *rest in connection.execute(_SELECT_FIRST_PIECES, {"rows": sorted(row_ids)})
    }
    return [found.get(row_id) for row_id in row_ids]


def _check_first_piece(
    lease: int | None,
    message_id: int,
    pieces: int,
    octets: int,
    dots: bool,
    content: bytes | None,
    checksum: bytes | None,
    digest: bytes | None,
) -> _FirstPiece:
    if content is None:
        return lease, message_id, pieces, b"", 0, MISSING
    wrong = "" if is_intact(message_id, 0, dots, content, checksum, digest) else CHANGED
    return lease, message_id, pieces, bytes(content), octets - len(content), wrong


def due_rows(now: int, limit: int, is_own: ColumnElement[bool], steady: int) -> Select[Any]:
    """Return the query for due rows with their messages, the longest due first, along the index of due_at.

    @param now: microseconds since 1970.
    @param is_own: the condition that this process made the lease of a row.
    @param steady: the time by the clock of leases, in microseconds since 1970.
    """
    is_waiting = and_(queue.c.lease.is_(None), queue.c.due_at <= now)
    has_ended = and_(is_own, queue.c.due_at <= steady)
    return (
        select(queue, *ENVELOPE)
        .join(messages, messages.c.message_id == queue.c.message_id)
        # The first condition is for the index.
        .where(queue.c.due_at <= max(now, steady), or_(is_waiting, has_ended))
        .order_by(queue.c.due_at, queue.c.row_id)
        .limit(limit)
        # Skip rows that another node is leasing. SQLite has one writer and ignores this.
        .with_for_update(of=queue, skip_locked=True)
    )


def _nothing() -> None:
    """No runner waits for returned leases."""


def _by_lease(rows: Sequence[QueueRow]) -> dict[int, list[int]]:
    leases: dict[int, list[int]] = {}
    for row in rows:
        leases.setdefault(row.lease, []).append(row.row_id)
    return leases


def _queue_row(row: Any, lease: int, ages: Mapping[int, int]) -> QueueRow:
    notify, orcpt = row[queue.c.notify], row[queue.c.orcpt]
    aged_from = ages.get(row[queue.c.row_id])
    return QueueRow(
        row_id=row[queue.c.row_id],
        lease=lease,
        message_id=row[messages.c.message_id],
        queue_id=id_text(row[messages.c.message_id]),
        reverse_path=reverse_path(row[messages.c.reverse_local], row[messages.c.reverse_domain]),
        forward_path=Address(row[queue.c.forward_local], row[queue.c.forward_domain]),
        arrived_at=moment(row[messages.c.arrived_at]),
        octets=row[messages.c.octets],
        parameters=parameters_of(row),
        attempts=row[queue.c.attempts],
        warned=bool(row[queue.c.warned]),
        forwarded=bool(row[queue.c.forwarded]),
        dsn=RecipientRequest(
            None if notify is None else parse_notify(notify), None if orcpt is None else parse_orcpt(orcpt)
        ),
        aged_from=None if aged_from is None else moment(aged_from),
    )

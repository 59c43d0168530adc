"""A queue in memory, over the rows of L{MemoryStore}."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from zope.interface import implementer

from emailsys.interfaces import (
    NO_DELAYS,
    DelayRule,
    DomainPair,
    IQueue,
    Notice,
    QueueRow,
    Settlement,
    StoreError,
)
from emailsys.interfaces.operators import EventKind
from tests.fakes.store.memory_maildrop import PIECE_OCTETS

if TYPE_CHECKING:
    from tests.fakes.store.memory_store import MemoryStore, WaitingRow


@implementer(IQueue)
class MemoryQueue:
    """Remote recipients that wait."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        #: What `tenure` returns.
        self.held: int | None = 1
        self.on_returned: Callable[[], None] = lambda: None
        # How often other nodes were told of due rows.
        self.shared = 0

    def share(self) -> None:
        self.shared += 1

    def tenure(self) -> int | None:
        return self.held

    def _steady(self) -> datetime:
        """The clock of leases, which never jumps."""
        return self._store.now() - timedelta(seconds=self._store.jumped)

    def _is_due(self, row: WaitingRow) -> bool:
        return row.due_at <= (self._store.now() if row.lease is None else self._steady())

    async def lease(
        self, limit: int, seconds: float, later: Mapping[DomainPair, DelayRule] = NO_DELAYS
    ) -> Sequence[QueueRow]:
        now = self._store.now()
        for row in self._store.waiting:
            start = row.message.envelope.arrived_at if row.aged_from is None else row.aged_from
            if now - row.due_at > timedelta(seconds=600) and not row.on_hold:
                row.aged_from = min(start + (now - row.due_at), now)
            elif start > now + timedelta(days=1):
                row.aged_from = now
            sender = row.message.envelope.reverse_path
            way = (None if sender is None else sender.domain, row.forward_path.domain)
            if way in later and self._is_due(row) and not row.on_hold:
                self._postpone(row, later[way])
        for stopped in self._store.waiting:
            if stopped.on_hold and self._is_due(stopped):
                stopped.lease = None
        due = sorted(
            (row for row in self._store.waiting if self._is_due(row) and not row.on_hold),
            key=lambda row: (row.due_at, row.row_id),
        )
        leased = []
        for row in due[:limit]:
            if row.lease is not None:
                self._store.tell(row.message, EventKind.INTERRUPTED, row.forward_path)
            row.lease = self._store.make_id()
            row.due_at = self._steady() + timedelta(seconds=seconds)
            envelope = row.message.envelope
            leased.append(
                QueueRow(
                    row_id=row.row_id,
                    lease=row.lease,
                    message_id=int(row.message.queue_id[1:]),
                    queue_id=row.message.queue_id,
                    reverse_path=envelope.reverse_path,
                    forward_path=row.forward_path,
                    arrived_at=envelope.arrived_at,
                    octets=len(row.message.body),
                    parameters=envelope.parameters,
                    attempts=row.attempts,
                    warned=row.warned,
                    forwarded=row.forwarded,
                    dsn=row.dsn,
                    aged_from=row.aged_from,
                )
            )
        return leased

    def _postpone(self, row: WaitingRow, how: DelayRule) -> None:
        due_at = how.due_at(row.attempts, row.aged_from or row.message.envelope.arrived_at, row.warned)
        if due_at is None:
            return
        if row.lease is not None:
            self._store.tell(row.message, EventKind.INTERRUPTED, row.forward_path)
        row.lease, row.due_at = None, due_at
        if how.reply:
            row.attempts += 1
            row.last_reply, row.last_remote = how.reply, how.remote
            self._store.tell(row.message, EventKind.DELAYED, row.forward_path, how.reply)
            how.on_delayed(row.message.queue_id, row.forward_path)

    def _held(self, row: QueueRow) -> WaitingRow | None:
        return next((w for w in self._store.waiting if w.row_id == row.row_id and w.lease == row.lease), None)

    async def renew(self, rows: Sequence[QueueRow], seconds: float) -> Sequence[QueueRow]:
        lost = []
        for leased in rows:
            row = self._held(leased)
            if row is None:
                lost.append(leased)
            else:
                row.due_at = self._steady() + timedelta(seconds=seconds)
        return lost

    async def settle(self, settlements: Sequence[Settlement], notices: Sequence[Notice] = ()) -> int:
        await self._store.before_commit()
        settled = 0
        for settlement in settlements:
            row = self._held(settlement.row)
            if row is None:
                continue
            settled += 1
            self._store.settlements.append(settlement)
            if settlement.due_at is None:
                self._store.waiting.remove(row)
                row.message.ended[row.row_id] = settlement.fate
                kind = EventKind[settlement.fate.name]
                self._store.tell(row.message, kind, row.forward_path, settlement.reply)
            else:
                if settlement.tried:
                    row.last_reply, row.last_remote = settlement.reply, settlement.remote
                    kind = EventKind.HELD if settlement.hold else EventKind.DELAYED
                    self._store.tell(row.message, kind, row.forward_path, settlement.reply)
                row.on_hold = row.on_hold or settlement.hold
                if settlement.warned:
                    self._store.tell(row.message, EventKind.WARNED, row.forward_path)
                row.attempts += settlement.tried
                row.lease, row.due_at, row.warned = None, settlement.due_at, row.warned or settlement.warned
        if settled:
            self._store.accept_notices(notices, f"Q{settlements[0].row.message_id:06d}")
        return settled

    async def release(self, rows: Sequence[QueueRow], since: datetime) -> None:
        for leased in rows:
            row = self._held(leased)
            if row is not None:
                row.lease, row.due_at = None, min(row.due_at, since, self._store.now())

    async def correct_dates(self, ahead: float) -> int:
        now, corrected = self._store.now(), 0
        for row in self._store.waiting:
            latest = (now if row.lease is None else self._steady()) + timedelta(seconds=ahead)
            if row.due_at > latest and not row.on_hold:
                start = row.message.envelope.arrived_at if row.aged_from is None else row.aged_from
                if start > now + timedelta(days=1):
                    row.aged_from = now
                row.due_at = now if row.lease is None else latest
                corrected += 1
        return corrected

    async def next_due(self) -> datetime | None:
        jumped = timedelta(seconds=self._store.jumped)
        return min(
            (
                row.due_at + jumped if row.lease else row.due_at
                for row in self._store.waiting
                if row.lease or not row.on_hold
            ),
            default=None,
        )

    async def pieces(self, row: QueueRow) -> AsyncIterator[bytes]:
        body = next((w.message.body for w in self._store.waiting if w.row_id == row.row_id), None)
        if body is None:
            raise StoreError("the message is deleted")
        for start in range(0, len(body), PIECE_OCTETS):
            yield body[start : start + PIECE_OCTETS]

"""Queue operations for operators: listing and changing rows, in short steps however long the queue is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Select, case, delete, func, literal, select, update
from zope.interface import implementer

from emailsys.interfaces import Fate
from emailsys.interfaces.operators import (
    DomainQueue,
    EventKind,
    IQueueOperations,
    QueueChange,
    QueueEntry,
    QueueFilter,
    RowState,
)
from emailsys.mail.address import Address, domain_key
from emailsys.store.commit.database import Database
from emailsys.store.commit.ids import id_number, id_text
from emailsys.store.ledger.events import Event
from emailsys.store.maintenance.sweeper import Sweeper
from emailsys.store.queue.hints import QueueHints
from emailsys.store.queue.leases import ENVELOPE
from emailsys.store.schema.columns import moment, of_seconds, reverse_path
from emailsys.store.schema.rows import ReclaimRow, SettledRow
from emailsys.store.schema.tables import NEVER, events, messages, queue, reclaim, settled

# Rows that one step changes. Arriving mail waits for at most one step.
_STEP: Final = 500

# A row that will be held when its attempt ends is shown as held.
_STATES: Final = {
    "waiting": RowState.WAITING,
    "leased": RowState.LEASED,
    "holding": RowState.HELD,
    "held": RowState.HELD,
}
_EVENTS: Final = {
    QueueChange.RETRY: EventKind.RETRIED,
    QueueChange.HOLD: EventKind.HELD,
    QueueChange.RELEASE: EventKind.RELEASED,
}


@implementer(IQueueOperations)
class QueueOperations:
    """The queue as operators see it."""

    def __init__(self, database: Database, sweeper: Sweeper, hints: QueueHints, now: Callable[[], float]) -> None:
        """@param now: seconds since 1970."""
        self._database = database
        self._sweeper = sweeper
        self._hints = hints
        self._now = now
        engine = database.engine
        self._events, self._settled = engine.inserts(events), engine.inserts(settled)
        self._reclaim = engine.inserts(reclaim)

    def _microseconds(self) -> int:
        return of_seconds(self._now())

    def _chosen(self, which: QueueFilter) -> Any:
        """Return the filter as a condition on queue and messages."""
        chosen: Any = literal(True)
        if which.queue_ids:
            numbers = [number for number in map(id_number, which.queue_ids) if number is not None]
            chosen &= queue.c.message_id.in_(numbers)
        if which.domain:
            chosen &= func.lower(queue.c.forward_domain).in_({which.domain.lower(), domain_key(which.domain)})
        if which.state is not None:
            chosen &= queue.c.state.in_([name for name, state in _STATES.items() if state is which.state])
        if which.older_than:
            chosen &= messages.c.arrived_at <= self._microseconds() - of_seconds(which.older_than)
        if which.sender:
            chosen &= _sent_by(which.sender)
        return chosen

    async def entries(self, which: QueueFilter, limit: int, after: int = 0) -> Sequence[QueueEntry]:
        """List matching rows in the order of their acceptance."""
        asked = self.listing(which, limit, after)
        rows = await self._database.read("queue-entries", lambda connection: connection.execute(asked).mappings().all())
        return [
            QueueEntry(
                row_id=row[queue.c.row_id],
                queue_id=id_text(row[messages.c.message_id]),
                reverse_path=reverse_path(row[messages.c.reverse_local], row[messages.c.reverse_domain]),
                forward_path=Address(row[queue.c.forward_local], row[queue.c.forward_domain]),
                state=_STATES[row[queue.c.state]],
                arrived_at=moment(row[messages.c.arrived_at]),
                due_at=None if row[queue.c.due_at] >= NEVER else moment(row[queue.c.due_at]),
                octets=row[messages.c.octets],
                attempts=row[queue.c.attempts],
                warned=bool(row[queue.c.warned]),
                last_reply=row[queue.c.last_reply] or "",
                last_remote=row[queue.c.last_remote] or "",
            )
            for row in rows
        ]

    def listing(self, which: QueueFilter, limit: int, after: int) -> Select[Any]:
        """Return the query for matching rows with their messages, in the order of their ids.

        @param after: only rows with higher ids.
        """
        return (
            select(queue, *ENVELOPE)
            .join(messages, messages.c.message_id == queue.c.message_id)
            .where(self._chosen(which), queue.c.row_id > after)
            .order_by(queue.c.row_id)
            .limit(limit)
        )

    async def summary(self) -> Sequence[DomainQueue]:
        """Count rows by recipient domain, the domain with the most rows first."""

        def count(*states: str) -> Any:
            return func.coalesce(func.sum(case((queue.c.state.in_(states), 1), else_=0)), 0)

        domain = func.lower(queue.c.forward_domain)
        asked = (
            select(
                domain.label("domain"),
                count("waiting").label("waiting"),
                count("leased").label("leased"),
                count("held", "holding").label("held"),
                func.min(messages.c.arrived_at).label("oldest"),
                func.min(queue.c.due_at).label("due_at"),
            )
            .join(messages, messages.c.message_id == queue.c.message_id)
            .group_by(domain)
            .order_by(func.count().desc(), domain)
        )
        rows = await self._database.read("queue-summary", lambda connection: connection.execute(asked).all())
        return [
            DomainQueue(
                row.domain,
                int(row.waiting),
                int(row.leased),
                int(row.held),
                moment(row.oldest),
                None if row.due_at >= NEVER else moment(row.due_at),
            )
            for row in rows
        ]

    async def change(self, which: QueueFilter, change: QueueChange) -> int:
        """Change all matching rows, step by step. Rows that are added during the change are not affected."""
        chosen = self._chosen(which)
        last = await self._database.read(
            "queue-last", lambda connection: connection.execute(select(func.max(queue.c.row_id))).scalar()
        )
        after, changed = 0, 0
        while last is not None:
            asked = (
                select(queue.c.row_id)
                .join(messages, messages.c.message_id == queue.c.message_id)
                .where(chosen, queue.c.row_id > after, queue.c.row_id <= last)
                .order_by(queue.c.row_id)
                .limit(_STEP)
            )
            row_ids = await self._database.read("queue-choose", _scalars(asked))
            if not row_ids:
                break
            after = row_ids[-1]
            changed += await self._database.run(f"queue-{change.value}", self._step(change, row_ids))
        if changed and change is QueueChange.DROP:
            self._sweeper.wake()
        elif changed and change is not QueueChange.HOLD:
            await self._hints.send()
        return changed

    def _step(self, change: QueueChange, row_ids: Sequence[int]) -> Callable[[Connection], int]:
        now = self._microseconds()

        def run(connection: Connection) -> int:
            # Rows may have been settled or leased since they were selected.
            rows = connection.execute(
                select(queue).where(queue.c.row_id.in_(row_ids)).order_by(queue.c.row_id).with_for_update()
            ).all()
            if change is QueueChange.DROP:
                return self._drop(connection, rows, now)
            changed: list[Any] = []
            for before, after in _TRANSITIONS[change].items():
                moved = [row for row in rows if row.state == before]
                values: dict[str, Any] = {"state": after}
                if after == "held":
                    values |= {"due_at": NEVER, "lease": None}
                elif after == "waiting":
                    values["due_at"] = now
                    if before == "held":
                        # Time in hold does not count toward the age; the row was not tried in it.
                        values["aged_from"] = now
                if moved:
                    some = queue.c.row_id.in_([row.row_id for row in moved])
                    connection.execute(update(queue).where(some).values(**values))
                    changed += moved
            make = self._database.ids.make
            kind = _EVENTS[change]
            self._events.insert(
                connection,
                [
                    Event(row.message_id, kind, row.row_id, str(Address(row.forward_local, row.forward_domain))).row(
                        make(), now
                    )
                    for row in changed
                ],
            )
            return len(changed)

        return run

    def _drop(self, connection: Connection, rows: Sequence[Any], now: int) -> int:
        """Move rows from the queue to the ledger."""
        self._reclaim.insert(connection, [ReclaimRow(row.row_id, row.message_id) for row in rows])
        self._settled.insert(
            connection,
            [
                SettledRow(
                    row_id=row.row_id,
                    message_id=row.message_id,
                    settled_at=now,
                    fate=Fate.DROPPED.name,
                    recipient=str(Address(row.forward_local, row.forward_domain)),
                    attempts=row.attempts,
                    reply=row.last_reply,
                    remote=row.last_remote,
                    # A leased row may be in transmission now.
                    in_doubt=row.state in ("leased", "holding"),
                )
                for row in rows
            ],
        )
        connection.execute(delete(queue).where(queue.c.row_id.in_([row.row_id for row in rows])))
        return len(rows)


# The transitions between states for each change.
_TRANSITIONS: Final = {
    QueueChange.RETRY: {"waiting": "waiting"},
    QueueChange.HOLD: {"waiting": "held", "leased": "holding"},
    QueueChange.RELEASE: {"held": "waiting", "holding": "leased"},
}


def _scalars(asked: Any) -> Callable[[Connection], Sequence[int]]:
    return lambda connection: connection.execute(asked).scalars().all()


def _sent_by(sender: str) -> Any:
    if sender == "<>":
        return messages.c.reverse_domain.is_(None)
    local, at, domain = sender.rpartition("@")
    chosen: Any = func.lower(messages.c.reverse_domain).in_({domain.lower(), domain_key(domain)})
    return chosen & (func.lower(messages.c.reverse_local) == local.lower()) if at and local else chosen

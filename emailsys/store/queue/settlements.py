"""Settlements: records attempts in one commit, with rows ended or rescheduled, events, and notices."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, select, update

from emailsys.interfaces import Notice, Settlement
from emailsys.interfaces.operators import EventKind
from emailsys.store.commit.batching import Batcher
from emailsys.store.commit.database import Database
from emailsys.store.commit.inserts import MessageInserts
from emailsys.store.commit.jobs import Rows
from emailsys.store.ledger.events import Event
from emailsys.store.maintenance.sweeper import Sweeper
from emailsys.store.message.rows import notice_rows
from emailsys.store.schema.columns import microseconds, of_seconds
from emailsys.store.schema.rows import ReclaimRow, SettledRow
from emailsys.store.schema.tables import NEVER, events, queue, reclaim, settled

# Row ids in one statement.
_ROWS_AT_ONCE: Final = 500
# Attempts that are settled together. Other mail waits for at most that long.
_ATTEMPTS_AT_ONCE: Final = 100

# A settlement and its time in microseconds since 1970.
_Attempt = tuple[Settlement, int]

_RESCHEDULE: Final = (
    update(queue)
    .where(queue.c.row_id == bindparam("row"))
    .values(
        state=bindparam("to_state"),
        lease=None,
        due_at=bindparam("due"),
        attempts=bindparam("tries"),
        last_reply=bindparam("reply"),
        last_remote=bindparam("remote"),
        warned=bindparam("was_warned"),
    )
)
_DELETE: Final = delete(queue).where(queue.c.row_id.in_(bindparam("rows", expanding=True)))
_SELECT_ROWS: Final = (
    select(
        queue.c.row_id,
        queue.c.lease,
        queue.c.state,
        queue.c.attempts,
        queue.c.last_reply,
        queue.c.last_remote,
        queue.c.warned,
    )
    .where(queue.c.row_id.in_(bindparam("rows", expanding=True)))
    .order_by(queue.c.row_id)
    .with_for_update()
)


class Settlements:
    """Records how attempts ended."""

    def __init__(self, database: Database, sweeper: Sweeper, now: Callable[[], float]) -> None:
        self._database = database
        self._sweeper = sweeper
        self._now = now
        engine = database.engine
        self._messages = MessageInserts(engine)
        self._settled, self._events = engine.inserts(settled), engine.inserts(events)
        self._reclaim = engine.inserts(reclaim)
        self._batcher: Batcher[Sequence[_Attempt], int] = Batcher(
            lambda record: database.run("settle", record), self._record, _ATTEMPTS_AT_ONCE
        )

    async def settle(self, settlements: Sequence[Settlement], notices: Sequence[Notice]) -> int:
        """Record settlements and accept their notices in one commit.

        @return: the number of leases that were still valid. If there were none, the notices are not accepted.
        """
        if not settlements:
            return 0
        now = of_seconds(self._now())
        attempts = [(settlement, now) for settlement in settlements]
        if not notices:
            count = await self._batcher.submit(attempts)
        else:
            make = self._database.ids.make
            rows = Rows("notices", sum(len(notice.body) for notice in notices))
            for notice in notices:
                notice_rows(rows, notice, make, now, settlements[0].row.message_id)

            def record(connection: Connection) -> int:
                [held] = self._record(connection, [attempts])
                if held:
                    self._messages.insert(connection, [rows])
                return held

            count = await self._database.run("settle", record)
        self._sweeper.wake()
        return count

    def _record(self, connection: Connection, asked: Sequence[Sequence[_Attempt]]) -> list[int]:
        """Record attempts of several messages. Returns the number of valid leases for each message."""
        paired = _held(connection, [settlement for attempts in asked for settlement, _ in attempts])
        times = [now for attempts in asked for _, now in attempts]
        held = [(s, row, now) for (s, row), now in zip(paired, times, strict=True) if row is not None]
        if ended := [(s, now) for s, _, now in held if s.due_at is None]:
            self._end(connection, ended)
        self._reschedule(connection, held)
        make = self._database.ids.make
        self._events.insert(connection, [event.row(make(), now) for event, now in _events(held)])
        counts, start = [], 0
        for attempts in asked:
            end = start + len(attempts)
            counts.append(sum(row is not None for _, row in paired[start:end]))
            start = end
        return counts

    def _end(self, connection: Connection, ended: Sequence[_Attempt]) -> None:
        for start in range(0, len(ended), _ROWS_AT_ONCE):
            some = [s.row.row_id for s, _ in ended[start : start + _ROWS_AT_ONCE]]
            connection.execute(_DELETE, {"rows": some})
        self._reclaim.insert(connection, [ReclaimRow(s.row.row_id, s.row.message_id) for s, _ in ended])
        self._settled.insert(
            connection,
            [
                SettledRow(
                    row_id=s.row.row_id,
                    message_id=s.row.message_id,
                    settled_at=now,
                    fate=s.fate.name,
                    recipient=str(s.row.forward_path),
                    attempts=s.row.attempts + s.tried,
                    reply=s.reply,
                    remote=s.remote,
                    in_doubt=s.in_doubt,
                )
                for s, now in ended
            ],
        )

    def _reschedule(self, connection: Connection, held: Sequence[tuple[Settlement, Any, int]]) -> None:
        values = []
        for settlement, row, _ in held:
            if settlement.due_at is None:
                continue
            is_held = settlement.hold or row.state == "holding"
            values.append(
                {
                    "row": row.row_id,
                    "to_state": "held" if is_held else "waiting",
                    "due": NEVER if is_held else microseconds(settlement.due_at),
                    "tries": row.attempts + settlement.tried,
                    "reply": settlement.reply if settlement.tried else row.last_reply,
                    "remote": settlement.remote if settlement.tried else row.last_remote,
                    "was_warned": bool(row.warned) or settlement.warned,
                }
            )
        if values:
            connection.execute(_RESCHEDULE, values)


def _held(connection: Connection, settlements: Sequence[Settlement]) -> list[tuple[Settlement, Any]]:
    """Pair each settlement with its present row, or with None if its lease is lost."""
    found: dict[tuple[int, int | None], Any] = {}
    row_ids = sorted({s.row.row_id for s in settlements})
    for start in range(0, len(row_ids), _ROWS_AT_ONCE):
        rows = connection.execute(_SELECT_ROWS, {"rows": row_ids[start : start + _ROWS_AT_ONCE]}).all()
        found.update({(row.row_id, row.lease): row for row in rows})
    return [(s, found.pop((s.row.row_id, s.row.lease), None)) for s in settlements]


def _events(held: Sequence[tuple[Settlement, Any, int]]) -> Iterator[tuple[Event, int]]:
    """Yield the events of attempts that did not end the row. The end itself is recorded in `settled`."""
    for settlement, row, now in held:
        if settlement.due_at is None or not settlement.tried:
            continue
        message_id, path = settlement.row.message_id, str(settlement.row.forward_path)
        delayed = Event(
            message_id,
            EventKind.HELD if settlement.hold else EventKind.DELAYED,
            row.row_id,
            path,
            settlement.reply,
            settlement.remote,
            settlement.in_doubt,
        )
        yield delayed, now
        if settlement.warned:
            yield Event(message_id, EventKind.WARNED, row.row_id, path), now

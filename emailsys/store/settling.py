"""Settle attempts in one commit: rows ended or re-dated, what happened noted, and the notices accepted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, select, update

from emailsys.interfaces import Notice, Settlement
from emailsys.operations import EventKind
from emailsys.store.addressing import notice_rows
from emailsys.store.database import Database
from emailsys.store.history import Event, microseconds
from emailsys.store.ids import id_number
from emailsys.store.inserting import Inserting
from emailsys.store.jobs import Rows
from emailsys.store.reclaim import Sweeper
from emailsys.store.schema import NEVER, events, queue, reclaim, settled

# Rows that one statement names.
_ROWS_AT_ONCE: Final = 500

_REDATE: Final = (
    update(queue)
    .where(queue.c.row_id == bindparam("row"))
    .values(
        state=bindparam("to_state"),
        lease=None,
        due_at=bindparam("due"),
        attempts=bindparam("tries"),
        last_reply=bindparam("reply"),
        last_remote=bindparam("remote"),
        warned=bindparam("told"),
    )
)


class Settling:
    """Who writes down how attempts ended."""

    def __init__(self, database: Database, sweeper: Sweeper, now: Callable[[], float]) -> None:
        self._database = database
        self._sweeper = sweeper
        self._now = now
        engine = database.engine
        self._messages = Inserting(engine)
        self._settled, self._events = engine.inserts(settled), engine.inserts(events)
        self._reclaim = engine.inserts(reclaim)

    async def settle(self, settlements: Sequence[Settlement], notices: Sequence[Notice]) -> int:
        """Returns for how many the lease still held; where it held for none, the notices are not accepted."""
        if not settlements:
            return 0
        now = int(self._now() * 1_000_000)
        message_ids = {s.row.queue_id: id_number(s.row.queue_id) or 0 for s in settlements}
        make = self._database.ids.make
        rows = Rows("notices", sum(len(notice.body) for notice in notices))
        for notice in notices:
            notice_rows(rows, notice, make, now, message_ids[settlements[0].row.queue_id])
        event_ids = [make() for _ in range(2 * len(settlements))]

        def record(connection: Connection) -> int:
            held = _held(connection, settlements)
            ended = [s for s, row in held if s.due_at is None]
            if ended:
                self._end(connection, ended, message_ids, now)
            self._redate(connection, held)
            told = list(_events(held, message_ids))
            if told:
                self._events.insert(
                    connection, [event.row(number, now) for number, event in zip(event_ids, told, strict=False)]
                )
            if held and notices:
                self._messages.insert(connection, [rows])
            return len(held)

        count = await self._database.run("settle", record)
        self._sweeper.wake()
        return count

    def _end(self, connection: Connection, ended: Sequence[Settlement], message_ids: dict[str, int], now: int) -> None:
        for start in range(0, len(ended), _ROWS_AT_ONCE):
            some = [s.row.row_id for s in ended[start : start + _ROWS_AT_ONCE]]
            connection.execute(delete(queue).where(queue.c.row_id.in_(some)))
        self._reclaim.insert(connection, [(s.row.row_id, message_ids[s.row.queue_id]) for s in ended])
        self._settled.insert(
            connection,
            [
                (
                    s.row.row_id,
                    message_ids[s.row.queue_id],
                    now,
                    s.fate.name,
                    str(s.row.forward_path),
                    s.row.attempts + s.tried,
                    s.reply,
                    s.remote,
                    s.in_doubt,
                )
                for s in ended
            ],
        )

    def _redate(self, connection: Connection, held: Sequence[tuple[Settlement, Any]]) -> None:
        values = []
        for settlement, row in held:
            if settlement.due_at is None:
                continue
            stopped = row.state == "holding"
            values.append(
                {
                    "row": row.row_id,
                    "to_state": "held" if stopped else "waiting",
                    "due": NEVER if stopped else microseconds(settlement.due_at),
                    "tries": row.attempts + settlement.tried,
                    "reply": settlement.reply if settlement.tried else row.last_reply,
                    "remote": settlement.remote if settlement.tried else row.last_remote,
                    "told": bool(row.warned) or settlement.warned,
                }
            )
        if values:
            connection.execute(_REDATE, values)


def _held(connection: Connection, settlements: Sequence[Settlement]) -> list[tuple[Settlement, Any]]:
    """Those whose lease is still theirs, with their rows as they are now."""
    found: dict[tuple[int, int | None], Any] = {}
    row_ids = sorted({s.row.row_id for s in settlements})
    for start in range(0, len(row_ids), _ROWS_AT_ONCE):
        asked = (
            select(
                queue.c.row_id,
                queue.c.lease,
                queue.c.state,
                queue.c.attempts,
                queue.c.last_reply,
                queue.c.last_remote,
                queue.c.warned,
            )
            .where(queue.c.row_id.in_(row_ids[start : start + _ROWS_AT_ONCE]))
            .order_by(queue.c.row_id)
            .with_for_update()
        )
        found.update({(row.row_id, row.lease): row for row in connection.execute(asked).all()})
    held = []
    for settlement in settlements:
        row = found.pop((settlement.row.row_id, settlement.row.lease), None)
        if row is not None:
            held.append((settlement, row))
    return held


def _events(held: Sequence[tuple[Settlement, Any]], message_ids: dict[str, int]) -> Any:
    """What is told of attempts that did not end it; how it ended is in `settled` itself."""
    for settlement, row in held:
        if settlement.due_at is None or not settlement.tried:
            continue
        message_id, path = message_ids[settlement.row.queue_id], str(settlement.row.forward_path)
        yield Event(
            message_id,
            EventKind.DELAYED,
            row.row_id,
            path,
            settlement.reply,
            settlement.remote,
            settlement.in_doubt,
        )
        if settlement.warned:
            yield Event(message_id, EventKind.WARNED, row.row_id, path)

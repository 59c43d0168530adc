"""Put off, in the lease that meets them, rows whose next hop is known to take nothing now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, update

from emailsys.interfaces import PutOff, Way
from emailsys.mail.address import Address
from emailsys.operations import EventKind
from emailsys.store.database import Database
from emailsys.store.history import Event, microseconds, moment
from emailsys.store.schema import NEVER, events, messages, queue

# Rows that one statement names.
_ROWS_AT_ONCE: Final = 500

#: A row that was put off as an attempt: how, its message, its forward-path.
Delayed = tuple[PutOff, int, Address]


class Due:
    """Rows that are due, by what is done with them."""

    def __init__(self, rows: Sequence[Any], later: Mapping[Way, PutOff]) -> None:
        #: Those to be leased.
        self.taken: list[Any] = []
        #: Those put off, by how and until when.
        self.later: dict[tuple[PutOff, int], list[Any]] = {}
        #: Their lease ran out while an operator waited to hold them.
        self.stopped: list[int] = []
        for row in rows:
            if row[queue.c.state] == "holding":
                self.stopped.append(row[queue.c.row_id])
                continue
            put_off = later.get((row[messages.c.reverse_domain], row[queue.c.forward_domain])) if later else None
            due_at = None
            if put_off is not None:
                arrived_at = moment(row[messages.c.arrived_at])
                due_at = put_off.due_at(row[queue.c.attempts], arrived_at, bool(row[queue.c.warned]))
            if put_off is None or due_at is None:
                self.taken.append(row)
            else:
                self.later.setdefault((put_off, microseconds(due_at)), []).append(row)


class PuttingOff:
    """Who writes that down."""

    def __init__(self, database: Database) -> None:
        self._make = database.ids.make
        self._events = database.engine.inserts(events)

    def record(self, connection: Connection, due: Due, now: int) -> list[Delayed]:
        """Give their new dates to rows that are not taken; returns those of which an attempt is told.

        @param now: microseconds since 1970.
        """
        for some in in_parts(due.stopped):
            _set(connection, some, state="held", due_at=NEVER)
        told: list[Delayed] = []
        for (put_off, due_at), rows in due.later.items():
            values: dict[str, Any] = {"state": "waiting", "due_at": due_at}
            if put_off.reply:
                values |= {"attempts": queue.c.attempts + 1}
                values |= {"last_reply": put_off.reply, "last_remote": put_off.remote}
                told += self._tell(connection, put_off, rows, now)
            for some in in_parts([row[queue.c.row_id] for row in rows]):
                _set(connection, some, **values)
        return told

    def _tell(self, connection: Connection, put_off: PutOff, rows: Sequence[Any], now: int) -> list[Delayed]:
        told = [
            (put_off, row[messages.c.message_id], Address(row[queue.c.forward_local], row[queue.c.forward_domain]))
            for row in rows
        ]
        self._events.insert(
            connection,
            [
                Event(
                    message_id,
                    EventKind.DELAYED,
                    row[queue.c.row_id],
                    str(forward_path),
                    put_off.reply,
                    put_off.remote,
                ).row(self._make(), now)
                for row, (_, message_id, forward_path) in zip(rows, told, strict=True)
            ],
        )
        return told


def _set(connection: Connection, row_ids: Sequence[int], **values: Any) -> None:
    connection.execute(update(queue).where(queue.c.row_id.in_(row_ids)).values(lease=None, **values))


def in_parts(row_ids: Sequence[int]) -> Iterable[Sequence[int]]:
    """As many at a time as one statement names."""
    for start in range(0, len(row_ids), _ROWS_AT_ONCE):
        yield row_ids[start : start + _ROWS_AT_ONCE]

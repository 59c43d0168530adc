"""DelayRule: reschedules due rows whose next hop is known to be unreachable, within the lease that finds them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, update

from emailsys.interfaces import DelayRule, DomainPair
from emailsys.interfaces.operators import EventKind
from emailsys.mail.address import Address
from emailsys.store.commit.database import Database
from emailsys.store.engine.base import pad_to_power_of_two
from emailsys.store.ledger.events import Event
from emailsys.store.schema.columns import microseconds, moment
from emailsys.store.schema.tables import NEVER, events, messages, queue

# Row ids in one statement.
_ROWS_AT_ONCE: Final = 500
# Rows that one statement reschedules to individual times.
_DATES_AT_ONCE: Final = 128

#: A row whose postponement counts as an attempt: the DelayRule, the message id, the forward-path.
Delayed = tuple[DelayRule, int, Address]


class Due:
    """Due rows, grouped by what happens to them."""

    def __init__(
        self, rows: Sequence[Any], later: Mapping[DomainPair, DelayRule], ages: Mapping[int, int] = MappingProxyType({})
    ) -> None:
        """@param ages: the starts of ages by row id, where they are not the arrivals, in microseconds since 1970."""
        #: Rows to lease.
        self.taken: list[Any] = []
        #: Rows to reschedule, each with its DelayRule and the new time in microseconds since 1970.
        self.postponed: list[tuple[Any, DelayRule, int]] = []
        #: Ids of rows to hold: an operator asked for it, and their lease has ended.
        self.to_hold: list[int] = []
        for row in rows:
            if row[queue.c.state] == "holding":
                self.to_hold.append(row[queue.c.row_id])
                continue
            rule = later.get((row[messages.c.reverse_domain], row[queue.c.forward_domain])) if later else None
            due_at = None
            if rule is not None:
                start = moment(ages.get(row[queue.c.row_id], row[messages.c.arrived_at]))
                due_at = rule.due_at(row[queue.c.attempts], start, bool(row[queue.c.warned]))
            if rule is None or due_at is None:
                self.taken.append(row)
            else:
                self.postponed.append((row, rule, microseconds(due_at)))


class Postponement:
    """Records postponed rows."""

    def __init__(self, database: Database) -> None:
        self._make = database.ids.make
        self._events = database.engine.inserts(events)
        self._placeholder = database.engine.placeholder

    def record(self, connection: Connection, due: Due, now: int) -> list[Delayed]:
        """Reschedule and hold rows that are not leased.

        @param now: microseconds since 1970.
        @return: the rows whose postponement counts as an attempt.
        """
        for some in chunks(due.to_hold):
            connection.execute(
                update(queue).where(queue.c.row_id.in_(some)).values(state="held", lease=None, due_at=NEVER)
            )
        for start in range(0, len(due.postponed), _DATES_AT_ONCE):
            self._reschedule(connection, due.postponed[start : start + _DATES_AT_ONCE])
        delayed: list[Delayed] = []
        event_rows = []
        for row, rule, _ in due.postponed:
            if rule.reply:
                message_id = row[messages.c.message_id]
                to = Address(row[queue.c.forward_local], row[queue.c.forward_domain])
                delayed.append((rule, message_id, to))
                row_id = row[queue.c.row_id]
                event = Event(message_id, EventKind.DELAYED, row_id, str(to), rule.reply, rule.remote)
                event_rows.append(event.row(self._make(), now))
        self._events.insert(connection, event_rows)
        return delayed

    def _reschedule(self, connection: Connection, later: Sequence[tuple[Any, DelayRule, int]]) -> None:
        values: list[Any] = []
        rows = pad_to_power_of_two(later)
        for row, rule, due_at in rows:
            tried = 1 if rule.reply else 0
            values += (row[queue.c.row_id], due_at, tried, rule.reply, rule.remote)
        connection.exec_driver_sql(reschedule_statement(self._placeholder, len(rows)), tuple(values))


@lru_cache(maxsize=16)
def reschedule_statement(placeholder: str, count: int) -> str:
    """Return the statement that reschedules a number of rows and counts attempts.

    One statement for many rows, because each statement releases the interpreter lock once (decision 0011). Its values
    for each row: the id, the new time in microseconds since 1970, 1 for an attempt or 0, the reply, the remote host.

    @param placeholder: Engine.placeholder.
    """
    kinds = ("BIGINT", "BIGINT", "BIGINT", "TEXT", "TEXT")
    row = "(" + ", ".join(f"CAST({placeholder} AS {kind})" for kind in kinds) + ")"
    # Only names from the schema are formatted in. Both engines name the columns of VALUES column1, column2 and so on.
    return (
        "UPDATE queue SET state = 'waiting', lease = NULL, due_at = later.column2,"  # noqa: S608
        " attempts = attempts + later.column3,"
        " last_reply = CASE WHEN later.column3 = 1 THEN later.column4 ELSE last_reply END,"
        " last_remote = CASE WHEN later.column3 = 1 THEN later.column5 ELSE last_remote END"
        f" FROM (VALUES {', '.join([row] * count)}) AS later WHERE queue.row_id = later.column1"
    )


def chunks(row_ids: Sequence[int]) -> Iterable[Sequence[int]]:
    """Split row ids into parts for one statement each."""
    for start in range(0, len(row_ids), _ROWS_AT_ONCE):
        yield row_ids[start : start + _ROWS_AT_ONCE]

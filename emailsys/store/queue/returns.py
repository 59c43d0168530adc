"""Returns of leases: rows whose lease ended without an attempt are due again, and the ledger says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, case, insert, update

from emailsys.interfaces.operators import EventKind
from emailsys.mail.address import Address
from emailsys.store.ledger.events import Event
from emailsys.store.queue.postponement import chunks
from emailsys.store.schema.tables import NEVER, events, queue


def record_interrupted(connection: Connection, rows: Sequence[Any], make: Callable[[], int], now: int) -> None:
    """Record recipients whose lease ended without a result. They may receive the message twice (RFC 1047).

    @param rows: mappings with the columns message_id, row_id, forward_local and forward_domain of the queue.
    @param make: makes ids.
    @param now: microseconds since 1970.
    """
    interrupted = [
        Event(
            row[queue.c.message_id],
            EventKind.INTERRUPTED,
            row[queue.c.row_id],
            str(Address(row[queue.c.forward_local], row[queue.c.forward_domain])),
        )
        for row in rows
    ]
    if interrupted:
        connection.execute(insert(events), [event.row(make(), now)._asdict() for event in interrupted])


def return_leases(connection: Connection, leases: Any, row_ids: Sequence[int], now: int) -> int:
    """End leases without an attempt. Returns the number of leases.

    A row whose lease ended earlier is due since then, so that `lease` knows for how long it was left alone.

    @param leases: the condition that selects the leases.
    @param now: microseconds since 1970.
    """
    changed = 0
    since = case((queue.c.due_at < now, queue.c.due_at), else_=now)
    for some in chunks(row_ids):
        here = queue.c.row_id.in_(some) & leases
        changed += connection.execute(
            update(queue).where(here, queue.c.state == "leased").values(state="waiting", lease=None, due_at=since)
        ).rowcount
        changed += connection.execute(
            update(queue).where(here, queue.c.state == "holding").values(state="held", lease=None, due_at=NEVER)
        ).rowcount
    return changed

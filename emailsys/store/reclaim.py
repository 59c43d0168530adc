"""Sweep up bodies that no maildrop or queue row names, and give free pages back, in steps of a few milliseconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from sqlalchemy import Connection, delete, func, select, text
from typing_extensions import override

from emailsys.store.chore import Chore
from emailsys.store.database import Database, Reactor
from emailsys.store.schema import bodies, body_pieces, maildrop, messages, queue, reclaim, settled
from emailsys.telemetry import Telemetry

# Seconds that one step may hold up the mail behind it, and that mail has for itself between two steps.
_STEP: Final = 0.005
_PAUSE: Final = 0.01
# Seconds between two looks when nothing is to be swept.
_REST: Final = 5.0
# Messages of one piece deleted by one statement, and pieces of a larger one.
_MESSAGES: Final = 32
_PIECES: Final = 4
# Free pages that stay in the file for the mail to come.
RESERVE_OCTETS: Final = 16 * 1024 * 1024
# PostgreSQL: the advisory lock that lets one node sweep at a time.
_SWEEP_LOCK: Final = 2


class Sweeper(Chore):
    """Sweeps while there is something to sweep, rests otherwise. It never has a body in hand that a row still names."""

    def __init__(
        self,
        database: Database,
        reactor: Reactor,
        telemetry: Telemetry,
        reserve: int = RESERVE_OCTETS,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """
        @param reserve: octets of free pages left in the file.
        @param clock: seconds; how long a step took.
        """
        super().__init__("store-sweep", reactor, telemetry, _PAUSE, _REST)
        self._database = database
        self._reserve = reserve
        self._clock = clock

    @override
    async def step(self) -> bool:
        """Sweep for a few milliseconds; whether there is more."""
        if await self._database.read("reclaim-look", _anything):
            await self._database.run("reclaim", self._sweep)
            return True
        return await self._database.upkeep("vacuum", self._vacuum)

    def _vacuum(self, connection: Connection) -> bool:
        until = self._clock() + _STEP
        return self._database.engine.vacuum(connection, self._reserve, lambda: self._clock() < until)

    def _sweep(self, connection: Connection) -> None:
        if (
            self._database.engine.locks_rows
            and not connection.execute(
                text("SELECT pg_try_advisory_xact_lock(:kind, 0)"), {"kind": _SWEEP_LOCK}
            ).scalar()
        ):
            return
        until = self._clock() + _STEP
        while self._clock() < until:
            rows = connection.execute(
                select(reclaim.c.row_id, reclaim.c.message_id).order_by(reclaim.c.row_id).limit(_MESSAGES)
            ).all()
            if not rows:
                return
            candidates = {row.message_id for row in rows}
            free = candidates - _named(connection, candidates)
            large = set(
                connection.execute(
                    select(body_pieces.c.body_id).where(body_pieces.c.body_id.in_(free)).distinct()
                ).scalars()
            )
            for body_id in large:
                if not self._shorten(connection, body_id, until):
                    # Its candidate row stays, and it is the first to be seen in the next step.
                    rows = [row for row in rows if row.message_id != body_id]
                    free.discard(body_id)
            if free:
                # The message's row stays for as long as the ledger remembers it, unless it never entered the ledger:
                # then its ends, which are noted all the same, go with it.
                never = messages.c.message_id.in_(free) & messages.c.rows.is_(None)
                unknown = connection.execute(delete(messages).where(never).returning(messages.c.message_id)).scalars()
                if strays := list(unknown):
                    connection.execute(delete(settled).where(settled.c.message_id.in_(strays)))
                connection.execute(delete(bodies).where(bodies.c.body_id.in_(free)))
            connection.execute(delete(reclaim).where(reclaim.c.row_id.in_([row.row_id for row in rows])))

    def _shorten(self, connection: Connection, body_id: int, until: float) -> bool:
        """Delete pieces from the end while there is time; whether none but the first is left."""
        here = body_pieces.c.body_id == body_id
        while self._clock() < until:
            last = connection.execute(select(func.max(body_pieces.c.number)).where(here)).scalar()
            if last is None:
                return True
            connection.execute(delete(body_pieces).where(here, body_pieces.c.number > last - _PIECES))
        return False


def _anything(connection: Connection) -> bool:
    return connection.execute(select(reclaim.c.row_id).limit(1)).scalar() is not None


def _named(connection: Connection, candidates: set[int]) -> set[int]:
    """Those that a maildrop or queue row still names. No row is ever added to a message that was accepted."""
    found: set[int] = set()
    for table in (maildrop, queue):
        found.update(
            connection.execute(
                select(table.c.message_id).where(table.c.message_id.in_(candidates)).distinct()
            ).scalars()
        )
    return found

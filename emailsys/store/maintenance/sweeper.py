"""Sweep up bodies that no maildrop or queue row names, and give free pages back, in steps of a few milliseconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection, delete, func, select, text, true
from typing_extensions import override

from emailsys.interfaces import StoreDamaged
from emailsys.store.commit.database import Database, Reactor
from emailsys.store.maintenance.periodic import MaintenanceTask
from emailsys.store.schema.tables import bodies, body_pieces, maildrop, messages, queue, reclaim, settled
from emailsys.telemetry import Telemetry

# Seconds that one step may hold up the mail behind it, and that mail has for itself between two steps.
_STEP: Final = 0.005
_PAUSE: Final = 0.01
# Seconds between two looks when nothing is to be swept.
_REST: Final = 5.0
# Messages of one piece deleted by one statement, and pieces of a larger one.
_MESSAGES: Final = 32
_PIECES: Final = 4
# Messages left alone because of damage: each statement names them.
_MOST_LEFT_ALONE: Final = 100
# Free pages that stay in the file for the mail to come.
RESERVE_OCTETS: Final = 16 * 1024 * 1024
# PostgreSQL: the advisory lock that lets one node sweep at a time.
_SWEEP_LOCK: Final = 2


class Sweeper(MaintenanceTask):
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
        # Messages that one transaction sweeps; one, where a page that cannot be read is looked for. And those that are
        # left alone because of such a page, until the daemon is started again.
        self._at_once = _MESSAGES
        self._in_hand: list[int] = []
        self._left_alone: set[int] = set()

    @override
    async def step(self) -> bool:
        """Sweep for a few milliseconds; whether there is more."""
        if await self._database.read("reclaim-look", self._anything):
            try:
                for message_id in await self._database.run("reclaim", self._sweep):
                    self._database.damage.clear(message_id)
            except StoreDamaged as error:
                self._leave_alone(error)
            return True
        return await self._database.upkeep("vacuum", self._vacuum)

    def _vacuum(self, connection: Connection) -> bool:
        until = self._clock() + _STEP
        return self._database.engine.vacuum(connection, self._reserve, lambda: self._clock() < until)

    def _leave_alone(self, error: StoreDamaged) -> None:
        """A page cannot be read: find out whose it is, so that the room of the others comes back.

        @raise StoreDamaged: it is not that of a body.
        """
        if self._at_once > 1 and self._in_hand:
            self._at_once = 1
        elif len(self._in_hand) == 1 and len(self._left_alone) < _MOST_LEFT_ALONE:
            self._at_once = _MESSAGES
            self._left_alone.update(self._in_hand)
            _ = self._database.damage.report(self._in_hand[0], "its body cannot be deleted")
        else:
            raise error

    def _chosen(self) -> Any:
        return reclaim.c.message_id.not_in(self._left_alone) if self._left_alone else true()

    def _anything(self, connection: Connection) -> bool:
        return connection.execute(select(reclaim.c.row_id).where(self._chosen()).limit(1)).scalar() is not None

    def _sweep(self, connection: Connection) -> set[int]:
        """Returns the messages whose bodies are gone."""
        swept: set[int] = set()
        self._in_hand = []
        if (
            self._database.engine.locks_rows
            and not connection.execute(
                text("SELECT pg_try_advisory_xact_lock(:kind, 0)"), {"kind": _SWEEP_LOCK}
            ).scalar()
        ):
            return swept
        until = self._clock() + _STEP
        while self._clock() < until:
            rows = connection.execute(
                select(reclaim.c.row_id, reclaim.c.message_id)
                .where(self._chosen())
                .order_by(reclaim.c.row_id)
                .limit(self._at_once)
            ).all()
            if not rows:
                break
            candidates = {row.message_id for row in rows}
            self._in_hand = list(candidates)
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
                swept |= free
            connection.execute(delete(reclaim).where(reclaim.c.row_id.in_([row.row_id for row in rows])))
        return swept

    def _shorten(self, connection: Connection, body_id: int, until: float) -> bool:
        """Delete pieces from the end while there is time; whether none but the first is left."""
        here = body_pieces.c.body_id == body_id
        while self._clock() < until:
            last = connection.execute(select(func.max(body_pieces.c.number)).where(here)).scalar()
            if last is None:
                return True
            connection.execute(delete(body_pieces).where(here, body_pieces.c.number > last - _PIECES))
        return False


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

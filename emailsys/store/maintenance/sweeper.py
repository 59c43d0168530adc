"""Sweeper: deletes bodies that no maildrop or queue row refers to, and returns free pages, in short steps."""

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

# Seconds that one step may delay mail, and seconds between two steps, in which mail is processed.
_STEP: Final = 0.005
_PAUSE: Final = 0.01
# Seconds between two steps when there is nothing to sweep.
_REST: Final = 5.0
# Bodies of one piece that one statement deletes, and pieces of a larger body.
_MESSAGES: Final = 32
_PIECES: Final = 4
# Messages that are skipped because of damage. Each statement lists them.
_MAX_SKIPPED: Final = 100
# Octets of free pages that stay in the file for new mail.
RESERVE_OCTETS: Final = 16 * 1024 * 1024
# PostgreSQL: the advisory lock that allows one node at a time to sweep.
_SWEEP_LOCK: Final = 2


class Sweeper(MaintenanceTask):
    """The maintenance task that deletes unused bodies. It never deletes a body that a row still refers to."""

    def __init__(
        self,
        database: Database,
        reactor: Reactor,
        telemetry: Telemetry,
        reserve: int = RESERVE_OCTETS,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """
        @param reserve: octets of free pages to keep in the file.
        @param clock: a monotonic clock, in seconds, for the duration of steps.
        """
        super().__init__("store-sweep", reactor, telemetry, _PAUSE, _REST)
        self._database = database
        self._reserve = reserve
        self._clock = clock
        # Messages that one statement sweeps: one, while an unreadable page is searched for. Messages on such a page are
        # skipped until the daemon is restarted.
        self._at_once = _MESSAGES
        self._candidates: list[int] = []
        self._skipped: set[int] = set()

    @override
    async def step(self) -> bool:
        """Sweep for a few milliseconds. Returns whether there is more to do."""
        if await self._database.read("reclaim-look", self._has_work):
            try:
                for message_id in await self._database.run("reclaim", self._sweep):
                    self._database.damage.clear(message_id)
            except StoreDamaged as error:
                self._skip_damaged(error)
            return True
        return await self._database.upkeep("vacuum", self._vacuum)

    def _vacuum(self, connection: Connection) -> bool:
        until = self._clock() + _STEP
        return self._database.engine.vacuum(connection, self._reserve, lambda: self._clock() < until)

    def _skip_damaged(self, error: StoreDamaged) -> None:
        """Find the message on an unreadable page and skip it, so that other bodies can be deleted.

        @raise StoreDamaged: the page does not belong to a body.
        """
        if self._at_once > 1 and self._candidates:
            self._at_once = 1
        elif len(self._candidates) == 1 and len(self._skipped) < _MAX_SKIPPED:
            self._at_once = _MESSAGES
            self._skipped.update(self._candidates)
            _ = self._database.damage.report(self._candidates[0], "its body cannot be deleted")
        else:
            raise error

    def _chosen(self) -> Any:
        return reclaim.c.message_id.not_in(self._skipped) if self._skipped else true()

    def _has_work(self, connection: Connection) -> bool:
        return connection.execute(select(reclaim.c.row_id).where(self._chosen()).limit(1)).scalar() is not None

    def _sweep(self, connection: Connection) -> set[int]:
        """Delete unused bodies. Returns the ids of their messages."""
        swept: set[int] = set()
        self._candidates = []
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
            self._candidates = list(candidates)
            free = candidates - _referenced(connection, candidates)
            large = set(
                connection.execute(
                    select(body_pieces.c.body_id).where(body_pieces.c.body_id.in_(free)).distinct()
                ).scalars()
            )
            for body_id in large:
                if not self._delete_pieces(connection, body_id, until):
                    # Its row in `reclaim` stays, so that the next step continues with it.
                    rows = [row for row in rows if row.message_id != body_id]
                    free.discard(body_id)
            if free:
                # The row of the message stays until its history expires. If the message never entered the ledger, its
                # rows are deleted now.
                never = messages.c.message_id.in_(free) & messages.c.rows.is_(None)
                unknown = connection.execute(delete(messages).where(never).returning(messages.c.message_id)).scalars()
                if strays := list(unknown):
                    connection.execute(delete(settled).where(settled.c.message_id.in_(strays)))
                connection.execute(delete(bodies).where(bodies.c.body_id.in_(free)))
                swept |= free
            connection.execute(delete(reclaim).where(reclaim.c.row_id.in_([row.row_id for row in rows])))
        return swept

    def _delete_pieces(self, connection: Connection, body_id: int, until: float) -> bool:
        """Delete pieces from the end while there is time. Returns whether only the first is left."""
        here = body_pieces.c.body_id == body_id
        while self._clock() < until:
            last = connection.execute(select(func.max(body_pieces.c.number)).where(here)).scalar()
            if last is None:
                return True
            connection.execute(delete(body_pieces).where(here, body_pieces.c.number > last - _PIECES))
        return False


def _referenced(connection: Connection, candidates: set[int]) -> set[int]:
    """Return the messages that a maildrop or queue row refers to. Accepted messages never get additional rows."""
    found: set[int] = set()
    for table in (maildrop, queue):
        found.update(
            connection.execute(
                select(table.c.message_id).where(table.c.message_id.in_(candidates)).distinct()
            ).scalars()
        )
    return found

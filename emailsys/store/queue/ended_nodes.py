"""Maintenance task that returns the leases of nodes that have ended, so that a living node delivers the mail."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Connection, select
from typing_extensions import override

from emailsys.store.commit.database import Database, Reactor
from emailsys.store.commit.ids import is_made_by, node_of
from emailsys.store.maildrop.locks import MaildropLocks
from emailsys.store.maintenance.periodic import MaintenanceTask
from emailsys.store.queue.leases import Queue
from emailsys.store.queue.returns import record_interrupted, return_leases
from emailsys.store.schema.columns import of_seconds
from emailsys.store.schema.tables import queue
from emailsys.telemetry import Telemetry

# Seconds between two looks for leases of other processes.
_REST: Final = 2.0
# Seconds until the first look, and between two steps.
_PAUSE: Final = 0.05
# Rows that one step returns. Arriving mail waits for at most one step.
_STEP: Final = 500


class EndedNodes(MaintenanceTask):
    """Returns the leases of processes that have ended or hang."""

    def __init__(
        self,
        database: Database,
        locks: MaildropLocks,
        leases: Queue,
        reactor: Reactor,
        telemetry: Telemetry,
        now: Callable[[], float],
    ) -> None:
        """@param now: seconds since 1970."""
        super().__init__("lease-return", reactor, telemetry, pause=_PAUSE, rest=_REST)
        self._database = database
        self._locks = locks
        self._leases = leases
        self._now = now
        self._others = (
            select(queue.c.lease)
            .where(queue.c.lease.is_not(None), ~is_made_by(queue.c.lease, database.ids))
            .distinct()
            .order_by(queue.c.lease)
        )

    @override
    async def step(self) -> bool:
        """Look for nodes that have ended, and return some of their leases."""
        leases = await self._database.read(
            "leases-of-others", lambda connection: connection.execute(self._others).scalars().all()
        )
        by_node: dict[int, list[int]] = {}
        for lease in leases:
            by_node.setdefault(node_of(lease), []).append(lease)
        more = False
        for node in await self._locks.ended_nodes(by_node.keys(), self._leases.lease_seconds):
            returned = await self._database.run("return-leases", self._return(node, by_node[node][:_STEP]))
            if returned:
                self._telemetry.event("leases-returned", node=node, rows=returned)
                self._leases.on_returned()
            more = more or returned == _STEP
        return more

    def _return(self, node: int, leases: Sequence[int]) -> Callable[[Connection], int]:
        chosen = queue.c.lease.in_(leases)
        # A node that hangs may still hold locks on rows.
        asked = select(queue).where(chosen).limit(_STEP).with_for_update(skip_locked=True)
        now, make = of_seconds(self._now()), self._database.ids.make

        def run(connection: Connection) -> int:
            if not self._locks.lock_ended(connection, node):
                return 0
            rows = connection.execute(asked).mappings().all()
            record_interrupted(connection, rows, make, now)
            return_leases(connection, chosen, [row[queue.c.row_id] for row in rows], now)
            return len(rows)

        return run

"""Retention: deletes expired history from the ledger and expired mail from maildrops, in short steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, exists, select, text, update
from typing_extensions import override

from emailsys.config.settings import StoreSettings
from emailsys.interfaces import Fate
from emailsys.store.commit.database import Database, Reactor
from emailsys.store.commit.ids import first_id_at
from emailsys.store.ledger.endings import end_oldest
from emailsys.store.maintenance.periodic import MaintenanceTask
from emailsys.store.maintenance.witness import WitnessedTime
from emailsys.store.schema.columns import SECOND
from emailsys.store.schema.tables import accounts, events, maildrop, messages, settled
from emailsys.telemetry import Telemetry

# Rows that one step deletes, and seconds between two steps, in which mail is processed.
_ROWS: Final = 500
_PAUSE: Final = 0.05
# Seconds between two steps when nothing has expired.
_REST: Final = 600.0
_DAY: Final = 86_400 * SECOND
# PostgreSQL: the advisory lock that allows one node at a time to delete history.
_RETENTION_LOCK: Final = 4

_DECREMENT_ROWS: Final = (
    update(messages).where(messages.c.message_id == bindparam("id")).values(rows=messages.c.rows - bindparam("ended"))
)


class Retention(MaintenanceTask):
    """The maintenance task for expired history and expired mail."""

    def __init__(
        self,
        database: Database,
        reactor: Reactor,
        telemetry: Telemetry,
        deleted: Callable[[], None],
        settings: StoreSettings,
        now: Callable[[], float],
    ) -> None:
        """
        @param deleted: called when bodies may have become free.
        @param now: seconds since 1970.
        """
        super().__init__("store-retention", reactor, telemetry, _PAUSE, _REST)
        self._database = database
        self._deleted = deleted
        self._history = int(settings.history_days * _DAY)
        self._maildrop = int(settings.maildrop_days * _DAY)
        self._time = WitnessedTime(database, now)

    @override
    async def step(self) -> bool:
        """Delete some expired rows. Returns whether there may be more."""
        if not (self._maildrop or self._history):
            return False
        now, gap = await self._time.look()
        if gap:
            self._telemetry.event("retention-gap", seconds=gap // SECOND)
        more = await self._expire(now) if self._maildrop else False
        if not self._history:
            return more
        horizon = self._time.ago(now, self._history)
        if await self._database.read("retention-look", lambda connection: _has_older(connection, horizon)):
            return (
                await self._database.run("retention", lambda connection: self._delete_history(connection, horizon))
                or more
            )
        return more

    async def _expire(self, now: int) -> bool:
        """Delete expired mail of one account."""
        return await self.expire_before(first_id_at(self._time.ago(now, self._maildrop)), now)

    async def expire_before(self, before: int, now: int) -> bool:
        """Delete mail of one account whose rows have lower ids. Returns whether there may be more.

        @param now: microseconds since 1970.
        """
        old = exists().where(maildrop.c.account_id == accounts.c.account_id, maildrop.c.row_id < before)
        asked = select(accounts.c.account_id).where(old).limit(1)
        account_id = await self._database.read("expire-look", lambda connection: connection.execute(asked).scalar())
        if account_id is None:
            return False

        words, placeholder = "older than the time for which this system keeps mail", self._database.engine.placeholder
        ended = await self._database.run(
            "expire",
            lambda connection: end_oldest(
                connection, placeholder, account_id, _ROWS, Fate.EXPIRED, now, words, before=before
            ),
        )
        self._telemetry.event("expired", account=account_id, messages=ended)
        self._deleted()
        return True

    def _delete_history(self, connection: Connection, horizon: int) -> bool:
        if (
            self._database.engine.locks_rows
            and not connection.execute(
                text("SELECT pg_try_advisory_xact_lock(:kind, 0)"), {"kind": _RETENTION_LOCK}
            ).scalar()
        ):
            return False
        rows = connection.execute(
            select(settled.c.row_id, settled.c.message_id)
            .where(settled.c.settled_at < horizon)
            .order_by(settled.c.settled_at)
            .limit(_ROWS)
        ).all()
        if rows:
            ended: dict[int, int] = {}
            for row in rows:
                ended[row.message_id] = ended.get(row.message_id, 0) + 1
            connection.execute(delete(settled).where(settled.c.row_id.in_([row.row_id for row in rows])))
            connection.execute(_DECREMENT_ROWS, [{"id": number, "ended": count} for number, count in ended.items()])
            # These messages have no rows left. Their bodies are already deleted.
            deleted = connection.execute(
                delete(messages)
                .where(messages.c.message_id.in_(list(ended)), messages.c.rows <= 0)
                .returning(messages.c.message_id)
            )
            deleted_ids = deleted.scalars().all()
            connection.execute(delete(events).where(events.c.message_id.in_(deleted_ids)))
        old = select(events.c.event_id).where(_is_older(horizon)).order_by(events.c.event_id).limit(_ROWS)
        event_ids = connection.execute(old).scalars().all()
        if event_ids:
            connection.execute(delete(events).where(events.c.event_id.in_(event_ids)))
        return len(rows) == _ROWS or len(event_ids) == _ROWS


def _is_older(horizon: int) -> Any:
    """Select events by age. The order of their ids is that of their times."""
    return events.c.event_id < first_id_at(horizon)


def _has_older(connection: Connection, horizon: int) -> bool:
    for asked in (
        select(settled.c.row_id).where(settled.c.settled_at < horizon).limit(1),
        select(events.c.event_id).where(_is_older(horizon)).limit(1),
    ):
        if connection.execute(asked).scalar() is not None:
            return True
    return False

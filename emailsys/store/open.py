"""Open a store: the one place where its parts are put together."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, delete, insert, make_url, select
from sqlalchemy.exc import ArgumentError

from emailsys.config.settings import POP3Settings, StoreSettings
from emailsys.interfaces import StoreError
from emailsys.store import schema
from emailsys.store.accounts import Accounts
from emailsys.store.database import IDLE_AFTER, Database, Reactor
from emailsys.store.directory import Directory
from emailsys.store.engine import Engine
from emailsys.store.ids import IdSource
from emailsys.store.intake import Intake
from emailsys.store.locks import sync_directory
from emailsys.store.maildrop import Maildrops
from emailsys.store.maildrop_locks import AdvisoryLocks, KernelLocks
from emailsys.store.migrate import prepare_schema
from emailsys.store.queue import Queue
from emailsys.store.reclaim import RESERVE_OCTETS, Sweeper
from emailsys.store.sqlite import SQLite
from emailsys.telemetry import Telemetry

# In the state folder.
DATABASE_NAME: Final = "mail.sqlite"


class Store:
    """An open store: `intake`, `maildrops`, `accounts`, `directory` and `queue`, as `interfaces` describes them."""

    def __init__(
        self,
        database: Database,
        locks: KernelLocks | AdvisoryLocks,
        reactor: Reactor,
        telemetry: Telemetry,
        takeover_after: float,
        max_waiting_octets: int,
        reserve_octets: int,
        now: Callable[[], float],
    ) -> None:
        self.database = database
        self.sweeper = Sweeper(database, reactor, telemetry, reserve_octets)
        self.intake = Intake(database, telemetry, max_waiting_octets, now)
        self.maildrops = Maildrops(database, locks, self.sweeper, reactor, takeover_after)
        self.directory = Directory(database, reactor)
        self.accounts = Accounts(database, self.directory, self.sweeper.wake)
        self.queue = Queue(database, self.sweeper, now)
        self._locks = locks
        self._closing = False

    async def close(self) -> None:
        """Commit what waits, then close. What is asked afterwards fails with StoreError; a second call does nothing."""
        if self._closing:
            return
        self._closing = True
        self.sweeper.stop()
        await self.database.close()
        self._locks.close()


def open_store(
    settings: StoreSettings,
    state: Path,
    reactor: Reactor,
    telemetry: Telemetry,
    *,
    takeover_after: float = POP3Settings().takeover_after,
    sweep: bool = True,
    now: Callable[[], float] = time.time,
    idle_after: float = IDLE_AFTER,
    reserve_octets: int = RESERVE_OCTETS,
) -> Store:
    """Open the store, making or upgrading it first; blocks for some milliseconds, longer for an upgrade.

    It starts threads: a daemon calls it after it has forked (in `startService`), never in `makeService`.

    @param state: the state folder; made, mode 0700, where it is missing. It holds the SQLite store.
    @param reactor: the reactor, or what stands for one (see `offline`).
    @param takeover_after: POP3Settings.takeover_after.
    @param sweep: whether this process reclaims the room of deleted mail, as a daemon does.
    @param now: seconds since 1970.
    @param idle_after: seconds without a write after which SQLite's WAL is emptied.
    @param reserve_octets: of free pages that stay in a SQLite file.
    @raise StoreError: it can't be opened; the message says why.
    """
    if not state.is_dir():
        try:
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_directory(state.parent)
        except OSError as error:
            raise StoreError(f"the state folder {state} cannot be made: {error.strerror}") from error
    return open_on(
        _engine(settings.url, state),
        settings,
        reactor,
        telemetry,
        takeover_after=takeover_after,
        sweep=sweep,
        now=now,
        idle_after=idle_after,
        reserve_octets=reserve_octets,
    )


def open_on(
    engine: Engine,
    settings: StoreSettings,
    reactor: Reactor,
    telemetry: Telemetry,
    *,
    takeover_after: float = POP3Settings().takeover_after,
    sweep: bool = True,
    now: Callable[[], float] = time.time,
    idle_after: float = IDLE_AFTER,
    reserve_octets: int = RESERVE_OCTETS,
) -> Store:
    """Open the store on an engine, which is closed with it. The rest is as for `open_store`."""
    try:
        locks: KernelLocks | AdvisoryLocks
        if isinstance(engine, SQLite):
            locks = KernelLocks(engine.path.with_name(engine.path.name + ".locks"))
            sync_directory(engine.path.parent)
        else:
            locks = AdvisoryLocks(engine, reactor)
        try:
            last_id = _prepare(engine, locks, telemetry)
        except BaseException:
            locks.close()
            raise
    except engine.errors as error:
        engine.close()
        raise StoreError(f"the store cannot be opened: {getattr(error, 'orig', error)}") from error
    except BaseException:
        engine.close()
        raise
    ids = IdSource(locks.node, last_id, now)
    database = Database(engine, ids, reactor, telemetry, settings.max_waiting_octets, idle_after)
    if isinstance(locks, AdvisoryLocks):
        locks.database = database
    store = Store(database, locks, reactor, telemetry, takeover_after, settings.max_waiting_octets, reserve_octets, now)
    if sweep:
        store.sweeper.start()
    return store


def _engine(url: str | None, state: Path) -> Engine:
    if url is None:
        return SQLite(Path(os.path.realpath(state)) / DATABASE_NAME)
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StoreError("store.url is no database URL, such as postgresql://user@host/database") from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise StoreError("store.url names no file: sqlite:////path/of/the/file")
        return SQLite(Path(os.path.realpath(state / parsed.database)))
    if backend == "postgresql":
        from emailsys.store.postgres import Postgres

        return Postgres(parsed.set(drivername="postgresql+psycopg"))
    raise StoreError(f"store.url: {backend} is no engine of ours; sqlite and postgresql are")


def _prepare(engine: Engine, locks: KernelLocks | AdvisoryLocks, telemetry: Telemetry) -> int:
    """Schema, this node's rows, and what dead nodes left; returns the last id that this node ever committed."""
    connection = engine.connect_writer()
    try:
        prepare_schema(engine, connection, telemetry)
        with engine.alone(), connection.begin():
            commits = schema.commits
            known = connection.execute(
                select(commits.c.writer, commits.c.last_id).where(commits.c.node == locks.node)
            ).all()
            for writer in set(range(engine.writers)) - {row.writer for row in known}:
                connection.execute(insert(commits).values(node=locks.node, writer=writer, last_id=0))
            _sweep_staged(connection, locks)
            return max((int(row.last_id) for row in known), default=0)
    finally:
        connection.close()


def _sweep_staged(connection: Connection, locks: KernelLocks | AdvisoryLocks) -> None:
    """Give pieces without a message to the sweeper, where the process that received them is no more."""
    staged, reclaim = schema.staged, schema.reclaim
    for node in connection.execute(select(staged.c.node).distinct()).scalars().all():
        if node == locks.node or not locks.is_node_alive(node):
            gone = staged.c.node == node
            connection.execute(
                insert(reclaim).from_select(
                    ["row_id", "message_id"], select(staged.c.body_id, staged.c.body_id).where(gone)
                )
            )
            connection.execute(delete(staged).where(gone))

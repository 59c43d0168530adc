"""Opens a store: the composition root of its parts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, delete, insert, make_url, select
from sqlalchemy.exc import ArgumentError

from emailsys.config.settings import DATABASE_NAME, POP3Settings, StoreSettings
from emailsys.interfaces import StoreError, StoreMissing
from emailsys.platforms.files import sync_directory
from emailsys.store.commit.database import IDLE_AFTER, Database, Reactor
from emailsys.store.commit.ids import IdSource, node_of
from emailsys.store.directory.accounts import Accounts
from emailsys.store.directory.aliases import Aliases
from emailsys.store.directory.cache import Directory
from emailsys.store.directory.changes import Changes
from emailsys.store.directory.declaration import Declaration
from emailsys.store.directory.delegated_senders import DelegatedSenders
from emailsys.store.directory.known_networks import KnownNetworks
from emailsys.store.directory.quota_warnings import QuotaWarnings
from emailsys.store.directory.quotas import Quotas
from emailsys.store.directory.routes import Routes
from emailsys.store.directory.tokens import Tokens
from emailsys.store.engine.base import Engine
from emailsys.store.engine.file_locks import make_directory
from emailsys.store.engine.sqlite import SQLite
from emailsys.store.ledger.sent_keys import SentKeys
from emailsys.store.ledger.trace import Trace
from emailsys.store.ledger.verify import Verification
from emailsys.store.maildrop.locks import AdvisoryLocks, KernelLocks
from emailsys.store.maildrop.maildrop import Maildrops
from emailsys.store.maildrop.reading import MaildropReading
from emailsys.store.maintenance.retention import Retention
from emailsys.store.maintenance.sweeper import RESERVE_OCTETS, Sweeper
from emailsys.store.message.intake import Intake
from emailsys.store.moving.changes import stop_recording
from emailsys.store.queue.ended_nodes import EndedNodes
from emailsys.store.queue.leases import Queue
from emailsys.store.queue.operations import QueueOperations
from emailsys.store.queue.returns import record_interrupted, return_leases
from emailsys.store.queue.sent_counts import SentCounts
from emailsys.store.schema import tables
from emailsys.store.schema.columns import of_seconds
from emailsys.store.schema.identity import KeptIdentity, read_identity
from emailsys.store.schema.migrate import lock_schema, prepare_schema, raise_if_old
from emailsys.store.schema.move_marks import raise_if_marked, read_mark
from emailsys.telemetry import Telemetry


@dataclass(frozen=True)
class Opening:
    """Options for opening a store.

    @ivar takeover_after: POP3Settings.takeover_after.
    @ivar sweep: whether this process runs the maintenance tasks, as a daemon does.
    @ivar now: seconds since 1970.
    @ivar idle_after: seconds without a write after which SQLite's WAL is emptied.
    @ivar reserve_octets: of free pages that stay in a SQLite file.
    @ivar backed_up: whether an operator confirmed a backup, which the upgrade of a PostgreSQL store requires.
    @ivar create: whether an operator asked to create the store if it is missing (decision 0023).
    @ivar upgrade: whether a store of an earlier release is upgraded. Not while another daemon uses it.
    @ivar adopt: whether an operator asked to use the store although it is another one than before (decision 0023).
    """

    takeover_after: float = POP3Settings().takeover_after
    sweep: bool = True
    now: Callable[[], float] = time.time
    idle_after: float = IDLE_AFTER
    reserve_octets: int = RESERVE_OCTETS
    backed_up: bool = False
    create: bool = False
    adopt: bool = False
    upgrade: bool = True


DEFAULT_OPENING: Final = Opening()


class Store:
    """An open store: `intake`, `maildrops`, `reading`, `accounts`, `directory`, `queue` and `sent_keys`.

    These are as in `interfaces`.

    For operators `aliases`, `delegated_senders`, `routes`, `declaration`, `tokens`, `quotas`, `queue_operations`,
    `trace` and `verification`, as in `interfaces.operators`.
    """

    def __init__(
        self,
        database: Database,
        locks: KernelLocks | AdvisoryLocks,
        reactor: Reactor,
        telemetry: Telemetry,
        settings: StoreSettings,
        opening: Opening,
    ) -> None:
        now = opening.now
        self.database = database
        self.sweeper = Sweeper(database, reactor, telemetry, opening.reserve_octets)
        self.retention = Retention(database, reactor, telemetry, self.sweeper.wake, settings, now)
        self.maildrops = Maildrops(
            database, locks, self.sweeper, reactor, opening.takeover_after, now, settings.maildrop_cache
        )
        self.reading = MaildropReading(database, self.maildrops)
        self.directory = Directory(database, reactor)
        changes = Changes(database, self.directory)
        self.known_networks = KnownNetworks(database)
        self.accounts = Accounts(changes, self.sweeper.wake, settings.default_quota, now)
        self.aliases = Aliases(changes)
        self.delegated_senders = DelegatedSenders(changes)
        self.routes = Routes(changes, self.directory)
        self.tokens = Tokens(changes, now)
        warnings = QuotaWarnings(database, now, settings.quota_warning, settings.refuse_over_quota)
        self.quotas = Quotas(changes, reactor, telemetry, settings.default_quota, warnings)
        self.declaration = Declaration(changes, self.directory, self.quotas, self.sweeper.wake, now)
        self.intake = Intake(database, telemetry, settings.max_waiting_octets, now, self.quotas.count_delivered)
        self.queue = Queue(database, self.sweeper, locks.tenure, locks.notices, now)
        self.ended_nodes = EndedNodes(database, locks, self.queue, reactor, telemetry, now)
        self.sent_counts = SentCounts(database)
        self.queue_operations = QueueOperations(database, self.sweeper, self.queue.hints, now)
        self.trace = Trace(database)
        self.verification = Verification(database)
        self.sent_keys = SentKeys(database)
        #: Notices to the processes of other nodes.
        self.notices = locks.notices
        self._locks = locks
        self._closing = False

    def configure(self, settings: StoreSettings) -> None:
        """Use the default quota of these settings from now on. Other settings need a new opening."""
        self.quotas.default = self.accounts.default_quota = settings.default_quota

    async def close(self) -> None:
        """Commit all waiting jobs, then close. Later calls of other methods fail with StoreError."""
        if self._closing:
            return
        self._closing = True
        self.sweeper.stop()
        self.retention.stop()
        self.ended_nodes.stop()
        await self.database.close()
        self._locks.close()
        self.database.engine.unlimit_statements()


def open_store(
    settings: StoreSettings,
    state: Path,
    reactor: Reactor,
    telemetry: Telemetry,
    opening: Opening = DEFAULT_OPENING,
) -> Store:
    """Open the store, after upgrading it if necessary. Blocks for some milliseconds, longer for an upgrade.

    Starts threads. A daemon calls it after forking (in `startService`), never in `makeService`.

    @param state: the state folder, which contains the SQLite store. `Opening.create` creates it, too, with mode 0700.
    @param reactor: the reactor or a substitute (see `offline`).
    @raise StoreMissing: there is no store, and none must be created. `StoreReplaced`: it is another one than before.
    @raise StoreError: the store cannot be opened. The message says why.
    """
    if opening.create:
        try:
            make_directory(state)
        except OSError as error:
            raise StoreError(f"the state folder {state} cannot be created: {error.strerror}") from error
    engine = engine_of(settings.url, state, opening.create)
    return open_on(engine, settings, reactor, telemetry, opening, KeptIdentity(state, opening.adopt))


def open_on(
    engine: Engine,
    settings: StoreSettings,
    reactor: Reactor,
    telemetry: Telemetry,
    opening: Opening = DEFAULT_OPENING,
    kept: KeptIdentity | None = None,
) -> Store:
    """Open the store on an engine, which is closed with the store. See `open_store`.

    @param kept: the identity that the store must have. None: any.
    """
    try:
        locks: KernelLocks | AdvisoryLocks
        if isinstance(engine, SQLite):
            path = engine.path.with_name(engine.path.name + ".locks")
            locks = KernelLocks(path)
            engine.watch(path)
            sync_directory(engine.path.parent)
        else:
            # Connect first, so that an unreachable server is not reported as a lost lock.
            engine.connect_reader().close()
            locks = AdvisoryLocks(engine, reactor, telemetry)
        try:
            ids = _prepare(engine, locks, telemetry, opening, kept)
        except BaseException:
            locks.close()
            raise
    except engine.errors as error:
        _close_unproven(engine)
        why = "; ".join(line.strip() for line in str(getattr(error, "orig", error)).splitlines())
        raise StoreError(f"the store {engine.location} cannot be opened: {why}") from error
    except StoreMissing:
        # Nothing was written. A daemon that waits for its store repeats this.
        engine.close()
        raise
    except BaseException:
        _close_unproven(engine)
        raise
    engine.limit_statements()
    database = Database(engine, ids, reactor, telemetry, settings.max_waiting_octets, opening.idle_after)
    if isinstance(locks, AdvisoryLocks):
        locks.watch(database)
    store = Store(database, locks, reactor, telemetry, settings, opening)
    if opening.sweep:
        engine.keep_reserve()
        store.sweeper.start()
        store.retention.start()
        store.ended_nodes.start()
    return store


def _close_unproven(engine: Engine) -> None:
    # A commit may have failed, so the log of SQLite is not proven to be durable and must not be emptied.
    engine.revoke_proof()
    engine.close()


def engine_of(url: str | None, state: Path, create: bool) -> Engine:
    """Return the engine for a database.

    @param create: whether to create the file of a SQLite store if it is missing.
    @raise StoreMissing: there is no such file.
    @raise StoreError: the URL is wrong, or the file cannot be opened.
    """
    path = sqlite_path(url, state)
    if path is not None:
        return SQLite(path, create)
    from emailsys.store.engine.postgres import Postgres

    return Postgres(make_url(url or "").set(drivername="postgresql+psycopg"))


def sqlite_path(url: str | None, state: Path) -> Path | None:
    """Return the file of a SQLite store, or None for a PostgreSQL store.

    @raise StoreError: the URL is of neither kind.
    """
    if url is None:
        return Path(os.path.realpath(state)) / DATABASE_NAME
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        # A port that is no number is a ValueError.
        raise StoreError("store.url is not a database URL. Example: postgresql://user@host/database") from error
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise StoreError("store.url contains no file name. Example: sqlite:////path/of/the/file")
        return Path(os.path.realpath(state / parsed.database))
    if backend == "postgresql":
        return None
    raise StoreError(f"store.url: {backend} is not supported. Use sqlite or postgresql.")


def _prepare(
    engine: Engine,
    locks: KernelLocks | AdvisoryLocks,
    telemetry: Telemetry,
    opening: Opening,
    kept: KeptIdentity | None,
) -> IdSource:
    """Prepare the schema and the rows of this node, and clean up after nodes that have ended.

    @return: a source of ids above the last id that this node committed.
    """
    connection = engine.connect_writer()
    try:
        if not opening.upgrade:
            raise_if_old(engine, connection)
        prepare_schema(engine, connection, telemetry, create=opening.create, backed_up=opening.backed_up, kept=kept)
        if opening.sweep and stop_recording(engine, connection):
            telemetry.event("move-given-up", store=engine.location)
        with engine.commit_lock(), connection.begin():
            # A move may have ended since the schema was prepared.
            lock_schema(engine, connection)
            raise_if_marked(read_mark(connection), engine.location)
            identity = read_identity(connection)
            commits = tables.commits
            known = connection.execute(
                select(commits.c.writer, commits.c.last_id).where(commits.c.node == locks.node)
            ).all()
            for writer in set(range(engine.writers)) - {row.writer for row in known}:
                connection.execute(insert(commits).values(node=locks.node, writer=writer, last_id=0))
            _sweep_staged(connection, locks)
            ids = IdSource(locks.node, max((int(row.last_id) for row in known), default=0), opening.now)
            if isinstance(locks, KernelLocks):
                # On PostgreSQL, a node whose number is free may still run: `EndedNodes` waits until that is certain.
                _return_leases(connection, locks, ids, of_seconds(opening.now()))
        if kept is not None:
            kept.keep(identity, telemetry)
        return ids
    finally:
        connection.close()


def _sweep_staged(connection: Connection, locks: KernelLocks | AdvisoryLocks) -> None:
    """Pass pieces of unfinished messages to the sweeper if the process that received them has ended."""
    staged, reclaim = tables.staged, tables.reclaim
    for node in connection.execute(select(staged.c.node).distinct()).scalars().all():
        if node == locks.node or not locks.is_node_alive(node):
            unfinished = staged.c.node == node
            connection.execute(
                insert(reclaim).from_select(
                    ["row_id", "message_id"], select(staged.c.body_id, staged.c.body_id).where(unfinished)
                )
            )
            connection.execute(delete(staged).where(unfinished))


def _return_leases(connection: Connection, locks: KernelLocks, ids: IdSource, now: int) -> None:
    """Make queue rows due if the process that leased them has ended, so that they do not wait for the lease."""
    queue = tables.queue
    leases = connection.execute(select(queue.c.lease).where(queue.c.lease.is_not(None)).distinct()).scalars().all()
    has_ended: dict[int, bool] = {}
    for lease in leases:
        node = node_of(lease)
        if node not in has_ended:
            has_ended[node] = node == locks.node or not locks.is_node_alive(node)
        if has_ended[node]:
            rows = connection.execute(select(queue).where(queue.c.lease == lease)).mappings().all()
            record_interrupted(connection, rows, ids.make, now)
            return_leases(connection, queue.c.lease == lease, [row[queue.c.row_id] for row in rows], now)

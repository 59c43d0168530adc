"""SQLite as the store uses it: WAL on every connection, one writer, checkpoints by the holder of the commit lock.

Settings, and why:

 - `journal_mode=WAL`, `synchronous=FULL`: a commit is on disk when it returns; readers never wait for writers.
 - `wal_autocheckpoint=0`: a checkpoint and a commit never overlap (before 3.51.3 that could corrupt the database);
   whoever holds the commit lock checkpoints, after a batch when 8 MiB of the WAL are in use, truncating it when idle.
 - `journal_size_limit` 16 MiB: a WAL that grew is cut when it begins anew.
 - `page_size` 16 KiB, `auto_vacuum=INCREMENTAL`: chosen at creation; the latter can't be switched on later.
 - `secure_delete=OFF`: octets of deleted mail stay in free pages until they are used again or the file shrinks. On,
   each deleted body would be written once more, twice with the WAL (190 ms for 100 MiB, against 2). Who must not leave
   traces on the disk encrypts it.
 - `foreign_keys=ON` is no default of SQLite.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, NullPool, create_engine, event
from sqlalchemy import Engine as SQLAlchemyEngine
from sqlalchemy.exc import DBAPIError
from typing_extensions import override

from emailsys.interfaces import StoreError, StoreMissing
from emailsys.store.engine.base import Engine, StoreUntrusted, Verdict, no_store
from emailsys.store.engine.file_locks import CommitLock, SQLiteFileLock, network_file_system, sync_directory
from emailsys.store.engine.files import StoreFiles
from emailsys.store.engine.gate import ReaderGate
from emailsys.store.engine.wal import WalGauge

_MIB: Final = 1024 * 1024
PAGE_OCTETS: Final = 16 * 1024
# From here on a batch is followed by a checkpoint; past the second figure one that waits for readers, so that the WAL
# begins anew.
CHECKPOINT_OCTETS: Final = 8 * _MIB
RESTART_OCTETS: Final = 16 * _MIB
# The WAL is measured when about so much was written, each batch counted with what it adds to its bodies.
_MEASURE_EVERY: Final = _MIB
_BATCH_OCTETS: Final = 64 * 1024
# What is left of the disk for deleting: as much as the WAL may grow to.
SPARE_OCTETS: Final = RESTART_OCTETS
# Milliseconds: how long a restart waits for readers, and a writer for a process that does not know the commit lock.
_RESTART_WAIT_MS: Final = 20
_BUSY_WAIT_MS: Final = 10_000

# How long a connection that starts to write waits for readers before it leaves the log as it is.
_EMPTY_WAIT_MS: Final = 500

# Each of these commits a change even where it changes nothing.
_CREATION: Final = f"PRAGMA page_size={PAGE_OCTETS}; PRAGMA auto_vacuum=INCREMENTAL;"
_EVERY: Final = (
    "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA wal_autocheckpoint=0; "
    f"PRAGMA journal_size_limit={RESTART_OCTETS}; PRAGMA secure_delete=OFF; PRAGMA temp_store=MEMORY; "
    f"PRAGMA busy_timeout={_BUSY_WAIT_MS};"
)
_WRITER: Final = "PRAGMA cache_size=-6000; PRAGMA journal_mode=WAL;"
_READER: Final = "PRAGMA cache_size=-1000; PRAGMA query_only=ON;"

_CONNECTING: Final[dict[str, Any]] = {
    "timeout": _BUSY_WAIT_MS / 1000,
    "isolation_level": None,
    "check_same_thread": False,
}


class SQLite(Engine):
    """One file and the locks beside it."""

    # A row that fails ends the whole transaction, so no statement needs a journal of its own to be undone alone.
    _verb = "INSERT OR FAIL INTO"
    errors = (*Engine.errors, sqlite3.Error)

    def __init__(self, path: Path, create: bool = True) -> None:
        """
        @param path: the database; its folder must exist.
        @param create: whether it is made, with mode 0600, where it is missing.
        @raise StoreMissing: it is missing, and not to be made.
        @raise StoreError: it can't be opened, or lies on a network file system.
        """
        kind = network_file_system(path.parent)
        if kind is not None:
            raise StoreError(
                f"{path} lies on {kind}, a network file system, where SQLite can lose mail: use a local disk"
            )
        self.path = path
        self.shown = str(path)
        try:
            self._files = StoreFiles(path, create)
            lock = path.with_name(path.name + ".commit-lock")
            self._lock = CommitLock(lock)
            self._files.watch(lock)
        except FileNotFoundError:
            raise StoreMissing(no_store(str(path.parent))) from None
        except OSError as error:
            raise StoreError(f"the store {path} cannot be opened: {error.strerror}") from error
        self._unmeasured = 0
        self._gauge = WalGauge(path.with_name(path.name + "-wal"))
        self._gate = ReaderGate()
        self._file_lock = SQLiteFileLock(self._files.descriptor)
        # Whether all that SQLite takes for committed is on disk; changed inside the commit lock, but for `doubt`.
        self._proven = False
        # Whether the database file may lack pages of the log that SQLite takes for copied.
        self._copies_doubtful = False
        self._writer: SQLAlchemyEngine = create_engine("sqlite://", creator=self._open_writer, poolclass=NullPool)
        self._reader: SQLAlchemyEngine = create_engine("sqlite://", creator=self._open_reader, poolclass=NullPool)
        event.listen(self._writer, "begin", _begin_immediate)

    def _open_writer(self) -> sqlite3.Connection:
        raw: sqlite3.Connection = sqlite3.connect(self.path, **_CONNECTING)
        try:
            # Counting opens the log, and undoes a creation that was cut short.
            if raw.execute("PRAGMA page_count").fetchone() == (0,):
                raw.executescript(_CREATION)
            raw.executescript(_EVERY + _WRITER)
        except BaseException:
            raw.close()
            raise
        return raw

    def _open_reader(self) -> sqlite3.Connection:
        raw: sqlite3.Connection = sqlite3.connect(f"{self.path.absolute().as_uri()}?mode=ro", uri=True, **_CONNECTING)
        try:
            raw.executescript(_READER + _EVERY)
        except BaseException:
            raw.close()
            raise
        return raw

    @override
    def connect_writer(self) -> Connection:
        with self._lock:
            self.trusted()
            connection: Connection = self._writer.connect() if self._proven else self._prove()
            try:
                # The first connection makes the WAL; its name must be durable before the first commit is called so.
                sync_directory(self.path.parent)
                self._files.watch_log()
                self.trusted()
            except BaseException:
                connection.close()
                raise
        return connection

    @override
    def connect_reader(self) -> Connection:
        # Connecting makes a log where there is none.
        self.trusted()
        if not self._proven:
            self.connect_writer().close()
        connection: Connection = self._reader.connect()
        self._gate.add(connection)
        try:
            # Where a name led elsewhere meanwhile, this is a connection to another store.
            self.trusted()
        except StoreUntrusted:
            self.close_reader(connection)
            raise
        if not self._proven:
            self.close_reader(connection)
            raise ConnectionResetError("a commit failed while the connection was opened")
        return connection

    @override
    def close_reader(self, connection: Connection) -> None:
        self._gate.drop(connection)
        super().close_reader(connection)

    @override
    def reading(self, connection: Connection) -> AbstractContextManager[None]:
        return self._gate.reading(connection)

    @override
    def doubt(self) -> None:
        self._proven = False
        # A connection opened from now on builds the index of the log anew, from the log: none of ours may be left.
        self._gate.close_all()

    def _prove(self) -> Connection:
        """Connect, and see to it that what SQLite takes for committed is on disk; inside the commit lock.

        Decision 0022 has the reasons.

        @raise Exception: it is not, or that cannot be known.
        """
        alone = self._file_lock.try_alone()
        if alone:
            try:
                self._gauge.write_again()
            finally:
                # SQLite makes a new database alone. What the log holds is on disk: whoever closes as the last one may
                # copy it.
                self._file_lock.release()
            # SQLite reads the log from its start, by checksums, and then copies all of it.
            self._copies_doubtful = False
        else:
            self._file_lock.share()
        connection: Connection = self._writer.connect()
        try:
            self._file_lock.share()
            with _raw(connection) as raw:
                if not alone:
                    raw.execute("BEGIN IMMEDIATE")
                    try:
                        self._gauge.write_again()
                    finally:
                        raw.execute("ROLLBACK")
                self._empty(connection)
            if self._copies_doubtful:
                raise StoreError(f"another process has {self.path} open, and a checkpoint failed: end that process")
        except BaseException:
            connection.close()
            raise
        self._proven = True
        return connection

    def _empty(self, connection: Connection) -> None:
        try:
            self._checkpoint(connection, "TRUNCATE", _EMPTY_WAIT_MS)
        except sqlite3.Error as error:
            # The log is on disk and stays as it is where readers hold it, or where the file cannot grow.
            if self.verdict(error) is Verdict.LOST:
                raise

    def watch(self, path: Path) -> None:
        """The store is to be trusted only while that file, too, is the one that its name leads to now."""
        self._files.watch(path)

    @override
    def why_untrusted(self) -> str | None:
        return self._files.why_untrusted()

    @override
    def trusted_lately(self) -> None:
        why = self._files.why_untrusted_lately()
        if why is not None:
            raise StoreUntrusted(why)

    @override
    def alone(self) -> AbstractContextManager[None]:
        return self._lock

    @override
    def verdict(self, error: Exception) -> Verdict:
        cause = error.orig if isinstance(error, DBAPIError) else error
        code = getattr(cause, "sqlite_errorcode", None)
        # The low octet is the primary result code (sqlite.org/rescode.html).
        primary = None if code is None else code & 0xFF
        if primary == sqlite3.SQLITE_FULL:
            return Verdict.FULL
        if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return Verdict.BUSY
        if primary in (sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_ERROR):
            return Verdict.REFUSED
        if primary == sqlite3.SQLITE_CORRUPT:
            return Verdict.DAMAGED
        if primary is None and isinstance(cause, (sqlite3.ProgrammingError, sqlite3.InterfaceError, OverflowError)):
            return Verdict.REFUSED
        return Verdict.LOST

    @override
    def after_batch(self, connection: Connection, octets: int) -> None:
        self._unmeasured += octets + _BATCH_OCTETS
        if self._unmeasured < _MEASURE_EVERY:
            return
        self._unmeasured = 0
        in_use = self._gauge.octets()
        if in_use >= RESTART_OCTETS:
            self._checkpoint(connection, "RESTART")
        elif in_use >= CHECKPOINT_OCTETS:
            self._checkpoint(connection, "PASSIVE")

    @override
    def idle(self, connection: Connection) -> None:
        if self.why_untrusted() is not None:
            with self._lock:
                self.save_log(connection)
        elif self._proven and self._gauge.octets():
            with self._lock:
                self._checkpoint(connection, "TRUNCATE")

    @override
    def save_log(self, connection: Connection) -> None:
        # A log that lost its name goes with its last descriptor: what was acknowledged must be in the file before.
        if self._files.why_database_untrusted() is None:
            self._checkpoint(connection, "PASSIVE")

    def _checkpoint(self, connection: Connection, mode: str, wait_ms: int = _RESTART_WAIT_MS) -> None:
        with _raw(connection) as raw:
            raw.execute(f"PRAGMA busy_timeout={wait_ms}")
            try:
                raw.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
            except sqlite3.Error as error:
                if self.verdict(error) is Verdict.LOST:
                    # A checkpoint that readers cut short counts its pages as copied before they are synced.
                    self._copies_doubtful = True
                raise
            finally:
                raw.execute(f"PRAGMA busy_timeout={_BUSY_WAIT_MS}")

    @override
    def vacuum(self, connection: Connection, reserve: int, go_on: Callable[[], bool]) -> bool:
        with _raw(connection) as raw:
            (free,) = raw.execute("PRAGMA freelist_count").fetchone()
            spare = int(free) - reserve // PAGE_OCTETS
            if spare <= 0:
                return False
            raw.execute("BEGIN IMMEDIATE")
            # One page a statement: a free one at the end of the file goes for nothing, but for each that has to be
            # moved SQLite looks through the free list, a millisecond where that lists some GiB.
            while spare > 0:
                raw.execute("PRAGMA incremental_vacuum(1)")
                spare -= 1
                if not go_on():
                    break
            raw.execute("COMMIT")
            return spare > 0

    @override
    def takes(self, connection: Connection, octets: int) -> bool:
        # Once for the WAL; and once for the file, together with what waits in the WAL for a checkpoint.
        free = self.free_octets() - octets
        if free < 0 or free >= RESTART_OCTETS + octets:
            return free >= 0
        with _raw(connection) as raw:
            (pages,) = raw.execute("PRAGMA freelist_count").fetchone()
        return free >= self._gauge.octets() + octets - int(pages) * PAGE_OCTETS

    @override
    def free_octets(self) -> int:
        disk = os.statvfs(self.path.parent)
        return disk.f_bavail * disk.f_frsize - SPARE_OCTETS

    @override
    def close(self) -> None:
        if self._proven and self.why_untrusted() is None:
            # SQLite's own last connection empties the log and removes it: one file is the store then.
            with suppress(sqlite3.Error, OSError), self._lock:
                self._file_lock.release()
                self._open_writer().close()
        self._gauge.close()
        self._files.close()
        self._lock.close()


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextmanager
def _raw(connection: Connection) -> Iterator[sqlite3.Connection]:
    """The driver's connection, outside any transaction."""
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    assert not raw.in_transaction
    yield raw

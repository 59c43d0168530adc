"""SQLite engine: one writer, checkpoints by the holder of the commit lock, and proof after an error of the disk.

The holder of the commit lock checkpoints after a batch if 8 MiB of the WAL are in use. When idle, it also truncates
the WAL.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, NullPool, create_engine, event
from sqlalchemy import Engine as SQLAlchemyEngine
from sqlalchemy.exc import DBAPIError
from typing_extensions import override

from emailsys.interfaces import StoreError, StoreMissing
from emailsys.platforms.files import free_octets, sync_directory
from emailsys.store.engine.base import Engine, StoreUntrusted, Verdict, no_store_text
from emailsys.store.engine.disk_reserve import DiskReserve
from emailsys.store.engine.file_locks import CommitLock, SQLiteFileLock, network_file_system
from emailsys.store.engine.files import StoreFiles
from emailsys.store.engine.gate import ReaderGate
from emailsys.store.engine.sqlite_connections import (
    BUSY_WAIT_MS,
    PAGE_OCTETS,
    WAL_OCTETS,
    driver_of,
    open_reader,
    open_writer,
)
from emailsys.store.engine.wal import WalGauge

_MIB: Final = 1024 * 1024
# Octets of the WAL in use from which a batch is followed by a checkpoint. From the second value on, the checkpoint
# waits for readers, so that SQLite restarts the WAL.
CHECKPOINT_OCTETS: Final = 8 * _MIB
RESTART_OCTETS: Final = WAL_OCTETS
# Octets written between two measurements of the WAL, and octets that a batch adds to its bodies.
_MEASURE_EVERY: Final = _MIB
_BATCH_OCTETS: Final = 64 * 1024
# Octets of the disk that are reserved for deleting: as many as the WAL may have.
SPARE_OCTETS: Final = RESTART_OCTETS
# Milliseconds that a restart of the WAL waits for readers.
_RESTART_WAIT_MS: Final = 20

# Seconds that the other processes of the daemon get to end.
_END_WITHIN: Final = 2.0

# Milliseconds that a new writer waits for readers before it leaves the log unchanged.
_EMPTY_WAIT_MS: Final = 500


class SQLite(Engine):
    """A SQLite database file with its lock files."""

    # A failed row ends the whole transaction, so no statement needs its own rollback journal.
    _verb = "INSERT OR FAIL INTO"
    errors = (*Engine.errors, sqlite3.Error)

    def __init__(self, path: Path, create: bool = True) -> None:
        """
        @param path: the database file. Its folder must exist.
        @param create: whether to create the file, with mode 0600, if it is missing.
        @raise StoreMissing: the file is missing and must not be created.
        @raise StoreError: the file cannot be opened, or is on a network file system.
        """
        kind = network_file_system(path.parent)
        if kind is not None:
            raise StoreError(
                f"{path} is on {kind}, a network file system, where SQLite can lose mail. Use a local disk."
            )
        self.path = path
        self.location = str(path)
        try:
            self._files = StoreFiles(path, create)
            lock = path.with_name(path.name + ".commit-lock")
            self._lock = CommitLock(lock)
            self._files.watch(lock)
        except FileNotFoundError:
            raise StoreMissing(no_store_text(str(path.parent))) from None
        except OSError as error:
            where = "" if error.filename in (None, str(path)) else f"{error.filename}: "
            raise StoreError(f"the store {path} cannot be opened: {where}{error.strerror}") from error
        self._unmeasured = 0
        self._gauge = WalGauge(path.with_name(path.name + "-wal"))
        self._gate = ReaderGate()
        self._reserve = DiskReserve(path.with_name(path.name + ".reserve"))
        self._keeps_reserve = False
        self._file_lock = SQLiteFileLock(self._files.descriptor)
        # Whether every commit that SQLite finds is on disk. Changed inside the commit lock, except by
        # `revoke_proof`.
        self._proven = False
        # Whether the database file may lack pages that SQLite believes it has copied from the log.
        self._copies_doubtful = False
        self._writer = _engine(partial(open_writer, path))
        self._reader = _engine(partial(open_reader, path))
        event.listen(self._writer, "begin", _begin_immediate)

    @override
    def connect_writer(self) -> Connection:
        with self._lock:
            self.raise_if_untrusted()
            connection: Connection = self._writer.connect() if self._proven else self._prove()
            try:
                # The first connection creates the WAL. Its name must be durable before the first commit is reported.
                sync_directory(self.path.parent)
                self._files.watch_log()
                self.raise_if_untrusted()
            except BaseException:
                connection.close()
                raise
        return connection

    @override
    def connect_reader(self) -> Connection:
        # Connecting creates a log if there is none.
        self.raise_if_untrusted()
        if not self._proven:
            self.connect_writer().close()
        connection: Connection = self._reader.connect()
        self._gate.add(connection)
        try:
            # If a file was replaced in between, this is a connection to another store.
            self.raise_if_untrusted()
        except StoreUntrusted:
            self.close_reader(connection)
            raise
        if not self._proven:
            self.close_reader(connection)
            raise ConnectionResetError("a commit failed while the connection was being opened")
        return connection

    @override
    def close_reader(self, connection: Connection) -> None:
        self._gate.drop(connection)
        super().close_reader(connection)

    @override
    def reading(self, connection: Connection) -> AbstractContextManager[None]:
        return self._gate.reading(connection)

    @override
    def revoke_proof(self) -> None:
        self._proven = False
        # SQLite rebuilds the index from the log on disk only if no connection of this process is left.
        self._gate.close_all()

    def _prove(self) -> Connection:
        """Connect, and make sure that every commit that SQLite finds is on disk. Call inside the commit lock.

        Decision 0022 has the reasons.

        @raise Exception: a commit may not be on disk.
        """
        is_exclusive = self._file_lock.try_exclusive()
        if not is_exclusive and (self._copies_doubtful or self._lock.is_in_doubt()):
            is_exclusive = self.end_other_processes() and self._file_lock.try_exclusive(_END_WITHIN)
            if not is_exclusive:
                raise StoreError(f"a checkpoint failed while another process has {self.path} open. End that process.")
        if is_exclusive:
            try:
                self._gauge.write_again()
            finally:
                # SQLite needs an exclusive lock to create a database. The log is on disk, so the last connection that
                # closes may copy it.
                self._file_lock.release()
            # SQLite reads the log from its start, verifies its checksums, and then copies all of it.
            self._copies_doubtful = False
            self._lock.end_doubt()
        else:
            self._file_lock.share()
        connection: Connection = self._writer.connect()
        try:
            self._file_lock.share()
            with driver_of(connection) as raw:
                if not is_exclusive:
                    raw.execute("BEGIN IMMEDIATE")
                    try:
                        self._gauge.write_again()
                    finally:
                        raw.execute("ROLLBACK")
                self._empty(connection)
        except BaseException:
            connection.close()
            raise
        self._proven = True
        return connection

    @override
    def raise_if_in_doubt(self) -> None:
        """@raise StoreError: in another process, a checkpoint met an I/O error. Call inside the commit lock."""
        if self._lock.is_in_doubt():
            raise StoreError("a checkpoint of another process failed")

    def _empty(self, connection: Connection) -> None:
        try:
            self._checkpoint(connection, "TRUNCATE", _EMPTY_WAIT_MS)
        except sqlite3.Error as error:
            # The log is on disk. It stays unchanged if readers use it or the database file cannot grow.
            if self.verdict(error) is Verdict.LOST:
                raise

    def watch(self, path: Path) -> None:
        """Watch one more file. The store is untrusted if the file is removed or replaced."""
        self._files.watch(path)

    @override
    def why_untrusted(self) -> str | None:
        return self._files.why_untrusted()

    @override
    def raise_if_untrusted_cached(self) -> None:
        why = self._files.why_untrusted_cached()
        if why is not None:
            raise StoreUntrusted(why)

    @override
    def commit_lock(self) -> AbstractContextManager[None]:
        return self._lock

    @override
    def lock_for_move(self) -> bool:
        # A failed move removes its files, perhaps after they were opened here.
        return self._lock.lock_for_move() and self._files.why_untrusted() is None

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
    def keep_reserve(self) -> None:
        self._keeps_reserve = True
        self._reserve.keep()

    @override
    def release_reserve(self) -> bool:
        return self._reserve.release()

    @override
    def tidy_when_idle(self, connection: Connection) -> None:
        if self._keeps_reserve:
            self._reserve.keep()
        if self.why_untrusted() is not None:
            with self._lock:
                self.save_log(connection)
        elif self._proven and self._gauge.octets():
            with self._lock:
                self._checkpoint(connection, "TRUNCATE")

    @override
    def save_log(self, connection: Connection) -> None:
        # A removed log disappears with its last descriptor. Before, acknowledged commits must be in the database file.
        if self._files.why_database_untrusted() is None:
            self._checkpoint(connection, "PASSIVE")

    def _checkpoint(self, connection: Connection, mode: str, wait_ms: int = _RESTART_WAIT_MS) -> None:
        # SQLite would remove from the log what it takes for copied.
        self.raise_if_in_doubt()
        with driver_of(connection) as raw:
            raw.execute(f"PRAGMA busy_timeout={wait_ms}")
            try:
                raw.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
            except sqlite3.Error as error:
                if self.verdict(error) is Verdict.LOST:
                    # SQLite counts pages of a partial checkpoint as copied before they are synced.
                    self._copies_doubtful = True
                    # Other processes must not empty the log. They learn it before they get the commit lock.
                    self._lock.tell_doubt()
                    self.end_other_processes()
                raise
            finally:
                raw.execute(f"PRAGMA busy_timeout={BUSY_WAIT_MS}")

    @override
    def vacuum(self, connection: Connection, reserve: int, has_time: Callable[[], bool]) -> bool:
        with driver_of(connection) as raw:
            (free,) = raw.execute("PRAGMA freelist_count").fetchone()
            spare = int(free) - reserve // PAGE_OCTETS
            if spare <= 0:
                return False
            raw.execute("BEGIN IMMEDIATE")
            # One page in each statement. A free page at the end of the file costs almost nothing. To move a page,
            # SQLite searches the free list, which takes a millisecond if that holds some GiB.
            while spare > 0:
                raw.execute("PRAGMA incremental_vacuum(1)")
                spare -= 1
                if not has_time():
                    break
            raw.execute("COMMIT")
            return spare > 0

    @override
    def has_room(self, connection: Connection, octets: int) -> bool:
        # Bodies need room in the WAL and in the database file. The file also needs room for the uncopied WAL.
        free = self.free_octets() - octets
        if free < 0 or free >= RESTART_OCTETS + octets:
            return free >= 0
        with driver_of(connection) as raw:
            (pages,) = raw.execute("PRAGMA freelist_count").fetchone()
        return free >= self._gauge.octets() + octets - int(pages) * PAGE_OCTETS

    @override
    def free_octets(self) -> int:
        return free_octets(self.path.parent) - SPARE_OCTETS

    @override
    def close(self) -> None:
        if self._proven and self.why_untrusted() is None:
            # SQLite's last connection empties and removes the log, so that the store is a single file.
            with suppress(sqlite3.Error, OSError), self._lock:
                self._file_lock.release()
                open_writer(self.path).close()
        self._gauge.close()
        self._files.close()
        self._lock.close()


def _engine(connect: Callable[[], sqlite3.Connection]) -> SQLAlchemyEngine:
    return create_engine("sqlite://", creator=connect, poolclass=NullPool)


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")

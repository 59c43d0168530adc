"""Base class of the database engines: connections, locks, the meaning of errors, fast INSERT statements."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from emailsys.interfaces import StoreDamaged, StoreError, StoreFull

T = TypeVar("T")

# Rows in one INSERT, largest first. Each statement releases the interpreter lock once. With one statement a row, a busy
# reactor thread would delay every row (decision 0011).
_ROWS_AT_ONCE: Final = (32, 16, 8, 4, 2, 1)


class Verdict(enum.Enum):
    """The meaning of an engine error for its transaction."""

    # A statement failed, and nothing was changed. Without it, the other jobs may succeed.
    REFUSED = "refused"
    # The disk or its quota is full, and nothing was changed. A smaller transaction may succeed.
    FULL = "full"
    # Another process locks the database, and nothing was changed. An immediate retry would wait just as long.
    BUSY = "busy"
    # A page of the database is damaged, and nothing was changed. Statements that need other pages may succeed.
    DAMAGED = "damaged"
    # The connection is unusable. If COMMIT was sent, its outcome is unknown.
    LOST = "lost"


_EXCEPTIONS: Final[Mapping[Verdict, type[StoreError]]] = {Verdict.FULL: StoreFull, Verdict.DAMAGED: StoreDamaged}


class StoreUntrusted(StoreError):
    """The files of the store were removed or replaced while they were open. See `Engine.why_untrusted`."""


def error_text(error: Exception) -> str:
    """Describe an error in one line, without the statement and values that SQLAlchemy adds: they may be private."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return f"{type(cause).__name__}: {' '.join(str(cause).split())}"


def store_error(error: Exception, verdict: Verdict) -> StoreError:
    """Return the StoreError that tells a caller about an engine error."""
    if isinstance(error, StoreError):
        return error
    exception = _EXCEPTIONS.get(verdict, StoreError)
    if verdict is Verdict.FULL:
        # The name of an exception says less to an operator than its text.
        refused = exception("the disk of the store is full, or its quota is used up")
    else:
        refused = exception(f"{verdict.value}: {error_text(error)}")
    refused.__cause__ = error
    return refused


def pad_to_power_of_two(rows: Sequence[T]) -> list[T]:
    """Repeat the last row until the number of rows is a power of two, so that the driver prepares few statements.

    Only for statements in which a row may occur twice.
    """
    length = 1 << (len(rows) - 1).bit_length()
    return [*rows, *list(rows[-1:]) * (length - len(rows))]


def no_store_text(where: str) -> str:
    """Return the error text for a place that has no store."""
    return f"there is no store in {where}. Run `emailsys init` to create one, or name the state folder with --state."


def execute(connection: Connection, statement: str, values: Sequence[Any]) -> int:
    """Run a statement in the transaction of a writer connection by the driver alone.

    SQLAlchemy's objects for its result cost as much as the insertion of two small rows. Errors are those of the driver.

    @param statement: with the engine's `placeholder` for each value.
    @return: how many rows it inserted, updated or deleted.
    """
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement, values)
        rows: int = cursor.rowcount
    finally:
        cursor.close()
    return rows


class Inserts:
    """INSERT statements for one table, with 32 rows and with each smaller power of two."""

    def __init__(self, table: Table, verb: str, placeholder: str) -> None:
        """
        @param verb: INSERT INTO, or the engine's variant of it.
        @param placeholder: the driver's placeholder for a parameter.
        """
        columns = ", ".join(column.name for column in table.columns)
        row = "(" + ", ".join([placeholder] * len(table.columns)) + ")"
        # Only names from the schema are formatted into the statement. Values are parameters.
        self._statements = tuple(
            (count, f"{verb} {table.name} ({columns}) VALUES {', '.join([row] * count)}") for count in _ROWS_AT_ONCE
        )

    def insert(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows. Each has a value for every column, in the order of the table (see `schema.rows`).

        Errors are those of the driver.
        """
        start = 0
        for count, statement in self._statements:
            while len(rows) - start >= count:
                execute(connection, statement, tuple(chain.from_iterable(rows[start : start + count])))
                start += count


class Engine(ABC):
    """A database engine. Its methods are called in store threads."""

    # Number of writer threads.
    writers: int = 1
    # Whether rows can be locked (FOR UPDATE), which several writers need.
    locks_rows: bool = False
    # Whether a connection may be lost although the database is healthy.
    over_network: bool = False
    _verb: str = "INSERT INTO"
    placeholder: str = "?"
    # Exceptions of the engine and its driver. Callers raise all others.
    errors: tuple[type[Exception], ...] = (SQLAlchemyError, OSError)
    #: The file or URL of the database, without a password.
    location: str
    #: Ends the other processes of this daemon that use the store, because a proof needs it for one process alone.
    #: Returns whether there were any. Called in a store thread, inside `commit_lock`.
    end_other_processes: Callable[[], bool] = staticmethod(lambda: False)

    @abstractmethod
    def connect_writer(self) -> Connection:
        """Open a connection for writing. Every commit that it finds is on disk.

        @raise StoreUntrusted: see `why_untrusted`.
        """

    @abstractmethod
    def connect_reader(self) -> Connection:
        """Open a connection for reading. Each statement is a transaction of its own."""

    def can_prove_commits(self, connection: Connection) -> bool:
        """Whether commits that a new writer connection finds are on disk. Call inside a transaction."""
        return True

    def reading(self, connection: Connection) -> AbstractContextManager[None]:
        """Return the context manager for each use of a reader connection."""
        return nullcontext()

    def fetch(self, connection: Connection, statement: str, values: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
        """Run a SELECT on a reader connection by the driver alone, without SQLAlchemy's objects for its result.

        They cost as much as SQLite needs to read ten small messages. Errors are those of the driver.

        @param statement: with the engine's `placeholder` for each value.
        """
        cursor = connection.connection.cursor()
        try:
            cursor.execute(statement, values)
            rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
        finally:
            cursor.close()
        return rows

    def close_reader(self, connection: Connection) -> None:
        """Close a reader connection in any state."""
        try:
            connection.invalidate()
            connection.close()
        except Exception:  # noqa: S110 - the connection is already broken
            pass

    def revoke_proof(self) -> None:  # noqa: B027
        """Forget that commits are proven. Call before discarding a writer connection after an error.

        Until `connect_writer` returns again, no result of a query proves a commit.
        """

    def raise_if_in_doubt(self) -> None:  # noqa: B027
        """@raise StoreError: a checkpoint of another process failed. Call inside `commit_lock`."""

    def inserts(self, table: Table) -> Inserts:
        """Return the INSERT statements for a table."""
        return Inserts(table, self._verb, self.placeholder)

    def why_untrusted(self) -> str | None:
        """Return why reads and commits of this engine cannot be trusted, or None if they can.

        Fast, and callable in any thread. While there is a reason, all answers are temporary failures: after a restart,
        mail in removed or replaced files would be lost.
        """
        return None

    def raise_if_untrusted_cached(self) -> None:
        """Like `raise_if_untrusted`, for readers. May miss a change in the last tenth of a second.

        @raise StoreUntrusted: `why_untrusted` has a reason.
        """
        self.raise_if_untrusted()

    def raise_if_untrusted(self) -> None:
        """@raise StoreUntrusted: `why_untrusted` has a reason."""
        why = self.why_untrusted()
        if why is not None:
            raise StoreUntrusted(why)

    def commit_lock(self) -> AbstractContextManager[None]:
        """Return the lock to hold around each group commit and checkpoint, if only one process may write."""
        return nullcontext()

    def lock_for_move(self) -> bool:
        """Let no other process move a store into the files of the database until `close`.

        Returns False if another process has this lock. A server is locked by a statement (`moving.target`).
        """
        return True

    def commit(self, connection: Connection) -> None:
        """Commit the transaction durably."""
        connection.commit()

    @abstractmethod
    def verdict(self, error: Exception) -> Verdict:
        """Classify an error of this engine or its driver."""

    def after_batch(self, connection: Connection, octets: int) -> None:  # noqa: B027
        """Do the housekeeping after a commit. Call inside `commit_lock`.

        @param octets: the size of the committed bodies.
        """

    def save_log(self, connection: Connection) -> None:  # noqa: B027
        """Copy committed data to where a restart finds it, if that is possible while `why_untrusted` has a reason.

        Call outside a transaction, inside `commit_lock`.
        """

    def tidy_when_idle(self, connection: Connection) -> None:  # noqa: B027
        """Do the housekeeping after a time without writes. Acquires `commit_lock` itself."""

    def vacuum(self, connection: Connection, reserve: int, has_time: Callable[[], bool]) -> bool:
        """Return free pages to the file system, in one transaction. Returns whether there are more.

        @param reserve: octets of free pages to keep.
        @param has_time: called after each page. A page takes a millisecond or less.
        """
        return False

    def has_room(self, connection: Connection, octets: int) -> bool:
        """Whether the disk has room for bodies. Call outside a transaction, inside `commit_lock`.

        Deleting needs some room, too. It is reserved, because otherwise a full store could not be emptied.
        """
        return True

    def free_octets(self) -> int | None:
        """Return the octets of mail for which the disk has room. None if that cannot be determined here."""
        return None

    def keep_reserve(self) -> None:  # noqa: B027
        """Reserve room on the disk for deletes from now on, if it has enough. A daemon calls it once."""

    def release_reserve(self) -> bool:
        """Give up the reserve because the disk is full. Return whether that has freed room."""
        return False

    def limit_statements(self) -> None:  # noqa: B027
        """Limit the time of each statement. Call when the schema is ready: its migration may take long."""

    def close(self) -> None:  # noqa: B027
        """Release the engine's own resources. Call after closing all connections, except that of the locks."""

    def unlimit_statements(self) -> None:  # noqa: B027
        """End the limit of `limit_statements`. Call after closing all connections, that of the locks too."""

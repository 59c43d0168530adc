"""What the two database engines have in common, and where they differ: connecting, locking, and what an error means."""

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

# How many rows one INSERT takes, largest first. A statement is one call into the engine and so gives the interpreter
# lock away once; with one call a row, a busy reactor thread makes each of them wait (decision 0011).
_ROWS_AT_ONCE: Final = (32, 16, 8, 4, 2, 1)


class Verdict(enum.Enum):
    """What an error of the engine says about the transaction it ended."""

    # One statement could not be done; nothing was changed; without it the others may pass.
    REFUSED = "refused"
    # The disk or its quota is full; nothing was changed; a smaller one may pass.
    FULL = "full"
    # Someone else holds the database; nothing was changed; trying again at once would wait as long again.
    BUSY = "busy"
    # A page of the database cannot be read for what it was; nothing was changed; what needs other pages may pass.
    DAMAGED = "damaged"
    # The connection is of no use any more; at COMMIT the outcome is not known.
    LOST = "lost"


_KINDS: Final[Mapping[Verdict, type[StoreError]]] = {Verdict.FULL: StoreFull, Verdict.DAMAGED: StoreDamaged}


class StoreUntrusted(StoreError):
    """The files of the store were removed or replaced while they were open: see `Engine.why_untrusted`."""


def told(error: Exception) -> str:
    """An error in one line, without the statement and its values that SQLAlchemy adds: they may be somebody's."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return f"{type(cause).__name__}: {' '.join(str(cause).split())}"


def refusal(error: Exception, verdict: Verdict) -> StoreError:
    """What a caller hears of an engine's error."""
    if isinstance(error, StoreError):
        return error
    kind = _KINDS.get(verdict, StoreError)
    refused = kind(f"{verdict.value}: {told(error)}")
    refused.__cause__ = error
    return refused


def padded(rows: Sequence[T]) -> list[T]:
    """The rows, the last one repeated until their number is a power of two: a driver keeps few statements prepared.

    Only for statements that may meet a row twice.
    """
    length = 1 << (len(rows) - 1).bit_length()
    return [*rows, *list(rows[-1:]) * (length - len(rows))]


def no_store(where: str) -> str:
    """What an operator is told who names a place without a store."""
    return f"there is no store in {where}. Run `emailsys init` to make one, or name the state folder with --state."


class Inserts:
    """Many rows into one table, in statements of 32 rows and of the lesser powers of two."""

    def __init__(self, table: Table, verb: str, placeholder: str) -> None:
        """
        @param verb: INSERT INTO, or what the engine has for it.
        @param placeholder: the driver's sign for a parameter.
        """
        columns = ", ".join(column.name for column in table.columns)
        row = "(" + ", ".join([placeholder] * len(table.columns)) + ")"
        # Names of tables and columns of our own schema; values go as parameters.
        self._statements = tuple(
            (count, f"{verb} {table.name} ({columns}) VALUES {', '.join([row] * count)}") for count in _ROWS_AT_ONCE
        )

    def insert(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows, each with a value for every column in the table's order."""
        start = 0
        for count, statement in self._statements:
            while len(rows) - start >= count:
                values = tuple(chain.from_iterable(rows[start : start + count]))
                connection.exec_driver_sql(statement, values)
                start += count


class Engine(ABC):
    """A database: how to connect to it, and what is peculiar to it. Its methods are called in store threads."""

    # How many threads write.
    writers: int = 1
    # Whether rows can be locked (FOR UPDATE), as several writers need.
    locks_rows: bool = False
    # Whether a connection may be lost while nothing is wrong with the database.
    over_network: bool = False
    _verb: str = "INSERT INTO"
    placeholder: str = "?"
    # What the engine and its driver raise; anything else is the caller's own.
    errors: tuple[type[Exception], ...] = (SQLAlchemyError, OSError)
    #: The file or URL it is opened on, as an operator knows it; without a password.
    shown: str

    @abstractmethod
    def connect_writer(self) -> Connection:
        """A connection whose transactions write. What it finds committed is on disk.

        @raise StoreUntrusted: see `why_untrusted`.
        """

    @abstractmethod
    def connect_reader(self) -> Connection:
        """A connection on which each statement is a transaction of its own."""

    def is_proof(self, connection: Connection) -> bool:
        """Whether what a new connection that writes finds committed is on disk. Called inside a transaction."""
        return True

    def reading(self, connection: Connection) -> AbstractContextManager[None]:
        """Held around each use of a connection that reads."""
        return nullcontext()

    def close_reader(self, connection: Connection) -> None:
        """Close a connection that reads, whatever state it is in."""
        try:
            connection.invalidate()
            connection.close()
        except Exception:  # noqa: S110 - it was broken already; nothing of it is needed
            pass

    def doubt(self) -> None:  # noqa: B027
        """Call before a connection that writes is given up after an error.

        Nothing that is found afterwards proves a commit, until `connect_writer` has returned again.
        """

    def inserts(self, table: Table) -> Inserts:
        """The fast way into a table."""
        return Inserts(table, self._verb, self.placeholder)

    def why_untrusted(self) -> str | None:
        """Why nothing that this engine reads or commits may be believed; None while there is no such reason.

        Cheap, and callable in any thread. While there is a reason all answers are temporary failures: files that were
        removed or replaced under a running daemon hold no mail that a restart would find.
        """
        return None

    def trusted_lately(self) -> None:
        """As `trusted`, for readers: what happened in the last tenth of a second may be missed.

        @raise StoreUntrusted: `why_untrusted` has a reason.
        """
        self.trusted()

    def trusted(self) -> None:
        """@raise StoreUntrusted: `why_untrusted` has a reason."""
        why = self.why_untrusted()
        if why is not None:
            raise StoreUntrusted(why)

    def alone(self) -> AbstractContextManager[None]:
        """Held around each group commit and each checkpoint where only one process may write."""
        return nullcontext()

    def commit(self, connection: Connection) -> None:
        """Make the transaction durable."""
        connection.commit()

    @abstractmethod
    def verdict(self, error: Exception) -> Verdict:
        """What an error of this engine's driver means."""

    def after_batch(self, connection: Connection, octets: int) -> None:  # noqa: B027
        """Housekeeping that is due after a commit, of bodies with so many octets, still inside `alone`."""

    def save_log(self, connection: Connection) -> None:  # noqa: B027
        """Bring what was committed to where a restart finds it, if that can be done while `why_untrusted` has a reason.

        Call outside a transaction, inside `alone`.
        """

    def idle(self, connection: Connection) -> None:  # noqa: B027
        """Housekeeping for when nothing has come for a while; takes `alone` itself."""

    def vacuum(self, connection: Connection, reserve: int, go_on: Callable[[], bool]) -> bool:
        """Give free pages back, in one transaction, keeping `reserve` octets of them; whether there are more.

        @param go_on: asked after each page, a page being a millisecond's work or less.
        """
        return False

    def takes(self, connection: Connection, octets: int) -> bool:
        """Whether bodies of so many octets may be written; asked outside a transaction, inside `alone`.

        The last of a disk is kept for deleting, which needs room, too: else a full store could not be emptied.
        """
        return True

    def free_octets(self) -> int | None:
        """How much more mail the disk takes; None where that can't be seen from here."""
        return None

    def close(self) -> None:  # noqa: B027
        """Release what the engine itself holds, after its connections."""

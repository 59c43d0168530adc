"""Copy of a store: rows in slices, then what changed meanwhile, and the comparison of both stores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final, Protocol

from sqlalchemy import Connection, Table, func, select
from sqlalchemy.exc import IntegrityError

from emailsys.interfaces import StoreError
from emailsys.store.engine.base import Engine
from emailsys.store.moving.changes import CHANGES_AT_ONCE, ChangeRecord, writing
from emailsys.store.moving.keys import RowKey, RowValues, key_slices, named_rows, parts, put_rows, rows_at_once
from emailsys.store.schema import tables as schema

# Attempts to copy a slice of which a row collides with one that has just been deleted in the source.
_ATTEMPTS: Final = 5
# Keys that may wait for their comparison before those of the next slice are compared.
_MOST_DOUBTFUL: Final = 10_000
# Octets that a commit with bodies counts for the engine's housekeeping.
_OCTETS: Final = 1024 * 1024
# Rows with octets that are compared at once.
_AT_ONCE: Final = 64


class CopyFailed(StoreError):
    """A row of the copy differs from that of the store, or cannot be copied."""


class Report(Protocol):
    """Called with the progress of a long step."""

    def __call__(self, step: str, table: str, done: int, of: int) -> None:
        """@param step: copying, or comparing."""


class Copying:
    """Copies a store that may change meanwhile.

    @param source: reads outside of transactions.
    @param source_writer: forgets changes that were copied.
    @param report: called after each slice.
    """

    def __init__(
        self,
        source_engine: Engine,
        source: Connection,
        source_writer: Connection,
        target_engine: Engine,
        target: Connection,
        report: Report,
    ) -> None:
        self._source_engine, self._target_engine = source_engine, target_engine
        self._source, self._source_writer, self._target = source, source_writer, target
        self._report = report
        self._tables: Sequence[Table] = schema.metadata.sorted_tables
        self._record = ChangeRecord(source_engine, self._tables)
        # Rows that have changed since they were compared; None while nothing is compared yet.
        self._doubtful: dict[Table, set[RowKey]] | None = None
        #: The number of rows of each table, when they were compared.
        self.counts: dict[str, int] = {}
        #: Ids of messages with a body that differs from its digest in both stores.
        self.damaged: set[int] = set()

    def start(self) -> None:
        """Record what changes from now on."""
        self._record.start(self._source_writer)

    def copy(self) -> None:
        """Copy all rows."""
        for table in self._tables:
            rows, done = self._count(self._source, table), 0
            for found in key_slices(self._source, table):
                for part in parts(found, rows_at_once(table)):
                    self._copy_rows(table, part)
                    done += len(part)
                    self._report("copying", table.name, done, max(done, rows))
                    # Also bounds how many changes wait.
                    self.catch_up()

    def _copy_rows(self, table: Table, keys: Sequence[RowKey]) -> None:
        """Copy rows, if necessary after what changed before. A name, for example, may be another account's now."""
        for _ in range(_ATTEMPTS):
            try:
                self._put(table, keys, list(named_rows(self._source, table, keys).values()))
                return
            except IntegrityError:
                self.catch_up()
        raise CopyFailed(f"rows of the table {table.name} collide with each other in the copy")

    def catch_up(self) -> int:
        """Copy rows that have changed, until few are left. Returns how many changes there were."""
        changes = 0
        while True:
            numbers = self._apply(self._source)
            if numbers:
                with writing(self._source_engine, self._source_writer):
                    self._record.forget(self._source_writer, numbers)
            changes += len(numbers)
            if len(numbers) < CHANGES_AT_ONCE:
                return changes

    def _apply(self, source: Connection) -> list[int]:
        """Copy rows of which changes are recorded. Returns the numbers of the changes."""
        numbers, changed = self._record.read(source)
        if not numbers:
            return numbers
        # One commit for all: in the last step, clients wait for it.
        with writing(self._target_engine, self._target, _OCTETS if schema.bodies in changed else 0):
            # First, because a new row may have the name of one that was deleted before.
            for table, keys in changed.items():
                put_rows(self._target, table, keys, [])
            for table, keys in changed.items():
                for part in parts(keys, _AT_ONCE):
                    put_rows(self._target, table, part, list(named_rows(source, table, part).values()))
        for table, keys in changed.items():
            self._doubt(table, keys)
        return numbers

    def _put(self, table: Table, keys: Sequence[RowKey], rows: Sequence[RowValues]) -> None:
        octets = sum(len(value) for row in rows for value in row if isinstance(value, bytes))
        with writing(self._target_engine, self._target, octets):
            put_rows(self._target, table, keys, rows)

    def compare(self) -> None:
        """Compare all rows of both stores, and copy again those that differ, until few may differ still."""
        self._doubtful = {}
        for table in self._tables:
            rows, done = self._count(self._source, table), 0
            for found in key_slices(self._source, table):
                for part in parts(found, _AT_ONCE):
                    self._doubt(table, self._different(self._source, table, part))
                done += len(found)
                self._report("comparing", table.name, done, max(done, rows))
                self._catch_up_comparing()
            # Text is sorted in another order there, so rows that only the copy has are looked for by their keys.
            for found in key_slices(self._target, table):
                self._target.rollback()
                there = named_rows(self._source, table, found, only_keys=True)
                self._doubt(table, {key for key in found if key not in there})
            self._target.rollback()
            self.counts[table.name] = done
        self.settle()

    def _catch_up_comparing(self) -> None:
        self.catch_up()
        if sum(map(len, (self._doubtful or {}).values())) > _MOST_DOUBTFUL:
            self.settle()

    def settle(self) -> int:
        """Catch up, then copy and compare again the rows that may differ. Returns how many may differ still."""
        self.catch_up()
        doubtful, self._doubtful = self._doubtful or {}, {}
        for table, keys in doubtful.items():
            for part in parts(keys, _AT_ONCE):
                self._put(table, part, list(named_rows(self._source, table, part).values()))
                self._doubt(table, self._different(self._source, table, part))
        return sum(map(len, self._doubtful.values()))

    def finish(self, locked: Connection, check_time: Callable[[], object]) -> None:
        """Copy the last changes of the source, and compare every row that may differ.

        @param locked: a transaction of the source, beside which no other commits.
        @param check_time: called between steps; may raise.
        @raise CopyFailed: a row differs, and no reason is known.
        """
        while numbers := self._apply(locked):
            check_time()
            self._record.forget(locked, numbers)
        # If this fails for lack of time, the rows are still doubtful.
        for table, keys in (self._doubtful or {}).items():
            for part in parts(keys, _AT_ONCE):
                check_time()
                if self._different(locked, table, part):
                    raise CopyFailed(f"a row of the table {table.name} differs from the original in the copy")

    def _doubt(self, table: Table, keys: set[RowKey]) -> None:
        if keys and self._doubtful is not None:
            self._doubtful.setdefault(table, set()).update(keys)

    def _different(self, source: Connection, table: Table, keys: Sequence[RowKey]) -> set[RowKey]:
        """Return the keys of rows that are not the same in both stores, or in one of them only."""
        here, there = named_rows(source, table, keys), named_rows(self._target, table, keys)
        self._target.rollback()
        if table in (schema.bodies, schema.body_pieces):
            self._check_digests(table, there)
        return {key for key in keys if here.get(key) != there.get(key)}

    def _check_digests(self, table: Table, rows: dict[RowKey, RowValues]) -> None:
        names = [column.name for column in table.columns]
        content, digest = names.index("content"), names.index("digest")
        for key, row in rows.items():
            if row[digest] is not None and sha256(row[content]).digest() != row[digest]:
                self.damaged.add(int(key[0]))

    def _count(self, connection: Connection, table: Table) -> int:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())

"""Record of the rows that change while a store is copied: triggers write the key of each into a table of their own."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Identity,
    Integer,
    MetaData,
    Table,
    Text,
    delete,
    inspect,
    select,
    text,
)

from emailsys.store.engine.base import Engine
from emailsys.store.moving.keys import RowKey, key_columns, parts

# Beginnings of the names of the table, and of the triggers and functions. No table of the store begins like this.
_TABLE: Final = "move_changes_"
_TRIGGER: Final = "move_"
_DIGITS: Final = 4
# Changes that are read at once.
CHANGES_AT_ONCE: Final = 2000
_NUMBERS_AT_ONCE: Final = 500


class ChangeRecord:
    """The keys of rows that were inserted, updated or deleted, since `start`.

    A row that is read after its key is as new as its change or newer. A later change has a key of its own.
    """

    def __init__(self, engine: Engine, tables: Sequence[Table]) -> None:
        """@param tables: those whose changes are recorded."""
        self._engine = engine
        self._tables = {table.name: table for table in tables}
        self._name = secrets.token_hex(_DIGITS)
        number = BigInteger().with_variant(Integer(), "sqlite")
        self._table = Table(
            f"{_TABLE}{self._name}",
            MetaData(),
            Column("number", number, Identity(always=True), primary_key=True),
            Column("table_name", Text, nullable=False),
            Column("row_key", Text, nullable=False),
        )

    def start(self, connection: Connection) -> None:
        """Record changes from now on."""
        statements = self._on_postgres if self._engine.locks_rows else self._on_sqlite
        with writing(self._engine, connection):
            self._table.create(connection, checkfirst=False)
        run_each(self._engine, connection, [list(statements(table)) for table in self._tables.values()])

    def read(self, connection: Connection) -> tuple[list[int], dict[Table, set[RowKey]]]:
        """Return the numbers of the first recorded changes, and the keys of the rows, by table."""
        numbers: list[int] = []
        keys: dict[Table, set[RowKey]] = {}
        for row in connection.execute(select(self._table).order_by(self._table.c.number).limit(CHANGES_AT_ONCE)):
            numbers.append(row.number)
            keys.setdefault(self._tables[row.table_name], set()).add(tuple(json.loads(row.row_key)))
        return numbers, keys

    def forget(self, connection: Connection, numbers: Sequence[int]) -> None:
        """Remove changes that were copied. Call within a transaction."""
        for part in parts([(number,) for number in numbers], _NUMBERS_AT_ONCE):
            connection.execute(delete(self._table).where(self._table.c.number.in_([number for (number,) in part])))

    def _on_sqlite(self, table: Table) -> Iterator[str]:
        new, old = (_key("json_array", row, table) for row in ("NEW", "OLD"))
        for event, rows in (("INSERT", [new]), ("DELETE", [old]), ("UPDATE", [new, old])):
            inserted = "".join(
                f"INSERT INTO {self._table.name} (table_name, row_key) SELECT '{table.name}', {row}"
                f"{f' WHERE {row} <> {new}' if event == 'UPDATE' and row is old else ''}; "
                for row in rows
            )
            name = f"{_TRIGGER}{self._name}_{table.name}_{event.lower()}"
            yield f"CREATE TRIGGER {name} AFTER {event} ON {table.name} BEGIN {inserted}END"

    def _on_postgres(self, table: Table) -> Iterator[str]:
        new, old = (f"{_key('json_build_array', row, table)}::text" for row in ("NEW", "OLD"))
        insert = f"INSERT INTO {self._table.name} (table_name, row_key) VALUES ('{table.name}', "  # noqa: S608
        function = f"{_TRIGGER}{self._name}_{table.name}"
        yield (
            f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF TG_OP <> 'DELETE' THEN {insert}{new}); END IF; "
            f"IF TG_OP = 'DELETE' THEN {insert}{old}); "
            f"ELSIF TG_OP = 'UPDATE' THEN IF {old} <> {new} THEN {insert}{old}); END IF; END IF; "
            "RETURN NULL; END $$"
        )
        yield (
            f"CREATE TRIGGER {function} AFTER INSERT OR UPDATE OR DELETE ON {table.name} "
            f"FOR EACH ROW EXECUTE FUNCTION {function}()"
        )


def _key(function: str, row: str, table: Table) -> str:
    # Only names from the schema are formatted into statements.
    return f"{function}({', '.join(f'{row}.{column.name}' for column in key_columns(table))})"


def stop_recording(engine: Engine, connection: Connection) -> bool:
    """Remove every record of changes from a store, its triggers too. Returns whether there was one."""
    with connection.begin():
        tables = [name for name in inspect(connection).get_table_names() if name.startswith(_TABLE)]
    if not tables:
        return False
    if engine.locks_rows:
        asked = (
            "SELECT proname FROM pg_proc WHERE starts_with(proname, :start) "
            "AND pronamespace = current_schema()::regnamespace"
        )
    else:
        asked = "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND substr(name, 1, length(:start)) = :start"
    with connection.begin():
        names = [str(name) for name in connection.execute(text(asked), {"start": _TRIGGER}).scalars()]
    drop = "DROP FUNCTION {}() CASCADE" if engine.locks_rows else "DROP TRIGGER IF EXISTS {}"
    run_each(engine, connection, [[drop.format(name)] for name in names])
    run_each(engine, connection, [[f"DROP TABLE IF EXISTS {table}" for table in tables]])
    return True


def run_each(engine: Engine, connection: Connection, groups: Sequence[Sequence[str]]) -> None:
    """Run statements that change tables; on PostgreSQL each group in a transaction of its own.

    There, each waits for the transactions that write to its table. With two tables, it could wait for one that waits
    for it.
    """
    for together in groups if engine.locks_rows else [list(chain.from_iterable(groups))]:
        with writing(engine, connection):
            for statement in together:
                connection.exec_driver_sql(statement)


@contextmanager
def writing(engine: Engine, connection: Connection, octets: int = 0) -> Iterator[None]:
    """Provide a transaction that no other process writes beside, where the engine requires that.

    @param octets: about how many are written.
    """
    with engine.commit_lock():
        with connection.begin():
            yield
        engine.after_batch(connection, octets)

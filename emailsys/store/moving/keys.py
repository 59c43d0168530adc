"""Rows of a table by their primary keys: slices in the order of the keys, and rows that keys name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any, Final, TypeAlias

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    LargeBinary,
    Select,
    SmallInteger,
    Table,
    Text,
    delete,
    insert,
    literal,
    select,
    tuple_,
)

#: The values of a primary key, in the order of its columns.
RowKey: TypeAlias = tuple[Any, ...]
#: A row, with a value for every column in the order of the table.
RowValues: TypeAlias = tuple[Any, ...]

# Keys that one statement names. SQLite allows 32,766 values, PostgreSQL 65,535.
_KEYS_AT_ONCE: Final = 500
# Rows that are read at once, and those of a table with octets: 64 pieces of bodies are at most 16 MiB.
_ROWS: Final = 1000
_ROWS_WITH_OCTETS: Final = 64
# Types of columns that a recorded key may have: what JSON keeps exactly.
_KEY_TYPES: Final = (BigInteger, Integer, SmallInteger, Text)


def key_columns(table: Table) -> list[Any]:
    """Return the columns of the primary key.

    @raise TypeError: the table cannot be moved, because it has no key, or one of a type that is not known here.
    """
    columns = list(table.primary_key.columns)
    if not columns or not all(isinstance(column.type, _KEY_TYPES) for column in columns):
        raise TypeError(f"the rows of the table {table.name} cannot be told apart by numbers and texts")
    return columns


def rows_at_once(table: Table) -> int:
    """Return how many rows of the table are read and written at once."""
    return _ROWS_WITH_OCTETS if any(isinstance(column.type, LargeBinary) for column in table.columns) else _ROWS


def key_of(table: Table, row: RowValues) -> RowKey:
    """Return the primary key of a row."""
    names = list(table.columns)
    return tuple(row[names.index(column)] for column in key_columns(table))


def key_slices(connection: Connection, table: Table) -> Iterator[list[RowKey]]:
    """Yield the keys of a table in slices, in their order. Those of rows that are added meanwhile may be missing."""
    columns = key_columns(table)
    last: RowKey | None = None
    while True:
        asked: Select[Any] = select(*columns)
        if last is not None:
            values = [literal(value, column.type) for value, column in zip(last, columns, strict=True)]
            behind: ColumnElement[bool] = (
                columns[0] > values[0] if len(columns) == 1 else tuple_(*columns) > tuple_(*values)
            )
            asked = asked.where(behind)
        found = [tuple(row) for row in connection.execute(asked.order_by(*columns).limit(_ROWS))]
        if found:
            yield found
        # Otherwise, a table that grows all the time would have no end.
        if len(found) < _ROWS:
            return
        last = found[-1]


def named_rows(
    connection: Connection, table: Table, keys: Collection[RowKey], only_keys: bool = False
) -> dict[RowKey, RowValues]:
    """Return the rows with these keys, by key. Keys without a row are left out."""
    columns = key_columns(table)
    found: dict[RowKey, RowValues] = {}
    for part in parts(keys, _KEYS_AT_ONCE):
        asked: Select[Any] = select(*columns) if only_keys else select(table)
        for row in connection.execute(asked.where(_named(table, part))):
            values = tuple(row)
            found[values if only_keys else key_of(table, values)] = values
    return found


def put_rows(connection: Connection, table: Table, keys: Collection[RowKey], rows: Sequence[RowValues]) -> None:
    """Make the rows with these keys the given ones. Keys without a row are deleted."""
    for part in parts(keys, _KEYS_AT_ONCE):
        connection.execute(delete(table).where(_named(table, part)))
    if rows:
        names = [column.name for column in table.columns]
        connection.execute(insert(table), [dict(zip(names, row, strict=True)) for row in rows])


def parts(keys: Collection[RowKey], size: int) -> Iterator[list[RowKey]]:
    """Yield the keys in lists of at most a size."""
    rest = iter(keys)
    while part := list(islice(rest, size)):
        yield part


def _named(table: Table, keys: Sequence[RowKey]) -> ColumnElement[bool]:
    columns = key_columns(table)
    if len(columns) == 1:
        named: ColumnElement[bool] = columns[0].in_([key[0] for key in keys])
        return named
    return tuple_(*columns).in_(keys)

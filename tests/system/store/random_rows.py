"""Rows for every table of the store, made by the types of the columns, and random changes of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import BigInteger, Boolean, Connection, Integer, LargeBinary, SmallInteger, Table, Text, select

from emailsys.store.engine.base import Engine
from emailsys.store.moving.changes import writing
from emailsys.store.moving.keys import RowValues, key_columns, key_of, put_rows
from emailsys.store.schema import tables as schema

TABLES: Sequence[Table] = schema.metadata.sorted_tables
# Tables whose rows nothing refers to, so that any of them may be deleted.
_LEAVES = [t for t in TABLES if not any(k.column.table is t for other in TABLES for k in other.foreign_keys)]
# One row each, or read by every process.
_LEFT_ALONE = (schema.generation, schema.commits)


def row_of(table: Table, number: int, draw: random.Random) -> RowValues:
    """Return a row whose keys come from a number, and that refers to the row of that number in other tables."""
    row: dict[str, Any] = {}
    for column in table.columns:
        is_key = column.primary_key or column.foreign_keys or column.name in ("domain_key", "local_key", "domain_id")
        match column.type:
            case Boolean():
                row[column.name] = draw.random() < 0.5
            case BigInteger():
                row[column.name] = 2**62 + number if is_key else draw.randrange(2**40)
            case Integer() | SmallInteger():
                row[column.name] = number if is_key else draw.randrange(10_000)
            case Text():
                row[column.name] = f"é{number}\"'" if is_key else f"{draw.random()}\n☃"
            case LargeBinary():
                row[column.name] = draw.randbytes(draw.randrange(200))
            case other:
                raise AssertionError(f"{table.name}.{column.name} has the new type {other!r}: make values of it here")
        if column.nullable and not is_key and draw.random() < 0.3:
            row[column.name] = None
    if "digest" in row and "content" in row:
        row["digest"] = sha256(row["content"]).digest()
    return tuple(row.values())


def fill(engine: Engine, connection: Connection, numbers: Sequence[int], draw: random.Random) -> None:
    """Insert a row for each number into every table."""
    with writing(engine, connection):
        for table in TABLES:
            if table not in _LEFT_ALONE:
                put_rows(connection, table, [], [row_of(table, number, draw) for number in numbers])


def change(engine: Engine, connection: Connection, draw: random.Random) -> None:
    """Change a row, insert one with all that it refers to, or delete one."""
    kind = draw.choice(("insert", "update", "delete"))
    if kind == "insert":
        fill(engine, connection, [draw.randrange(1000, 32_000)], draw)
        return
    table = draw.choice(_LEAVES if kind == "delete" else [t for t in TABLES if t not in _LEFT_ALONE])
    with writing(engine, connection):
        rows = [tuple(row) for row in connection.execute(select(table))]
        if table in _LEFT_ALONE or not rows:
            return
        row = draw.choice(rows)
        if kind == "delete":
            put_rows(connection, table, [key_of(table, row)], [])
            return
        keys = {column.name for column in key_columns(table)}
        names = [column.name for column in table.columns]
        new = row_of(table, 0, draw)
        referring = {column.name for column in table.columns if column.foreign_keys or column.name.endswith("_key")}
        values = {
            name: value
            for name, value in zip(names, new, strict=True)
            if name not in keys and name not in referring and name != "digest"
        }
        if values:
            here = [column == row[names.index(column.name)] for column in key_columns(table)]
            connection.execute(table.update().where(*here).values(values))


def contents(connection: Connection) -> dict[str, set[RowValues]]:
    """Return all rows of a store, by table."""
    found = {table.name: {tuple(row) for row in connection.execute(select(table))} for table in TABLES}
    connection.rollback()
    return found

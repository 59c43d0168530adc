"""The database that a store is moved to: its empty tables, and the mark that says how far the copy is."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from emailsys.interfaces import StoreError
from emailsys.store.engine.base import Engine
from emailsys.store.engine.file_locks import CommitLock
from emailsys.store.moving.changes import writing
from emailsys.store.schema import tables as schema
from emailsys.store.schema.identity import read_identity
from emailsys.store.schema.migrate import create_tables
from emailsys.store.schema.move_marks import COMPLETE, MOVED, UNFINISHED, read_mark, write_mark

_VERSIONS: Final = "alembic_version"
# First key of the lock that one move at a time holds in a schema of a PostgreSQL database. The second is its name.
_MOVE_LOCK: Final = 5
# Seconds that a move waits for that lock, and between two looks. PostgreSQL needs a moment to notice that a process was
# killed.
_CLAIM_WAIT = 10.0
_CLAIM_PAUSE: Final = 0.1
# What SQLite and this store add to the name of a database file for other files.
_LOCK: Final = ".commit-lock"
_FILES: Final = ("-wal", "-shm", ".reserve", "")


class TargetInUse(StoreError):
    """The database has something in it that a move must not overwrite."""


def claim(engine: Engine, connection: Connection) -> None:
    """Let no other move write into a database until the engine and the connection are closed.

    @raise TargetInUse: another move does.
    """
    in_use = TargetInUse(f"another move to {engine.location} is running. Wait until it has ended")
    if not engine.lock_for_move():
        raise in_use
    if not engine.locks_rows:
        return
    asked = text("SELECT pg_try_advisory_lock(:kind, hashtext(coalesce(current_schema(), '')))")
    until = time.monotonic() + _CLAIM_WAIT
    while True:
        with connection.begin():
            if connection.execute(asked, {"kind": _MOVE_LOCK}).scalar_one():
                return
        if time.monotonic() >= until:
            raise in_use
        time.sleep(_CLAIM_PAUSE)


def remove_files(path: Path) -> None:
    """Remove the files of a SQLite database that holds an unfinished copy, unless another move is using them."""
    lock_path = path.with_name(path.name + _LOCK)
    lock = CommitLock(lock_path)
    try:
        if not lock.lock_for_move():
            return
        for suffix in _FILES:
            with suppress(OSError):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
        # The last one: a move that has opened any of these files finds out that it has lost its lock file.
        with suppress(OSError):
            lock_path.unlink()
    finally:
        lock.close()


def mark_of(connection: Connection) -> str | None:
    """Return the revision of the store in a database, or its mark. None: the database is empty.

    @raise TargetInUse: the database has tables of another program.
    """
    with connection.begin():
        names = inspect(connection).get_table_names()
        if not names:
            return None
        if _VERSIONS not in names:
            raise TargetInUse("the database contains tables of another program. Use an empty database")
        return read_mark(connection)


def prepare(engine: Engine, connection: Connection, identity: str) -> bool:
    """Make the tables of an unfinished copy. Returns whether one of an earlier move was removed before.

    Foreign keys are not checked until `complete`: while rows change, one may be copied before the row it refers to.

    @param identity: that of the store which is moved.
    @raise TargetInUse: the database has another store in it, or a complete copy of one.
    """
    mark = mark_of(connection)
    if mark not in (None, UNFINISHED) and not (mark == COMPLETE and identity_of(connection) == identity):
        what = "a store that was moved away" if mark == MOVED else "another store"
        raise TargetInUse(f"{engine.location} is not empty: it contains {what}. Use an empty database, or a new file")
    with writing(engine, connection):
        if mark is not None:
            _drop(engine, connection)
        create_tables(engine, connection, UNFINISHED)
        if engine.locks_rows:
            for name in schema.metadata.tables:
                for key in inspect(connection).get_foreign_keys(name):
                    connection.exec_driver_sql(f"ALTER TABLE {name} DROP CONSTRAINT {key['name']}")
    if not engine.locks_rows:
        # Outside a transaction, the pragma has an effect, and it is that of this connection.
        connection.rollback()
        connection.connection.cursor().execute("PRAGMA foreign_keys=OFF")
    return mark is not None


def identity_of(connection: Connection) -> str:
    """Return the identity of the store in a database."""
    with connection.begin():
        return read_identity(connection)


def _drop(engine: Engine, connection: Connection) -> None:
    for table in reversed(schema.metadata.sorted_tables):
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table.name}{' CASCADE' if engine.locks_rows else ''}")
    connection.exec_driver_sql(f"DROP TABLE {_VERSIONS}")


def complete(engine: Engine, connection: Connection) -> None:
    """Mark the copy as complete, and check foreign keys of new rows from now on. Call within a transaction."""
    if engine.locks_rows:
        for table in schema.metadata.sorted_tables:
            for constraint in table.foreign_key_constraints:
                (element,) = constraint.elements
                # The rows are those of a store that checks them, so PostgreSQL need not look at all of them now.
                connection.exec_driver_sql(
                    f"ALTER TABLE {table.name} ADD CONSTRAINT fk_{table.name}_{constraint.columns[0].name} "
                    f"FOREIGN KEY ({constraint.columns[0].name}) "
                    f"REFERENCES {element.column.table.name} ({element.column.name}) NOT VALID"
                )
    write_mark(connection, COMPLETE)


def release(engine: Engine, connection: Connection) -> None:
    """Let daemons open the copy."""
    with writing(engine, connection):
        write_mark(connection, schema.REVISION)


def validate(engine: Engine, connection: Connection) -> None:
    """Let PostgreSQL look at all rows that foreign keys refer to. Daemons may use the store meanwhile."""
    if not engine.locks_rows:
        return
    asked = text(
        "SELECT conrelid::regclass::text AS name, conname FROM pg_constraint "
        "WHERE NOT convalidated AND connamespace = current_schema()::regnamespace"
    )
    with connection.begin():
        found = connection.execute(asked).all()
    for name, constraint in found:
        with connection.begin():
            connection.exec_driver_sql(f"ALTER TABLE {name} VALIDATE CONSTRAINT {constraint}")

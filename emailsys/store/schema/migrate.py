"""Bring a store to the schema of this release: make it, or migrate it once there is a backup.

A SQLite store is backed up here. Of a PostgreSQL store an operator has to say that there is a backup: how it is made is
nothing that a daemon at its start should decide, and it may serve other nodes meanwhile.

alembic is imported only where there is something to migrate. A fresh store is made from the tables of `schema`
themselves; a test holds that this gives what the migrations give.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from emailsys.interfaces import StoreError, StoreMissing
from emailsys.store.engine.base import Engine, error_text, no_store_text
from emailsys.store.engine.file_locks import sync_directory
from emailsys.store.engine.sqlite import SQLite
from emailsys.store.schema import tables as schema
from emailsys.telemetry import Telemetry

_MIGRATIONS: Final = Path(__file__).with_name("migrations")
# The same on both engines, and in the form in which alembic itself makes it.
_VERSION_TABLE: Final = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
    "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)
# PostgreSQL: the advisory lock under which one node at a time makes or migrates the schema.
_SCHEMA_LOCK: Final = 3


def prepare_schema(
    engine: Engine, connection: Connection, telemetry: Telemetry, *, create: bool = True, backed_up: bool = False
) -> None:
    """Make the store usable by this release.

    @param create: whether the tables are made in an empty database.
    @param backed_up: whether an operator has said so, without which a PostgreSQL store is not migrated.
    @raise StoreMissing: the database is empty, and is to stay so.
    @raise StoreError: it is of a later release, it is not backed up, or a migration failed; then nothing was changed.
    """
    with engine.commit_lock():
        with connection.begin():
            found = _revision(engine, connection)
            if found is None and not create:
                raise StoreMissing(
                    no_store_text(str(engine.path.parent) if isinstance(engine, SQLite) else engine.location)
                )
            if found is None:
                _create(engine, connection)
        if found is None or found == schema.REVISION:
            return
        upgrade(engine, connection, telemetry, found, backed_up=backed_up)


def _lock_schema(engine: Engine, connection: Connection) -> None:
    """Until the transaction's end; who waited finds the work done."""
    if engine.locks_rows:
        connection.execute(text("SELECT pg_advisory_xact_lock(:kind, 0)"), {"kind": _SCHEMA_LOCK})


def _revision(engine: Engine, connection: Connection) -> str | None:
    """The store's revision, None for an empty database."""
    _lock_schema(engine, connection)
    tables = set(inspect(connection).get_table_names())
    if not tables:
        return None
    if "alembic_version" not in tables:
        raise StoreError("the database holds other tables; give the store one of its own")
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


def _create(engine: Engine, connection: Connection) -> None:
    schema.metadata.create_all(connection, checkfirst=False)
    if engine.locks_rows:
        finish_postgres(connection)
    connection.execute(text(_VERSION_TABLE))
    connection.execute(
        text("INSERT INTO alembic_version (version_num) VALUES (:revision)"), {"revision": schema.REVISION}
    )
    connection.execute(schema.generation.insert().values(singleton=1, number=1))


def finish_postgres(connection: Connection) -> None:
    """Bodies out of line and uncompressed: mail in transfer encodings compresses little, and CPU is what is short."""
    for table in ("bodies", "body_pieces"):
        connection.execute(text(f"ALTER TABLE {table} ALTER COLUMN content SET STORAGE EXTERNAL"))


def upgrade(
    engine: Engine,
    connection: Connection,
    telemetry: Telemetry,
    found: str | None,
    target: str = schema.REVISION,
    versions: tuple[Path, ...] = (),
    backed_up: bool = False,
) -> None:
    """Migrate, inside `engine.commit_lock()`: all revisions up to the target in one transaction, after a backup.

    @param found: the present revision, None for an empty database.
    @param versions: further folders of revisions, for tests.
    @param backed_up: as for `prepare_schema`.
    @raise StoreError: nothing was changed.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("path_separator", "os")
    config.set_main_option("script_location", str(_MIGRATIONS))
    folders = (_MIGRATIONS / "versions", *versions)
    config.set_main_option("version_locations", os.pathsep.join(str(folder) for folder in folders))
    if found is not None:
        try:
            ScriptDirectory.from_config(config).get_revision(found)
        except CommandError as error:
            raise StoreError(
                f"the store is at revision {found}, which this release does not know: run a later release"
            ) from error
        backup = None
        if isinstance(engine, SQLite):
            backup = back_up(engine.path, connection, found)
        elif not backed_up:
            raise StoreError(
                f"the store is at revision {found}, this release needs {target}: back the database up (pg_dump), then "
                "run `emailsys upgrade`; nothing was changed"
            )
        telemetry.event("store-upgrade", found=found, target=target, backup=backup)
    try:
        with _foreign_keys_off(connection), connection.begin():
            _lock_schema(engine, connection)
            config.attributes["connection"] = connection
            command.upgrade(config, target)
            if isinstance(engine, SQLite):
                broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
                if broken:
                    raise StoreError(f"it would leave {len(broken)} rows without their parents")
    except Exception as error:
        raise StoreError(
            f"the upgrade from revision {found} to {target} failed, and nothing was changed: {error_text(error)}; the "
            "release before goes on with the store"
        ) from error


@contextmanager
def _foreign_keys_off(connection: Connection) -> Iterator[None]:
    """On SQLite a migration copies and drops tables, and a drop with foreign keys on empties the children, silently."""
    raw = connection.connection.driver_connection
    if not isinstance(raw, sqlite3.Connection):
        yield
        return
    connection.rollback()
    # Inside a transaction the pragma would do nothing.
    assert not raw.in_transaction
    raw.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        connection.rollback()
        raw.execute("PRAGMA foreign_keys=ON")


def back_up(path: Path, connection: Connection, revision: str) -> Path:
    """Copy a SQLite store beside itself, durably; returns the copy's path.

    @raise StoreError: it cannot be; nothing of the copy is left, as it would take the room that mail needs.
    """
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    kept = path.with_name(f"{path.name}.before-upgrade-from-{revision}")
    partial = kept.with_name(kept.name + ".partial")
    try:
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        copy = sqlite3.connect(partial)
        try:
            raw.backup(copy)
        finally:
            copy.close()
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(kept)
        sync_directory(path.parent)
    except (sqlite3.Error, OSError) as error:
        partial.unlink(missing_ok=True)
        raise StoreError(
            f"the store cannot be backed up before its upgrade from revision {revision}, and nothing was changed: "
            f"{error_text(error)}; the copy needs as much room as {path}"
        ) from error
    return kept

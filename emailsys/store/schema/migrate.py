"""Creation of the schema, and its migration after a backup.

A SQLite store is backed up here. For a PostgreSQL store, an operator must confirm that there is a backup: a starting
daemon should not decide how to make it, and other nodes may be using the database.

alembic is imported only for a migration. A new store is created from the tables of `schema`. A test checks that the
result is the same as that of the migrations.
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
from emailsys.mail.quantities import counted
from emailsys.platforms.files import sync_directory
from emailsys.store.engine.base import Engine, error_text, no_store_text
from emailsys.store.engine.sqlite import SQLite
from emailsys.store.schema import tables as schema
from emailsys.store.schema.identity import KeptIdentity, new_identity
from emailsys.store.schema.move_marks import raise_if_marked, read_mark
from emailsys.telemetry import Telemetry

_MIGRATIONS: Final = Path(__file__).with_name("migrations")
# As alembic itself creates it, the same on both engines.
_VERSION_TABLE: Final = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
    "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)
# PostgreSQL: the advisory lock that allows one node at a time to create or migrate the schema.
_SCHEMA_LOCK: Final = 3


def prepare_schema(
    engine: Engine,
    connection: Connection,
    telemetry: Telemetry,
    *,
    create: bool = True,
    backed_up: bool = False,
    kept: KeptIdentity | None = None,
) -> None:
    """Create or migrate the schema for this release.

    @param create: whether to create the tables in an empty database.
    @param backed_up: whether an operator confirmed a backup. Without it, a PostgreSQL store is not migrated.
    @param kept: the identity that the store must have. None: any.
    @raise StoreMissing: the database is empty and must stay so, or it is another store.
    @raise StoreError: the store is of a later release, is not backed up, or a migration failed. Nothing was changed.
    """
    with engine.commit_lock():
        with connection.begin():
            found = _revision(engine, connection)
            if found is None and not create:
                raise StoreMissing(
                    no_store_text(str(engine.path.parent) if isinstance(engine, SQLite) else engine.location)
                )
            if found is None:
                create_tables(engine, connection)
                connection.execute(schema.generation.insert().values(singleton=1, number=1, identity=new_identity()))
            elif kept is not None:
                kept.check(connection, engine.location)
        if found is None or found == schema.REVISION:
            return
        upgrade(engine, connection, telemetry, found, backed_up=backed_up)


def raise_if_old(engine: Engine, connection: Connection) -> None:
    """@raise StoreError: the store must be upgraded for this release."""
    with engine.commit_lock(), connection.begin():
        found = _revision(engine, connection)
    if found not in (None, schema.REVISION):
        raise StoreError(
            f"this release needs schema {schema.REVISION} of the store, which has {found}, and the running daemon "
            "uses it. Stop the daemon and start it again"
        )


def lock_schema(engine: Engine, connection: Connection) -> None:
    """Lock the schema until the end of the transaction."""
    if engine.locks_rows:
        connection.execute(text("SELECT pg_advisory_xact_lock(:kind, 0)"), {"kind": _SCHEMA_LOCK})


def _revision(engine: Engine, connection: Connection) -> str | None:
    """Read the revision of the store. None for an empty database.

    @raise StoreMoved: the store was moved, or is an unfinished copy.
    """
    lock_schema(engine, connection)
    tables = set(inspect(connection).get_table_names())
    if not tables:
        return None
    if "alembic_version" not in tables:
        raise StoreError("the database contains tables of another program. Use a separate database for the store.")
    found = read_mark(connection)
    raise_if_marked(found, engine.location)
    return found


def create_tables(engine: Engine, connection: Connection, revision: str = schema.REVISION) -> None:
    """Create all tables in an empty database, without rows. Call within a transaction.

    @param revision: a mark may take its place (see `move_marks`).
    """
    schema.metadata.create_all(connection, checkfirst=False)
    if engine.locks_rows:
        finish_postgres(connection)
    connection.execute(text(_VERSION_TABLE))
    connection.execute(text("INSERT INTO alembic_version (version_num) VALUES (:revision)"), {"revision": revision})


def finish_postgres(connection: Connection) -> None:
    """Store bodies out of line and uncompressed: encoded mail compresses little, and CPU time is scarce."""
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
    """Make a backup, then migrate to the target revision in one transaction. Call inside `engine.commit_lock()`.

    @param found: the present revision, or None for an empty database.
    @param versions: additional folders of revisions, for tests.
    @param backed_up: as for `prepare_schema`.
    @raise StoreError: nothing was changed.
    """
    try:
        (_MIGRATIONS / "env.py").read_bytes()
    except OSError as error:
        raise StoreError(
            f"the store must be upgraded, but this user cannot read {_MIGRATIONS} ({error.strerror}). Install emailsys "
            "in a folder that the user of the daemon can read. Nothing was changed."
        ) from None
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
                f"the store is at revision {found}, which this release does not know. Run a later release."
            ) from error
        backup = None
        if isinstance(engine, SQLite):
            backup = back_up(engine.path, connection, found)
        elif not backed_up:
            raise StoreError(
                f"the store is at revision {found}, but this release needs {target}. Back up the database (pg_dump), "
                "then run `emailsys upgrade`. Nothing was changed."
            )
        telemetry.event("store-upgrade", found=found, target=target, backup=backup)
    try:
        with _foreign_keys_off(connection), connection.begin():
            lock_schema(engine, connection)
            config.attributes["connection"] = connection
            command.upgrade(config, target)
            if isinstance(engine, SQLite):
                broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
                if broken:
                    raise StoreError(f"{counted(len(broken), 'row')} would refer to missing rows")
    except Exception as error:
        raise StoreError(
            f"the upgrade from revision {found} to {target} failed, and nothing was changed: {error_text(error)}; the "
            "release before goes on with the store"
        ) from error


@contextmanager
def _foreign_keys_off(connection: Connection) -> Iterator[None]:
    """Turn foreign keys off on SQLite: otherwise dropping a copied table would silently delete its child rows."""
    raw = connection.connection.driver_connection
    if not isinstance(raw, sqlite3.Connection):
        yield
        return
    connection.rollback()
    # Inside a transaction, the pragma has no effect.
    assert not raw.in_transaction
    raw.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        connection.rollback()
        raw.execute("PRAGMA foreign_keys=ON")


def back_up(path: Path, connection: Connection, revision: str) -> Path:
    """Copy a SQLite store durably to a file in the same folder. Returns the path of the copy.

    @raise StoreError: the copy failed. It was deleted, because mail needs the space.
    """
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    kept = path.with_name(f"{path.name}.before-upgrade-from-{revision}")
    partial = kept.with_name(kept.name + ".partial")
    try:
        partial.unlink(missing_ok=True)
        os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
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

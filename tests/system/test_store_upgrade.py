"""Schema versions: a fresh store equals a migrated one, and an upgrade keeps every row."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect
from twisted.trial.unittest import SkipTest

from emailsys.interfaces import StoreError
from emailsys.store import migrate, schema
from emailsys.store.engine import Engine
from emailsys.store.open import DATABASE_NAME
from emailsys.store.sqlite import SQLite
from emailsys.telemetry import Telemetry
from tests.contract.engines import PostgreSQLCase, SQLiteCase
from tests.contract.mail import ALICE, MailCase, envelope, local, remote

# An expansion that alembic does on SQLite by copying tables which have children.
SECOND = '''
"""A display name for accounts, a note for bodies and messages."""
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("domains", "accounts", "bodies", "messages"):
        with op.batch_alter_table(table, recreate="auto") as batch:
            batch.add_column(sa.Column("note", sa.Text(), nullable=True))
            batch.create_check_constraint(f"note_{table}", "note <> ''")
'''

# A migration that forgets the children.
BROKEN = '''
"""Empty the accounts."""
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DELETE FROM accounts")
'''


def shape(connection: Connection) -> dict[str, Any]:
    """Tables, columns, keys and indexes, as the engine tells them."""
    inspector = inspect(connection)
    found: dict[str, Any] = {}
    for table in sorted(inspector.get_table_names()):
        columns = [(c["name"], str(c["type"]), c["nullable"], c.get("default")) for c in inspector.get_columns(table)]
        found[table] = (
            columns,
            inspector.get_pk_constraint(table),
            sorted(inspector.get_foreign_keys(table), key=str),
            sorted(inspector.get_unique_constraints(table), key=str),
            sorted(inspector.get_indexes(table), key=str),
            sorted(inspector.get_check_constraints(table), key=str),
        )
    return found


def rows(connection: Connection) -> dict[str, tuple[int, str]]:
    """Count and digest of every table's rows."""
    found = {}
    for table in schema.metadata.sorted_tables:
        key = [column.name for column in table.primary_key.columns]
        columns = ", ".join(column.name for column in table.columns)
        all_rows = connection.exec_driver_sql(f"SELECT {columns} FROM {table.name} ORDER BY {', '.join(key)}").all()
        digest = hashlib.sha256(repr([tuple(row) for row in all_rows]).encode()).hexdigest()
        found[table.name] = (len(all_rows), digest)
    return found


class UpgradeContract(MailCase):
    """On both engines."""

    def fresh_engine(self) -> Engine:
        """An empty database."""
        raise SkipTest("no engine")

    def versions(self, text: str) -> tuple[Path, ...]:
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        (folder / "r0002_test.py").write_text(text)
        return (folder,)

    async def test_a_fresh_store_is_what_the_migrations_make(self) -> None:
        made = await self.store.database.read("shape", shape)
        engine = self.fresh_engine()
        self.addCleanup(engine.close)
        connection = engine.connect_writer()
        self.addCleanup(connection.close)
        with engine.alone():
            migrate.upgrade(engine, connection, Telemetry(), None)
        self.assertEqual(shape(connection), made)
        self.assertEqual(connection.exec_driver_sql("SELECT number FROM generation").scalar(), 1)
        connection.rollback()
        # It is then opened without more ado.
        migrate.prepare_schema(engine, connection, Telemetry())

    async def fill(self) -> None:
        """A row in every table."""
        alice, bob = await self.users()
        away = remote(ALICE)
        for body in (b"small\r\n", b"x" * 700_000, b"gone\r\n"):
            await self.send(body, envelope(local(alice), local(bob), away))
        maildrop = await self.open(alice)
        maildrop.deleteMessage(2)
        await maildrop.sync()

        def half_staged(connection: Connection) -> None:
            connection.execute(schema.bodies.insert().values(body_id=1, dots=False, content=b"half"))
            connection.execute(schema.staged.insert().values(body_id=1, node=1000))

        await self.store.database.run("half", half_staged)

    async def test_an_upgrade_keeps_every_row_of_every_table(self) -> None:
        await self.fill()
        engine = self.store.database.engine
        before = await self.store.database.read("rows", rows)
        self.assertEqual([name for name, (count, _) in before.items() if count == 0], [])
        connection = engine.connect_writer()
        self.addCleanup(connection.close)
        with engine.alone():
            migrate.upgrade(engine, connection, Telemetry(), "0001", "0002", self.versions(SECOND))
        self.assertEqual(rows(connection), before)
        self.assertEqual(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar(), "0002")
        columns = {column["name"] for column in inspect(connection).get_columns("accounts")}
        self.assertIn("note", columns)
        connection.rollback()
        # This release, which does not know that revision, leaves it alone and says so.
        error = self.assertRaises(StoreError, migrate.prepare_schema, engine, connection, Telemetry())
        self.assertIn("0002", str(error))

    async def test_a_database_of_something_else_is_left_alone(self) -> None:
        engine = self.fresh_engine()
        self.addCleanup(engine.close)
        connection = engine.connect_writer()
        self.addCleanup(connection.close)
        with connection.begin():
            connection.exec_driver_sql("CREATE TABLE shopping (item TEXT)")
        self.assertRaises(StoreError, migrate.prepare_schema, engine, connection, Telemetry())
        self.assertEqual(inspect(connection).get_table_names(), ["shopping"])


class SQLiteUpgradeTests(SQLiteCase, UpgradeContract):
    """With foreign keys on, SQLite would empty the children of a table that is copied."""

    def fresh_engine(self) -> Engine:
        return SQLite(self.state / "other.sqlite")

    async def test_a_backup_is_made_before_the_upgrade(self) -> None:
        await self.fill()
        engine = self.store.database.engine
        before = await self.store.database.read("rows", rows)
        connection = engine.connect_writer()
        self.addCleanup(connection.close)
        with engine.alone():
            migrate.upgrade(engine, connection, Telemetry(), "0001", "0002", self.versions(SECOND))
        kept = SQLite(self.state / f"{DATABASE_NAME}.before-upgrade-from-0001")
        self.addCleanup(kept.close)
        copy = kept.connect_reader()
        self.addCleanup(copy.close)
        self.assertEqual(rows(copy), before)
        self.assertEqual(kept.path.stat().st_mode & 0o077, 0)

    async def test_a_migration_that_would_orphan_rows_changes_nothing(self) -> None:
        await self.fill()
        engine = self.store.database.engine
        before = await self.store.database.read("rows", rows)
        connection = engine.connect_writer()
        self.addCleanup(connection.close)
        with engine.alone():
            error = self.assertRaises(
                StoreError,
                migrate.upgrade,
                engine,
                connection,
                Telemetry(),
                "0001",
                "0002",
                self.versions(BROKEN),
            )
        self.assertIn("parents", str(error))
        self.assertEqual(rows(connection), before)
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        self.assertEqual(raw.execute("PRAGMA foreign_keys").fetchone()[0], 1)


class PostgreSQLUpgradeTests(PostgreSQLCase, UpgradeContract):
    """PostgreSQL alters tables in place."""

    def fresh_engine(self) -> Engine:
        return self.another_schema()


del UpgradeContract, SQLiteCase, PostgreSQLCase, MailCase

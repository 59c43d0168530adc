"""Schema versions: a fresh store equals a migrated one, and an upgrade keeps every row."""

from __future__ import annotations

import errno
import hashlib
import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text

from emailsys.config.settings import DATABASE_NAME, StoreSettings
from emailsys.interfaces import KnownNetwork, SentCount, Settlement, StoreError
from emailsys.interfaces.operators import Scope, TokenRequest
from emailsys.mail.next_hop import HostRoute, NextHop
from emailsys.store.engine.base import Engine
from emailsys.store.engine.sqlite import SQLite
from emailsys.store.open import Opening, open_on
from emailsys.store.schema import migrate, tables
from emailsys.telemetry import Telemetry
from tests.contract.engines import ClockedReactor, PostgreSQLCase, SQLiteCase
from tests.contract.mail import ALICE, BOB, MailCase, envelope, local, remote
from tests.system.store.first_release_rows import FIRST_ROWS, LATER_ROWS

# An expansion that alembic does on SQLite by copying tables which have children.
SECOND = '''
"""A display name for accounts, a note for bodies and messages."""
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "HEAD"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("domains", "accounts", "bodies", "messages"):
        with op.batch_alter_table(table, recreate="auto") as batch:
            batch.add_column(sa.Column("note", sa.Text(), nullable=True))
            batch.create_check_constraint(f"note_{table}", "note <> ''")
'''

# One that comes to its end only in part.
HALF = (
    SECOND
    + """
    op.execute("UPDATE accounts SET note = 'x'")
    op.execute("UPDATE accounts SET nothing = 'of that name'")
"""
)

# A migration that forgets the children.
BROKEN = '''
"""Empty the accounts."""
from alembic import op

revision = "9999"
down_revision = "HEAD"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DELETE FROM accounts")
'''


def plain(index: Any) -> dict[str, Any]:
    """An index with its conditions as text."""
    options = {key: str(value) for key, value in index.get("dialect_options", {}).items()}
    return {**index, "dialect_options": options}


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
            sorted((plain(index) for index in inspector.get_indexes(table)), key=str),
            sorted(inspector.get_check_constraints(table), key=str),
        )
    return found


def digests(connection: Connection, columns: dict[str, list[str]]) -> dict[str, tuple[int, str]]:
    """Count and digest of these columns' rows."""
    found = {}
    for table, names in columns.items():
        all_rows = connection.exec_driver_sql(f"SELECT {', '.join(names)} FROM {table} ORDER BY {', '.join(names)}")
        told = [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in all_rows.all()]
        found[table] = (len(told), hashlib.sha256(repr(told).encode()).hexdigest())
    return found


def rows(connection: Connection) -> dict[str, tuple[int, str]]:
    """Count and digest of every table's rows."""
    found = {}
    for table in tables.metadata.sorted_tables:
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
        raise AssertionError(f"{type(self).__name__} names no engine")

    def versions(self, text: str) -> tuple[Path, ...]:
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        (folder / "r9999_test.py").write_text(text.replace("HEAD", tables.REVISION))
        return (folder,)

    async def test_a_fresh_store_is_what_the_migrations_make(self) -> None:
        made = await self.store.database.read("shape", shape)
        engine = self.fresh_engine()
        self.addCleanup(engine.close)
        connection = engine.connect_writer()
        self.addCleanup(connection.close)
        with engine.commit_lock():
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
        await self.fetch(maildrop, 1)
        maildrop.deleteMessage(2)
        await maildrop.sync()
        await self.store.retention.step()
        await self.store.sent_counts.add([SentCount("alice@example.test", 10, 1, 2)], 0)
        await self.store.known_networks.note([KnownNetwork(alice.account_id, "192.0.2.1", 20_000)])
        await self.store.accounts.set_forward(ALICE, [BOB], True)
        await self.store.routes.set_route(HostRoute(NextHop("smart.example", by_mx=False)))
        await self.store.delegated_senders.allow(ALICE, [BOB])
        await self.store.tokens.add(TokenRequest("0" * 12, b"digest", ALICE, frozenset({Scope.MAIL_READ})))

        def half_staged(connection: Connection) -> None:
            connection.execute(tables.bodies.insert().values(body_id=1, dots=False, content=b"half"))
            connection.execute(tables.staged.insert().values(body_id=1, node=1000))

        await self.store.database.run("half", half_staged)

    async def test_an_upgrade_keeps_every_row_of_every_table(self) -> None:
        await self.fill()
        engine = self.store.database.engine
        before = await self.store.database.read("rows", rows)
        self.assertEqual([name for name, (count, _) in before.items() if count == 0], [])
        connection = engine.connect_writer()
        self.addCleanup(connection.close)
        with engine.commit_lock():
            migrate.upgrade(
                engine, connection, Telemetry(), tables.REVISION, "9999", self.versions(SECOND), backed_up=True
            )
        self.assertEqual(rows(connection), before)
        self.assertEqual(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar(), "9999")
        columns = {column["name"] for column in inspect(connection).get_columns("accounts")}
        self.assertIn("note", columns)
        connection.rollback()
        # This release, which does not know that revision, leaves it alone and says so.
        error = self.assertRaises(StoreError, migrate.prepare_schema, engine, connection, Telemetry())
        self.assertIn("9999", str(error))

    async def test_a_store_of_release_0_1_enters_the_ledger_with_all_its_mail(self) -> None:
        """What 0001 has written is there after 0002, digests compared, and the ledger accounts for each row."""
        engine = self.fresh_engine()
        connection = engine.connect_writer()
        with engine.commit_lock():
            migrate.upgrade(engine, connection, Telemetry(), None, "0001")
        with connection.begin():
            for statement, values in FIRST_ROWS:
                connection.execute(text(statement), values)
        columns = {
            table: [column["name"] for column in inspect(connection).get_columns(table)]
            for table in inspect(connection).get_table_names()
            if table != "alembic_version"
        }
        before = digests(connection, columns)
        self.assertEqual([table for table, (count, _) in before.items() if not count], ["body_pieces", "staged"])
        connection.rollback()
        migrate.prepare_schema(engine, connection, Telemetry(), backed_up=True)
        self.assertEqual(digests(connection, columns), before)
        found = connection.execute(text("SELECT message_id, rows FROM messages ORDER BY message_id")).all()
        self.assertEqual([tuple(row) for row in found], [(5, 2), (6, 1)])
        # A worker of release 0.1 goes on writing what it knows of.
        connection.rollback()
        with connection.begin():
            for statement, values in LATER_ROWS:
                connection.execute(text(statement), values)
        connection.close()
        store = open_on(engine, StoreSettings(), ClockedReactor(self.clock), Telemetry(), Opening(sweep=False))
        checked = await store.verification.check(None, 10)
        self.assertEqual((checked.flaws, checked.by_end), ((), {"maildrop": 2, "queue": 2}))
        alice = await store.directory.find_address("alice", "example.test")
        assert alice is not None
        self.assertEqual(alice.account_id, 2)
        (row, other) = await store.queue.lease(10, 60)
        self.assertEqual((row.warned, row.forwarded, str(row.forward_path)), (False, False, "dave@example.net"))
        self.assertEqual(other.attempts, 0)
        (life,) = (await store.trace.search(row.queue_id, 1)).lives
        self.assertEqual((life.stored, life.queued), (1, 1))
        # What that worker accepted ends, and leaves nothing behind that the ledger could not explain.
        await store.queue.settle([Settlement(row), Settlement(other)])
        while await store.sweeper.step():
            pass
        checked = await store.verification.check(None, 10)
        self.assertEqual((checked.flaws, checked.by_end), ((), {"maildrop": 2, "relayed": 1}))
        await store.close()

    def upgrade_refused(self, connection: Connection, migration: str, backed_up: bool = False) -> str:
        """What is said where the store does not take a migration."""
        engine = self.store.database.engine
        steps = (tables.REVISION, "9999", self.versions(migration), backed_up)
        with engine.commit_lock():
            return str(self.assertRaises(StoreError, migrate.upgrade, engine, connection, Telemetry(), *steps))

    async def test_an_upgrade_that_fails_half_way_changes_nothing_and_says_so(self) -> None:
        await self.fill()
        engine = self.store.database.engine
        before = await self.store.database.read("rows", rows)
        connection = engine.connect_writer()
        self.addCleanup(connection.close)
        error = self.upgrade_refused(connection, HALF, backed_up=True)
        self.assertIn(f"from revision {tables.REVISION} to 9999 failed, and nothing was changed: ", error)
        self.assertEqual(rows(connection), before)
        self.assertNotIn("note", {column["name"] for column in inspect(connection).get_columns("accounts")})
        self.assertEqual(
            connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar(), tables.REVISION
        )
        connection.rollback()
        # The daemon that was there goes on.
        alice = await self.account(ALICE)
        await self.send(b"afterwards\r\n", envelope(local(alice)))

    async def test_an_installation_that_the_user_cannot_read_is_told(self) -> None:
        """The daemon was started from a folder of root. The error blamed a later release."""
        hidden = Path(self.mktemp()) / "migrations"
        self.patch(migrate, "_MIGRATIONS", hidden)
        connection = self.store.database.engine.connect_writer()
        self.addCleanup(connection.close)
        error = self.upgrade_refused(connection, HALF, backed_up=True)
        self.assertIn(f"this user cannot read {hidden}", error)

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
        with engine.commit_lock():
            migrate.upgrade(engine, connection, Telemetry(), tables.REVISION, "9999", self.versions(SECOND))
        kept = SQLite(self.state / f"{DATABASE_NAME}.before-upgrade-from-{tables.REVISION}")
        self.addCleanup(kept.close)
        copy = kept.connect_reader()
        self.addCleanup(copy.close)
        self.assertEqual(rows(copy), before)
        self.assertEqual(kept.path.stat().st_mode & 0o077, 0)

    async def test_without_room_for_the_backup_nothing_is_upgraded_and_nothing_is_left_of_it(self) -> None:
        """A copy that was begun takes the very room that mail needs."""
        await self.fill()
        engine = self.store.database.engine
        connection = engine.connect_writer()
        self.addCleanup(connection.close)

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        self.patch(os, "fsync", full)
        there = set(self.state.iterdir())
        error = self.upgrade_refused(connection, SECOND)
        self.assertIn(f"cannot be backed up before its upgrade from revision {tables.REVISION}", error)
        self.assertIn("No space left on device", error)
        self.assertEqual(set(self.state.iterdir()), there)
        self.assertEqual(
            connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar(), tables.REVISION
        )

    async def test_a_migration_that_would_orphan_rows_changes_nothing(self) -> None:
        await self.fill()
        engine = self.store.database.engine
        before = await self.store.database.read("rows", rows)
        connection = engine.connect_writer()
        self.addCleanup(connection.close)
        error = self.upgrade_refused(connection, BROKEN)
        self.assertIn("refer to missing rows", error)
        self.assertEqual(rows(connection), before)
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        self.assertEqual(raw.execute("PRAGMA foreign_keys").fetchone()[0], 1)


class PostgreSQLUpgradeTests(PostgreSQLCase, UpgradeContract):
    """PostgreSQL alters tables in place."""

    def fresh_engine(self) -> Engine:
        return self.another_schema()

    async def test_a_daemon_upgrades_no_store_of_which_nobody_has_said_that_it_is_backed_up(self) -> None:
        engine = self.fresh_engine()
        connection = engine.connect_writer()
        self.addCleanup(connection.close)
        migrate.upgrade(engine, connection, Telemetry(), None, "0002")
        connection.rollback()
        store_settings, clocked = StoreSettings(), ClockedReactor(self.clock)
        for _ in range(2):
            error = self.assertRaises(StoreError, open_on, engine, store_settings, clocked, Telemetry())
            for words in ("revision 0002", tables.REVISION, "pg_dump", "emailsys upgrade", "Nothing was changed"):
                self.assertIn(words, str(error))
        self.assertEqual(connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar(), "0002")
        connection.rollback()
        store = open_on(engine, store_settings, clocked, Telemetry(), Opening(sweep=False, backed_up=True))
        await store.close()
        self.assertEqual(
            connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar(), tables.REVISION
        )


del UpgradeContract, SQLiteCase, PostgreSQLCase, MailCase

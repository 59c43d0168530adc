"""Connections to a SQLite database file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from emailsys.store.engine.sqlite_connections import PAGE_OCTETS, WAL_OCTETS, open_reader, open_writer

FULL, INCREMENTAL = 2, 2


def setting(connection: sqlite3.Connection, name: str) -> Any:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


class SQLiteConnectionsTests(SynchronousTestCase):
    """What mail relies on is in force on each connection."""

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.writer = open_writer(self.path)
        self.addCleanup(self.writer.close)

    def test_a_commit_is_on_disk_when_it_returns(self) -> None:
        """Twice: for the file that was just created, and for one that exists."""
        with closing(open_writer(self.path)) as second:
            for connection in (self.writer, second):
                self.assertEqual(setting(connection, "journal_mode"), "wal")
                self.assertEqual(setting(connection, "synchronous"), FULL)
                self.assertEqual(setting(connection, "wal_autocheckpoint"), 0)
                self.assertEqual(setting(connection, "journal_size_limit"), WAL_OCTETS)
                self.assertEqual(setting(connection, "foreign_keys"), 1)

    def test_a_new_file_can_shrink(self) -> None:
        """Neither can be set later."""
        self.assertEqual(setting(self.writer, "page_size"), PAGE_OCTETS)
        self.assertEqual(setting(self.writer, "auto_vacuum"), INCREMENTAL)

    def test_a_reader_writes_nothing(self) -> None:
        """It sees what was committed."""
        self.writer.execute("CREATE TABLE mail (id INTEGER)")
        with closing(open_reader(self.path)) as reader:
            self.assertEqual(reader.execute("SELECT count(*) FROM mail").fetchone(), (0,))
            self.assertRaises(sqlite3.OperationalError, reader.execute, "INSERT INTO mail VALUES (1)")

    def test_a_reader_makes_no_file(self) -> None:
        """A store that is gone is missed, rather than replaced by an empty one."""
        gone = self.path.with_name("gone")
        self.assertRaises(sqlite3.OperationalError, open_reader, gone)
        self.assertFalse(gone.exists())

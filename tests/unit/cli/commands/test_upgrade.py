"""The command `upgrade`: it makes a backup of SQLite; for PostgreSQL, an operator must make one."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, cast
from unittest import SkipTest, skipUnless

from emailsys.config.exit_status import Exit
from emailsys.config.settings import DATABASE_NAME
from emailsys.platforms.users import is_root
from emailsys.store.engine.base import Engine
from emailsys.store.engine.postgres import Postgres
from emailsys.store.engine.sqlite import SQLite
from emailsys.store.schema import migrate, tables
from emailsys.telemetry import Telemetry
from tests.contract.engines import PostgreSQLCase
from tests.unit.cli.cli_case import CLICase


def make_earlier(engine: Engine) -> None:
    """A store of an earlier release."""
    connection = engine.connect_writer()
    try:
        with engine.commit_lock():
            migrate.upgrade(engine, connection, Telemetry(), None, "0002")
    finally:
        connection.close()
        engine.close()


class UpgradeTests(CLICase):
    """The store is upgraded while no daemon runs."""

    def test_a_sqlite_store_is_upgraded_by_any_command_and_copied_first(self) -> None:
        self.state.mkdir(mode=0o700)
        make_earlier(SQLite(self.state / DATABASE_NAME))
        self.assertEqual(json.loads(self.fine("upgrade", "--json")), {"revision": tables.REVISION})
        self.assertTrue((self.state / f"{DATABASE_NAME}.before-upgrade-from-0002").is_file())
        self.fine("upgrade")
        self.assertEqual(self.told_domains(), [])

    def told_domains(self) -> Any:
        return json.loads(self.fine("domain", "list", "--json"))

    def test_a_postgresql_store_waits_until_its_backup_is_confirmed(self) -> None:
        url = PostgreSQLCase.make_schema(cast(PostgreSQLCase, self))
        make_earlier(Postgres(url))
        config = Path(self.mktemp())
        config.write_text(f'hostname = "mail.example.test"\n[store]\nurl = "{url.render_as_string(False)}"\n')
        here = ("--config", str(config))
        for words in (("domain", "list"), ("status",)):
            self.assertIn("emailsys upgrade", self.refused(Exit.UNAVAILABLE, *words, *here))
        self.assertIn("pg_dump", self.refused(Exit.USAGE, "upgrade", *here))
        self.assertIn("Is there a backup?", self.refused(Exit.INTERRUPTED, "upgrade", *here, typed="n\n"))
        self.assertIn("emailsys upgrade", self.refused(Exit.UNAVAILABLE, "domain", "list", *here))
        self.fine("upgrade", *here, typed="y\n")
        self.fine("domain", "list", *here)
        self.fine("upgrade", "--yes", *here)

    @skipUnless(is_root(), "only root can become somebody else")
    def test_files_of_a_failed_upgrade_by_root_belong_to_the_daemons_user(self) -> None:
        """Otherwise the daemon could not open its own store after a repair."""
        if sys.platform == "win32":
            raise SkipTest("needs Unix")
        nobody = 65534
        self.state.mkdir(mode=0o700)
        (self.state / DATABASE_NAME).write_bytes(b"no database at all" * 1000)
        for path in (self.state, self.state / DATABASE_NAME):
            os.chown(path, nobody, nobody)
        # trial's folder is open to its owner only.
        self.state.parent.chmod(0o711)
        for words in (("upgrade",), ("domain", "list")):
            self.refused(Exit.UNAVAILABLE, *words)
            made = list(self.state.iterdir())
            self.assertGreater(len(made), 1)
            self.assertEqual({path.stat().st_uid for path in made}, {nobody})

    def test_a_store_of_a_later_release_is_told_as_such(self) -> None:
        self.fine("init")

        store = SQLite(self.state / DATABASE_NAME)
        connection = store.connect_writer()
        with connection.begin():
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        connection.close()
        store.close()
        self.assertIn("Run a later release", self.refused(Exit.UNAVAILABLE, "upgrade"))

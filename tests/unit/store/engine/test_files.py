"""Files of a SQLite store: what the owner of the folder has put in their place is neither waited for nor followed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from emailsys.config.settings import DATABASE_NAME, StoreSettings
from emailsys.interfaces import StoreError
from emailsys.store.check import find_problem
from emailsys.store.engine.file_locks import ByteLocks
from emailsys.store.engine.sqlite import SQLite
from emailsys.store.engine.sqlite_connections import open_reader, open_writer
from emailsys.store.engine.wal import WalGauge


def pipe(path: Path) -> None:
    """Put a pipe there, which has no other end."""
    if sys.platform != "win32":
        os.mkfifo(path)


def link(path: Path) -> None:
    """Put a link to a file elsewhere there."""
    other = path.with_name("elsewhere")
    other.touch()
    path.symlink_to(other)


class Planted(SynchronousTestCase):
    """Root runs `emailsys user list` or `config check`: a pipe without a writer held the command for ever."""

    def setUp(self) -> None:
        if sys.platform == "win32":
            raise SkipTest("Windows has no such files")
        self.planted: tuple[Callable[[Path], None], ...] = (pipe, Path.mkdir, link)

    def folder(self) -> Path:
        """Returns a new folder."""
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        return folder

    def test_no_file_of_a_store_is_opened_unless_it_is_a_regular_one(self) -> None:
        for suffix in ("", "-journal", "-wal", "-shm", ".commit-lock"):
            for plant in self.planted:
                path = self.folder() / DATABASE_NAME
                plant(path.with_name(path.name + suffix))
                error = self.assertRaises(StoreError, SQLite, path)
                self.assertIn("cannot be opened", str(error))
                self.assertIn(path.name + suffix, str(error))
                self.assertEqual(path.with_name("elsewhere").exists(), plant is link)

    def test_the_maildrop_locks_are_a_regular_file(self) -> None:
        for plant in self.planted:
            path = self.folder() / "locks"
            plant(path)
            self.assertRaises(OSError, ByteLocks, path)

    def test_a_pipe_that_was_planted_later_is_found_before_sqlite_waits_for_it(self) -> None:
        for suffix in ("-journal", "-wal", "-shm"):
            path = self.folder() / DATABASE_NAME
            open_writer(path).close()
            pipe(path.with_name(path.name + suffix))
            for connect in (open_reader, open_writer):
                self.assertIn("not a regular file", str(self.assertRaises(OSError, connect, path)))

    def test_the_gauge_of_the_log_does_not_wait(self) -> None:
        for plant in self.planted:
            log = self.folder() / "log"
            plant(log)
            with closing(WalGauge(log)) as gauge:
                self.assertRaises(OSError, gauge.octets)
                self.assertRaises(OSError, gauge.write_again)

    def test_the_check_of_a_configuration_tells_of_it(self) -> None:
        for suffix in ("", "-journal", "-wal", "-shm"):
            folder = self.folder()
            path = folder / DATABASE_NAME
            if suffix:
                open_writer(path).close()
            pipe(path.with_name(path.name + suffix))
            problem = find_problem(StoreSettings(), folder)
            assert problem is not None
            self.assertIn(f"{path.name}{suffix}: is not a regular file", problem)

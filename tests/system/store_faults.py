"""A SQLite engine whose commits fail or wait when a test says so."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection
from typing_extensions import override

from emailsys.store.sqlite import SQLite


def io_error() -> sqlite3.OperationalError:
    """What SQLite raises when the disk does not answer."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    return error


class FaultySQLite(SQLite):
    """`before` and `after` are called around a commit, in the writer's thread, and forgotten."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.before: Callable[[], None] | None = None
        self.after: Callable[[], None] | None = None
        # Set while commits may go on.
        self.open_gate = threading.Event()
        self.open_gate.set()
        # Set by a commit that has reached the gate.
        self.at_gate = threading.Event()
        self.commits = 0
        # "before" or "after", and what is called there in the commit that follows the present one.
        self.next_fault: tuple[str, Callable[[], None]] | None = None
        self.rested: Callable[[], None] | None = None

    @override
    def commit(self, connection: Connection) -> None:
        self.at_gate.set()
        self.open_gate.wait(30)
        before, self.before = self.before, None
        if before is not None:
            before()
        super().commit(connection)
        self.commits += 1
        after, self.after = self.after, None
        if after is not None:
            after()
        if self.next_fault is not None:
            phase, fault = self.next_fault
            self.next_fault = None
            if phase == "before":
                self.before = fault
            else:
                self.after = fault

    @override
    def idle(self, connection: Connection) -> None:
        super().idle(connection)
        if self.rested is not None:
            self.rested()

"""A SQLite store whose commits fail or wait when a test says so."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection
from twisted.internet.defer import Deferred
from typing_extensions import override

from emailsys.config.settings import StoreSettings
from emailsys.interfaces import Account
from emailsys.store.engine.sqlite import SQLite
from emailsys.store.open import open_on
from emailsys.telemetry import Telemetry
from tests.contract.engines import ClockedReactor, opening_by
from tests.contract.mail import MailCase, envelope, local

KIB: Final = 1024


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
    def tidy_when_idle(self, connection: Connection) -> None:
        super().tidy_when_idle(connection)
        if self.rested is not None:
            self.rested()


def full_error() -> sqlite3.OperationalError:
    """What SQLite raises when the disk has no room for the log."""
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


def raising(error: Exception) -> Any:
    """A function that raises it."""

    def fail() -> None:
        raise error

    return fail


class FaultyCase(MailCase):
    """On SQLite, with the fault between it and the disk."""

    engine = "sqlite"
    max_waiting = 1024 * KIB

    async def open_engine(self) -> Any:
        self.state = Path(tempfile.mkdtemp(prefix="emailsys-store-"))
        self.addCleanup(shutil.rmtree, self.state, True)
        return self.open_faulty()

    def open_faulty(self, **options: Any) -> Any:
        self.disk = FaultySQLite(self.state / "mail.sqlite")
        store = open_on(
            self.disk,
            StoreSettings(max_waiting_octets=self.max_waiting),
            ClockedReactor(self.clock),
            Telemetry(),
            opening_by(self.clock, **options),
        )
        self.addCleanup(lambda: Deferred.fromCoroutine(store.close()))
        self.addCleanup(self.disk.open_gate.set)
        return store

    async def listed(self, account: Account) -> int:
        maildrop = await self.store.maildrops.open(account.account_id)
        count = len(maildrop.listMessages())
        maildrop.release()
        return count

    def sending(self, account: Account, count: int, body: bytes = b"x\r\n") -> list[Deferred[Any]]:
        return [Deferred.fromCoroutine(self.send(body, envelope(local(account)))) for _ in range(count)]

"""PostgreSQL as the store uses it, through psycopg 3: several writers, rows locked, nothing to checkpoint."""

from __future__ import annotations

from typing import Final

from sqlalchemy import URL, Connection, NullPool, create_engine
from sqlalchemy.exc import DBAPIError
from typing_extensions import override

from emailsys.interfaces import StoreError
from emailsys.store.engine import Engine, Verdict

# SQLSTATE classes and codes (PostgreSQL manual, appendix A).
_REFUSED: Final = ("21", "22", "23", "40", "42", "54")
_DISK_FULL: Final = "53100"
_LOCK_NOT_AVAILABLE: Final = "55P03"


class Postgres(Engine):
    """One database of a server."""

    writers = 2
    locks_rows = True
    over_network = True
    placeholder = "%s"

    def __init__(self, url: URL) -> None:
        """
        @raise StoreError: the driver is not installed.
        """
        options = {"application_name": "emailsys", "connect_timeout": 10}
        try:
            self._writer = create_engine(url, poolclass=NullPool, connect_args=options)
            self._reader = create_engine(url, poolclass=NullPool, connect_args=options, isolation_level="AUTOCOMMIT")
        except ModuleNotFoundError as error:
            raise StoreError("a PostgreSQL store needs psycopg: pip install 'psycopg[binary]'") from error
        driver = self._reader.dialect.dbapi
        if driver is not None:
            self.errors = (*Engine.errors, driver.Error)

    @override
    def connect_writer(self) -> Connection:
        connection = self._writer.connect()
        # A server may be set to answer before its commit is on disk; we never do.
        if connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "off":
            connection.exec_driver_sql("SET synchronous_commit = on")
        connection.commit()
        return connection

    @override
    def connect_reader(self) -> Connection:
        return self._reader.connect()

    @override
    def verdict(self, error: Exception) -> Verdict:
        cause = error.orig if isinstance(error, DBAPIError) else error
        state = getattr(cause, "sqlstate", None)
        if state is None:
            # psycopg gives no SQLSTATE to what the server never saw: a lost connection, or a value it can't send.
            lost = type(cause).__name__ in ("OperationalError", "InterfaceError") or not isinstance(error, DBAPIError)
            return Verdict.LOST if lost else Verdict.REFUSED
        if state == _DISK_FULL:
            return Verdict.FULL
        if state == _LOCK_NOT_AVAILABLE:
            return Verdict.BUSY
        return Verdict.REFUSED if state[:2] in _REFUSED else Verdict.LOST

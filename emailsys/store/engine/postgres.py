"""PostgreSQL engine, through psycopg 3: several writers, row locks, no checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import URL, Connection, NullPool, create_engine, event
from sqlalchemy.exc import DBAPIError
from typing_extensions import override

from emailsys.interfaces import StoreError
from emailsys.platforms.packages import pip_install
from emailsys.store.engine.base import Engine, Verdict

# SQLSTATE classes and codes (PostgreSQL manual, appendix A).
_REFUSED: Final = ("21", "22", "23", "40", "42", "54")
_DISK_FULL: Final = "53100"
# data_corrupted, index_corrupted
_DAMAGED: Final = ("XX001", "XX002")
_LOCK_NOT_AVAILABLE: Final = "55P03"
# Defaults for libpq; the URL overrides them. After a network or power failure the kernel would wait for the server for
# 15 minutes (unanswered data) or two hours (silence). Keepalive values are seconds, `tcp_user_timeout` is milliseconds.
_OPTIONS: Final[Mapping[str, str | int]] = {
    "application_name": "emailsys",
    "connect_timeout": 4,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
# The same for the server's side of these connections: if a node loses its power or its network, the server notices
# within half a minute, and frees the locks of that node. Ignored by Unix sockets.
_SERVER_KEEPALIVES: Final = (
    "SELECT set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false),"
    " set_config('tcp_keepalives_count', '3', false), set_config('tcp_user_timeout', '25000', false)"
)
# Seconds that a statement may take. With `connect_timeout`, a client hears 451 or -ERR within 15 seconds.
STATEMENT_SECONDS: Final = 8.0


class Postgres(Engine):
    """A database on a PostgreSQL server."""

    writers = 2
    locks_rows = True
    over_network = True
    placeholder = "%s"

    def __init__(self, url: URL) -> None:
        """
        @raise StoreError: the driver is not installed.
        """
        self.location = url.render_as_string(hide_password=True)
        options = {name: value for name, value in _OPTIONS.items() if name not in url.query}
        try:
            from psycopg import Error, InterfaceError, OperationalError

            from emailsys.store.engine.statement_limit import LimitedConnection, StatementLimit

            self._writer = create_engine(url, poolclass=NullPool, connect_args=options)
            self._reader = create_engine(url, poolclass=NullPool, connect_args=options, isolation_level="AUTOCOMMIT")
        except ModuleNotFoundError as error:
            raise StoreError(
                f"a PostgreSQL store needs psycopg; install it: {pip_install('psycopg[binary]')}"
            ) from error
        self._limit = limit = StatementLimit(STATEMENT_SECONDS)

        def connect(dialect: Any, record: Any, arguments: list[Any], options: dict[str, Any]) -> LimitedConnection:
            connection = LimitedConnection.connect(*arguments, **options)
            connection.limit = limit
            return connection

        for engine in (self._writer, self._reader):
            event.listen(engine, "do_connect", connect)
        self.errors = (*Engine.errors, Error)
        self._driver_error = Error
        # Classes of errors that leave no connection.
        self._losses = (OperationalError, InterfaceError)

    @override
    def limit_statements(self) -> None:
        self._limit.start()

    @override
    def unlimit_statements(self) -> None:
        self._limit.stop()

    @override
    def connect_writer(self) -> Connection:
        connection = self._writer.connect()
        # A server may be configured to confirm commits before they are on disk. This store never allows that.
        if connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "off":
            connection.exec_driver_sql("SET synchronous_commit = on")
        connection.exec_driver_sql(_SERVER_KEEPALIVES)
        connection.commit()
        return connection

    @override
    def can_prove_commits(self, connection: Connection) -> bool:
        # A server that failed to sync its log stops at once. Before it accepts writes again, it replays the log and
        # syncs a checkpoint (decision 0022).
        asked = "SELECT NOT pg_is_in_recovery() AND current_setting('fsync') = 'on'"
        return bool(connection.exec_driver_sql(asked).scalar())

    @override
    def connect_reader(self) -> Connection:
        connection = self._reader.connect()
        connection.exec_driver_sql(_SERVER_KEEPALIVES)
        return connection

    @override
    def verdict(self, error: Exception) -> Verdict:
        cause = error.orig if isinstance(error, DBAPIError) else error
        state = getattr(cause, "sqlstate", None)
        if state is None:
            # psycopg sets no SQLSTATE if the server was not involved: a lost connection, or a value it cannot send.
            is_lost = isinstance(cause, self._losses) or not isinstance(cause, self._driver_error)
            return Verdict.LOST if is_lost else Verdict.REFUSED
        if state == _DISK_FULL:
            return Verdict.FULL
        if state in _DAMAGED:
            return Verdict.DAMAGED
        if state == _LOCK_NOT_AVAILABLE:
            return Verdict.BUSY
        return Verdict.REFUSED if state[:2] in _REFUSED else Verdict.LOST

"""A move on each pair of engines."""

from __future__ import annotations

from tests.contract.engines import PostgreSQLCase, SQLiteCase
from tests.system.store.moving_cases import MoveCases, RowsCases


class SQLiteToPostgreSQLTests(SQLiteCase, MoveCases):
    """From a file to a server."""

    def target_url(self) -> str:
        return PostgreSQLCase.make_schema(PostgreSQLCase()).render_as_string(hide_password=False)


class PostgreSQLToSQLiteTests(PostgreSQLCase, MoveCases):
    """Back to a file."""

    def target_url(self) -> str:
        return "sqlite:///other.sqlite"


class SQLiteToSQLiteTests(SQLiteCase, RowsCases):
    """To another file."""

    def target_url(self) -> str:
        return "sqlite:///other.sqlite"


class PostgreSQLToPostgreSQLTests(PostgreSQLCase, RowsCases):
    """To another schema on a server."""

    def target_url(self) -> str:
        return self.make_schema().render_as_string(hide_password=False)


# These classes have no engine, so trial must not find them here.
del MoveCases, RowsCases

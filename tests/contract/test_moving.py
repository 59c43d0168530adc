"""The contract of a move on each pair of engines."""

from __future__ import annotations

from tests.contract.engines import PostgreSQLCase, SQLiteCase
from tests.contract.move_contract import MoveContract, RowsContract


class SQLiteToPostgreSQLTests(SQLiteCase, MoveContract):
    """From a file to a server."""

    def target_url(self) -> str:
        return PostgreSQLCase.make_schema(PostgreSQLCase()).render_as_string(hide_password=False)


class PostgreSQLToSQLiteTests(PostgreSQLCase, MoveContract):
    """Back to a file."""

    def target_url(self) -> str:
        return "sqlite:///other.sqlite"


class SQLiteToSQLiteTests(SQLiteCase, RowsContract):
    """To another file."""

    def target_url(self) -> str:
        return "sqlite:///other.sqlite"


class PostgreSQLToPostgreSQLTests(PostgreSQLCase, RowsContract):
    """To another schema on a server."""

    def target_url(self) -> str:
        return self.make_schema().render_as_string(hide_password=False)


# The contract classes have no engine, so trial must not find them here.
del MoveContract, RowsContract

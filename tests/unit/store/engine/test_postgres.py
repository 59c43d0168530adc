"""Errors of the PostgreSQL driver, told apart without a server."""

from __future__ import annotations

from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError
from twisted.trial.unittest import SynchronousTestCase

from emailsys.store.engine.base import Verdict
from emailsys.store.engine.postgres import Postgres


class DriverErrorTests(SynchronousTestCase):
    """Rows go to the driver directly, so its errors arrive as they are, or wrapped by SQLAlchemy."""

    def assert_verdict(self, error: Exception, verdict: Verdict) -> None:
        engine = Postgres(make_url("postgresql+psycopg://user@localhost/mail"))
        for told in (error, DBAPIError("INSERT", None, error)):
            self.assertIs(engine.verdict(told), verdict, repr(told))

    def test_a_value_that_cannot_be_sent_is_no_lost_connection(self) -> None:
        """The other mail of the same commit is tried without it."""
        from psycopg import DataError, ProgrammingError

        self.assert_verdict(DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"), Verdict.REFUSED)
        self.assert_verdict(ProgrammingError("cannot adapt type"), Verdict.REFUSED)

    def test_a_server_that_does_not_answer_is_a_lost_connection(self) -> None:
        """Otherwise each message of a commit would wait for it once more."""
        from psycopg import InterfaceError, OperationalError, errors

        for error in (OperationalError("closed"), InterfaceError("closed"), errors.ConnectionTimeout("expired")):
            self.assert_verdict(error, Verdict.LOST)

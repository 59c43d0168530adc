"""Check whether a store can accept mail, without opening it: nothing is created, upgraded or changed."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from emailsys.config.settings import StoreSettings
from emailsys.interfaces import StoreError
from emailsys.store.directory.cache import NO_DOMAINS
from emailsys.store.engine.base import no_store_text
from emailsys.store.engine.files import check_regular
from emailsys.store.open import sqlite_path
from emailsys.store.schema.identity import IDENTITY_NAME, KeptIdentity, replaced_text
from emailsys.store.schema.move_marks import StoreMoved, raise_if_marked


def find_problem(settings: StoreSettings, state: Path) -> str | None:
    """Return a description of the problem with a SQLite store. None if there is none, or for PostgreSQL."""
    path = sqlite_path(settings.url, state)
    if path is None:
        return None
    try:
        kept = KeptIdentity(state).read()
    except StoreError as error:
        return str(error)
    if not path.exists():
        return no_store_text(str(path.parent))
    try:
        check_regular(path)
        with closing(sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            if not tables:
                return no_store_text(str(path.parent))
            if "alembic_version" in tables:
                raise_if_marked(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0], str(path))
            columns = {row[1] for row in connection.execute("PRAGMA table_info(generation)")}
            if kept is not None and "identity" in columns:
                (identity,) = connection.execute("SELECT identity FROM generation").fetchone()
                if identity != kept:
                    return replaced_text(str(path), state / IDENTITY_NAME)
            if "domains" in tables and connection.execute("SELECT 1 FROM domains LIMIT 1").fetchone() is None:
                return NO_DOMAINS
    except StoreMoved as error:
        return str(error)
    except sqlite3.Error as error:
        return f"the store {path} cannot be read: {error}"
    except OSError as error:
        return f"the store {path} cannot be read: {error.filename}: {error.strerror}"
    return None


def _quoted(path: Path) -> str:
    """Quote a path for the URI of a database (sqlite.org/uri.html)."""
    return os.fspath(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")

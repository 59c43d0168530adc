"""Connections to a SQLite database file, with the settings of emailsys.

The settings and their reasons:

 - `journal_mode=WAL`, `synchronous=FULL`: a commit is on disk when it returns, and readers never wait for writers.
 - `wal_autocheckpoint=0`: a checkpoint and a commit never overlap (before SQLite 3.51.3 that could corrupt the
   database). The holder of the commit lock checkpoints (`store.engine.sqlite`).
 - `journal_size_limit` 16 MiB: a larger WAL is truncated when SQLite restarts it.
 - `page_size` 16 KiB, `auto_vacuum=INCREMENTAL`: set at creation. The latter cannot be enabled later.
 - `secure_delete=OFF`: deleted mail stays in free pages until they are reused or the file shrinks. With ON, each
   deleted body would be overwritten, twice with the WAL (100 MiB: 190 ms instead of 2 ms). If you must not leave
   traces on the disk, encrypt the disk.
 - `foreign_keys=ON` is not the default of SQLite.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection

from emailsys.store.engine.files import check_regular

PAGE_OCTETS: Final = 16 * 1024
# Octets that the WAL keeps on disk after SQLite has restarted it.
WAL_OCTETS: Final = 16 * 1024 * 1024
# Milliseconds that a writer waits for other programs.
BUSY_WAIT_MS: Final = 10_000

# Each of these statements commits a change even if it changes nothing.
_CREATION_PRAGMAS: Final = f"PRAGMA page_size={PAGE_OCTETS}; PRAGMA auto_vacuum=INCREMENTAL;"
_PRAGMAS: Final = (
    "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA wal_autocheckpoint=0; "
    f"PRAGMA journal_size_limit={WAL_OCTETS}; PRAGMA secure_delete=OFF; PRAGMA temp_store=MEMORY; "
    f"PRAGMA busy_timeout={BUSY_WAIT_MS};"
)
_WRITER_PRAGMAS: Final = "PRAGMA cache_size=-6000; PRAGMA journal_mode=WAL;"
_READER_PRAGMAS: Final = "PRAGMA cache_size=-1000; PRAGMA query_only=ON;"

_CONNECT_OPTIONS: Final[dict[str, Any]] = {
    "timeout": BUSY_WAIT_MS / 1000,
    "isolation_level": None,
    "check_same_thread": False,
}


def open_writer(path: Path) -> sqlite3.Connection:
    """Open a connection that may write. Sets up the file if it is empty.

    @raise sqlite3.Error: SQLite cannot open the file.
    @raise OSError: a file of the database is not a regular file.
    """
    check_regular(path)
    raw: sqlite3.Connection = sqlite3.connect(path, **_CONNECT_OPTIONS)
    try:
        # Counting pages opens the log and rolls back an interrupted creation.
        if raw.execute("PRAGMA page_count").fetchone() == (0,):
            raw.executescript(_CREATION_PRAGMAS)
        raw.executescript(_PRAGMAS + _WRITER_PRAGMAS)
    except BaseException:
        raw.close()
        raise
    return raw


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a connection that only reads.

    @raise sqlite3.Error: SQLite cannot open the file.
    @raise OSError: a file of the database is not a regular file.
    """
    check_regular(path)
    raw: sqlite3.Connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, **_CONNECT_OPTIONS)
    try:
        raw.executescript(_READER_PRAGMAS + _PRAGMAS)
    except BaseException:
        raw.close()
        raise
    return raw


@contextmanager
def driver_of(connection: Connection) -> Iterator[sqlite3.Connection]:
    """Provide the connection of the driver, outside any transaction."""
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    assert not raw.in_transaction
    yield raw

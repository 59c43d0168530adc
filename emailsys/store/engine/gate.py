"""Registry of the reader connections of an engine, which can close all of them at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from sqlalchemy import Connection

# Seconds to wait for reads in progress. A read that takes longer, on a disk that does not answer, keeps its connection.
# The connection is closed when the read ends.
_WAIT: Final = 10.0


class ReaderGate:
    """Registers connections. A connection can be used only while it is registered. Callable in any thread."""

    def __init__(self) -> None:
        # One lock for each connection, so that threads never contend. With one shared lock, threads would pass it and
        # the interpreter lock to one another at each read.
        self._open: dict[Connection, threading.Lock] = {}

    def add(self, connection: Connection) -> None:
        """Register a connection."""
        self._open[connection] = threading.Lock()

    @contextmanager
    def reading(self, connection: Connection) -> Iterator[None]:
        """Use a connection.

        @raise ConnectionResetError: `close_all` has closed the connection.
        """
        lock = self._open.get(connection)
        if lock is not None:
            with lock:
                if connection in self._open:
                    yield
                    return
        raise ConnectionResetError("the connection was closed because the store's log is being checked")

    def drop(self, connection: Connection) -> None:
        """Unregister a connection that its owner closes."""
        self._open.pop(connection, None)

    def close_all(self) -> None:
        """Close every registered connection, after its read in progress."""
        closing, self._open = self._open, {}
        until = time.monotonic() + _WAIT
        for connection, lock in closing.items():
            if lock.acquire(timeout=max(0.0, until - time.monotonic())):
                with suppress(Exception):
                    connection.invalidate()
                    connection.close()

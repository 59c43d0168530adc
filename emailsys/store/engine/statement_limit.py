"""Time limit of each statement on PostgreSQL: the connection of a server that does not answer is shut down."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import suppress
from typing import Any, Final, TypeVar

import psycopg

T = TypeVar("T")

# Seconds between two checks of the statements in progress.
_CHECK_EVERY: Final = 0.5


class StatementLimit:
    """Shuts down connections whose statement takes too long. Callable in any thread.

    The kernel of a server that is stopped or hangs goes on answering keepalives, so that no time limit of TCP or libpq
    ends the wait.
    """

    def __init__(self, seconds: float) -> None:
        """@param seconds: the limit. It applies once `start` was called."""
        self.seconds = seconds
        self._lock = threading.Lock()
        # The statements in progress: when each must have ended, by its connection.
        self._until: dict[psycopg.Connection[Any], float] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Apply the limit from now on, also to connections that are open."""
        self._thread = threading.Thread(target=self._check, name="store-statement-limit", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()

    def begin(self, connection: psycopg.Connection[Any]) -> None:
        """Note that a connection waits for the server."""
        with self._lock:
            self._until[connection] = time.monotonic() + self.seconds

    def end(self, connection: psycopg.Connection[Any]) -> None:
        """Note that the server has answered."""
        with self._lock:
            self._until.pop(connection, None)

    def _check(self) -> None:
        while not self._stopped.wait(_CHECK_EVERY):
            now = time.monotonic()
            # Within the lock, no connection is closed, and its descriptor cannot become that of another file.
            with self._lock:
                late = [connection for connection, until in self._until.items() if until < now]
                for connection in late:
                    del self._until[connection]
                    with suppress(OSError, psycopg.Error):
                        _shut_down(connection.pgconn.socket)


def _shut_down(descriptor: int) -> None:
    with socket.socket(fileno=os.dup(descriptor)) as copy:
        copy.shutdown(socket.SHUT_RDWR)


class LimitedConnection(psycopg.Connection[Any]):
    """A connection whose statements have a time limit."""

    limit: StatementLimit | None = None

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """Wait for the answer of the server."""
        limit = self.limit
        if limit is None:
            return super().wait(gen, *args, **options)
        limit.begin(self)
        try:
            return super().wait(gen, *args, **options)
        finally:
            limit.end(self)

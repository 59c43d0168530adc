"""The connections that read from one engine, so that all of them can be closed at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from sqlalchemy import Connection

# Seconds to wait for reads that are under way. A read that takes longer, on a disk that does not answer, keeps its
# connection; the connection is closed when the read ends.
_WAIT: Final = 10.0


class ReaderGate:
    """Registers connections, and lets a connection be used only while it is registered. Callable in any thread."""

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._open: set[Connection] = set()
        self._reading = 0

    def add(self, connection: Connection) -> None:
        """Register a connection."""
        with self._turn:
            self._open.add(connection)

    @contextmanager
    def reading(self, connection: Connection) -> Iterator[None]:
        """Use a connection.

        @raise ConnectionResetError: it was closed by `close_all`, or closed itself.
        """
        with self._turn:
            if connection not in self._open:
                raise ConnectionResetError("the connection was closed because the store's log is being checked")
            self._reading += 1
        try:
            yield
        finally:
            with self._turn:
                self._reading -= 1
                if not self._reading:
                    self._turn.notify_all()

    def drop(self, connection: Connection) -> None:
        """Forget a connection that its owner closes."""
        with self._turn:
            self._open.discard(connection)

    def close_all(self) -> None:
        """Close every registered connection once the reads that are under way have ended."""
        with self._turn:
            closing, self._open = self._open, set()
            if not self._turn.wait_for(lambda: not self._reading, _WAIT):
                return
            for connection in closing:
                with suppress(Exception):
                    connection.invalidate()
                    connection.close()

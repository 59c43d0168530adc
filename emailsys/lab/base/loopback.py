"""Small servers of the lab: a listening socket on loopback, and one thread for each connection."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

HOST: Final = "127.0.0.1"
# Seconds for each wait of a server of the lab.
PATIENCE: Final = 10.0
# Seconds for each wait of a client. On a busy machine, the daemon may wait long for the disk before it replies.
_CLIENT_PATIENCE: Final = 60.0


def connect(port: int) -> socket.socket:
    """Connects to a port of this machine."""
    connection = socket.create_connection((HOST, port), _CLIENT_PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


class LoopbackServer:
    """Listens on a free port of 127.0.0.1 until it is closed.

    @param serve: called in a thread of its own for each connection, which is closed afterwards.
    """

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._listening = socket.create_server((HOST, 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, name=f"lab-{self.port}", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops listening and closes all connections."""
        with self._lock:
            self._closed = True
            ended = [self._listening, *self._open]
        for one in ended:
            # Wakes the thread that waits for the socket; close alone would not.
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with self._lock:
                if self._closed:
                    connection.close()
                    return
                self._open.add(connection)
            connection.settimeout(PATIENCE)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        try:
            # OSError: the other side has ended the connection. ValueError: `close` has, during a select.
            with contextlib.suppress(OSError, ValueError):
                self._serve(connection)
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

"""Reader threads: reads never wait for a commit."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from emailsys.store.engine.base import Engine, StoreUntrusted, Verdict, store_error

# Threads. Each has a connection, with a page cache of about 1 MiB on SQLite.
READERS: Final = 3

_Read = tuple[Callable[[Connection], Any], "Deferred[Any]"]


class Readers:
    """Reader threads, started on demand. Each statement is a transaction of its own."""

    def __init__(self, engine: Engine, call_from_thread: Callable[..., object]) -> None:
        self._engine = engine
        self._call_from_thread = call_from_thread
        self._waiting: queue.SimpleQueue[_Read | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._busy = 0

    def read(self, function: Callable[[Connection], Any]) -> Deferred[Any]:
        """Call the function in one of the threads. Called in the reactor thread."""
        done: Deferred[Any] = Deferred()
        self._busy += 1
        if self._busy > len(self._threads) and len(self._threads) < READERS:
            thread = threading.Thread(target=self._work, name=f"store-reader-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._waiting.put((function, done))
        return done

    def close(self) -> list[threading.Thread]:
        """Let the threads end after all waiting reads. Returns the threads."""
        for _ in self._threads:
            self._waiting.put(None)
        return self._threads

    def _done(self, done: Deferred[Any], result: Any) -> None:
        self._busy -= 1
        if isinstance(result, Failure):
            done.errback(result)
        else:
            done.callback(result)

    def _work(self) -> None:
        connection: Connection | None = None
        while True:
            read = self._waiting.get()
            if read is None:
                break
            function, done = read
            result: Any = None
            # Try a second time on a new connection: reading twice is harmless. The first one may have been lost while
            # idle, or a page may be damaged only in its cache.
            for is_last in (False, True):
                connecting = connection is None
                try:
                    if connection is None:
                        connection = self._engine.connect_reader()
                        connecting = False
                    with self._engine.reading(connection):
                        result = function(connection)
                        connection.rollback()
                    # Files that are not those of the store give no valid answer, not even "unknown".
                    self._engine.raise_if_untrusted_cached()
                    break
                except StoreUntrusted:
                    result = Failure()
                    self._drop(connection)
                    connection = None
                    break
                except self._engine.errors as error:
                    verdict = self._engine.verdict(error)
                    self._drop(connection)
                    connection = None
                    is_unreachable = connecting and self._engine.over_network
                    if is_last or is_unreachable or verdict not in (Verdict.LOST, Verdict.DAMAGED):
                        result = Failure(store_error(error, verdict))
                        if is_unreachable:
                            self._fail_waiting(result)
                        break
                except Exception:
                    # Raised by the function itself.
                    result = Failure()
                    break
            self._call_from_thread(self._done, done, result)
        self._drop(connection)

    def _fail_waiting(self, result: Failure) -> None:
        """Fail the waiting reads: each would wait just as long for a server that cannot be reached."""
        while True:
            try:
                waiting = self._waiting.get_nowait()
            except queue.Empty:
                return
            if waiting is None:
                self._waiting.put(None)
                return
            self._call_from_thread(self._done, waiting[1], result)

    def _drop(self, connection: Connection | None) -> None:
        if connection is not None:
            self._engine.close_reader(connection)

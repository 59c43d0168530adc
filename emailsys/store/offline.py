"""Access to the store without a reactor, for commands that run while no daemon runs."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from emailsys.config.settings import StoreSettings
from emailsys.store.open import Opening, Store, open_store
from emailsys.telemetry import Telemetry

T = TypeVar("T")


class _NeverCalled:
    def cancel(self) -> None:
        """Nothing to cancel."""


class _CallQueue:
    """The part of a reactor that the store needs, for one coroutine. Importing a real reactor takes 0.2 s."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], Any]] = queue.SimpleQueue()

    def callFromThread(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> None:
        self._calls.put(lambda: callable(*args, **kwargs))

    def callLater(self, delay: float, callable: Callable[..., Any], *args: object, **kwargs: object) -> _NeverCalled:
        # Only maintenance tasks schedule calls, and those run only in a daemon.
        return _NeverCalled()

    def seconds(self) -> float:
        return time.monotonic()

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        results: list[Any] = []
        self._working = Deferred.fromCoroutine(work).addBoth(results.append)
        while not results:
            self._calls.get()()
        if isinstance(results[0], Failure):
            results[0].raiseException()
        result: T = results[0]
        return result


def run_offline(
    settings: StoreSettings,
    state: Path,
    action: Callable[[Store], Coroutine[Any, Any, T]],
    telemetry: Telemetry,
    *,
    backed_up: bool = False,
    create: bool = False,
    adopt: bool = False,
) -> T:
    """Open the store, run `action(store)`, and close the store. Returns or raises the result of the action.

    Uses the same locks as a daemon, so that several processes can safely change the store. A running daemon sees a
    change within a second.

    @param backed_up, create, adopt: as for `Opening`.
    @raise StoreMissing: there is no store.
    @raise StoreError: the store cannot be opened.
    """
    calls = _CallQueue()
    opening = Opening(sweep=False, backed_up=backed_up, create=create, adopt=adopt)
    store = open_store(settings, state, calls, telemetry, opening)
    try:
        return calls.wait_for(action(store))
    finally:
        calls.wait_for(store.close())

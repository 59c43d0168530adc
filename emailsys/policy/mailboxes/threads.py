"""Threads for calls that block: started when they are needed, and not waited for at the end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure


class _Claim:
    """The right to one call: a thread takes it to make the call, or the reactor's thread to drop it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Take it. Returns whether it was still there."""
        return self._lock.acquire(blocking=False)


class PluginThreads:
    """Threads of which each may be stuck in a plugin for ever, so that the process ends without them.

    Those of Twisted's thread pool are joined when it stops.
    """

    def __init__(self, reactor: IReactorFromThreads, most: int) -> None:
        """@param most: the maximum number of threads."""
        self._reactor = reactor
        self._most = most
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._pending = 0
        self._started = 0

    def run(self, work: Callable[[], Any], ended: Callable[[Any, bool], None]) -> Deferred[Any]:
        """Return a Deferred of the result of a function that a thread calls.

        A cancelled Deferred does not stop a thread that has begun. If none has, the function is never called.

        @param ended: called in the reactor's thread with the result, or a Failure, and whether the Deferred still
            waited for it.
        """
        claim = _Claim()
        is_wanted = True

        def settle(result: Any) -> None:
            self._pending -= 1
            ended(result, is_wanted)
            if is_wanted:
                answer.callback(result)

        def cancel(_: Deferred[Any]) -> None:
            nonlocal is_wanted
            is_wanted = False
            if claim.take():
                settle(Failure(CancelledError()))

        answer: Deferred[Any] = Deferred(cancel)

        def serve() -> None:
            if not claim.take():
                return
            result: Any
            try:
                result = work()
            except BaseException:
                result = Failure()
            self._reactor.callFromThread(settle, result)

        self._pending += 1
        if self._started < min(self._pending, self._most):
            self._started += 1
            threading.Thread(target=self._serve, name=f"mailboxes-{self._started}", daemon=True).start()
        self._work.put(serve)
        return answer

    def stop(self) -> None:
        """End the threads after the calls that wait, without waiting for them."""
        for _ in range(self._started):
            self._work.put(None)

    def _serve(self) -> None:
        while (call := self._work.get()) is not None:
            call()
            # Keeps no result until the next call comes.
            del call

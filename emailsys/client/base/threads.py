"""Awaitable blocking calls in threads of the reactor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

T = TypeVar("T")


class InThread(Protocol):
    """Calls a blocking function in a thread."""

    def __call__(self, function: Callable[[], T]) -> Awaitable[T]: ...


def threads_of(reactor: Any) -> InThread:
    """Return an `InThread` on the threads of a running reactor. A cancelled call still runs to its end."""

    def in_thread(function: Callable[[], T]) -> Deferred[T]:
        return deferToThreadPool(reactor, reactor.getThreadPool(), function)

    return in_thread


async def until_cancelled(in_thread: InThread, work: Callable[[], T], stop: Callable[[], None]) -> T:
    """Await blocking work. @param stop: makes the work end soon; called if the wait is cancelled."""
    try:
        return await in_thread(work)
    except BaseException:
        stop()
        raise

"""Run what blocks in a thread, and await it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

T = TypeVar("T")


class InThread(Protocol):
    """Calls a function where blocking does no harm."""

    def __call__(self, function: Callable[[], T]) -> Awaitable[T]: ...


def threads_of(reactor: Any) -> InThread:
    """The threads of a reactor, which has to run. A call goes on to its end, though nobody waits for it any more."""

    def in_thread(function: Callable[[], T]) -> Deferred[T]:
        return deferToThreadPool(reactor, reactor.getThreadPool(), function)

    return in_thread


async def until_cancelled(in_thread: InThread, work: Callable[[], T], stop: Callable[[], None]) -> T:
    """Await work that blocks. @param stop: makes it end soon; called when nobody waits for it any more."""
    try:
        return await in_thread(work)
    except BaseException:
        stop()
        raise

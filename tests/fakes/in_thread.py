"""In place of threads: the call is made at once, in the thread of the test."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from twisted.internet.defer import Deferred, maybeDeferred

T = TypeVar("T")


def at_once(function: Callable[[], T]) -> Awaitable[T]:
    """Call a function, and return its result or its exception."""
    called: Deferred[T] = maybeDeferred(function)
    return called

"""Coroutines that start at once and become a Deferred only if they have to wait."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


def begin(coroutine: Coroutine[Deferred[Any], Any, None]) -> Deferred[None] | None:
    """Run a coroutine until its first wait. Returns None if it has ended, otherwise a Deferred that fires at its end.

    Most SMTP commands are answered from memory, where a Deferred would cost more than the work. The Deferred cannot be
    cancelled.

    @raise Exception: the exception that the coroutine raised before its first wait.
    """
    ended: Deferred[None] = Deferred()
    return ended if begin_and_tell(coroutine, ended.callback) else None


def begin_and_tell(coroutine: Coroutine[Deferred[Any], Any, None], ended: Callable[[Failure | None], object]) -> bool:
    """Run a coroutine until its first wait. Returns whether it waits; `ended` is then called at its end or failure.

    @raise Exception: the exception that the coroutine raised before its first wait.
    """
    try:
        waiting = coroutine.send(None)
    except StopIteration:
        return False
    _ = waiting.addBoth(_Continuation(coroutine, ended).go_on)
    return True


class _Continuation:
    """A started coroutine that waits for a Deferred."""

    __slots__ = ("_coroutine", "_ended")

    def __init__(
        self, coroutine: Coroutine[Deferred[Any], Any, None], ended: Callable[[Failure | None], object]
    ) -> None:
        self._coroutine = coroutine
        self._ended = ended

    def go_on(self, result: object) -> None:
        """Resume with the result of the Deferred, and run to the next wait or to the end."""
        try:
            if isinstance(result, Failure):
                waiting = result.throwExceptionIntoGenerator(self._coroutine)
            else:
                waiting = self._coroutine.send(result)
        except StopIteration:
            self._ended(None)
        except BaseException:
            self._ended(Failure())
        else:
            waiting.addBoth(self.go_on)

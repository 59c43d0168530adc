"""Run a coroutine at once, and make a Deferred of it only if it has to wait."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure


def begin(coroutine: Coroutine[Deferred[Any], Any, None]) -> Deferred[None] | None:
    """Run until the first wait. None if there was none; else a Deferred that fires at the coroutine's end.

    Most commands of SMTP are answered from memory, where a Deferred would cost more than the work. The Deferred cannot
    be cancelled: what it stands for takes its course.

    @raise Exception: what the coroutine raised before its first wait.
    """
    ended: Deferred[None] = Deferred()
    return ended if begin_and_tell(coroutine, ended.callback) else None


def begin_and_tell(coroutine: Coroutine[Deferred[Any], Any, None], ended: Callable[[Failure | None], object]) -> bool:
    """Run until the first wait. Whether there was one: then `ended` hears of the coroutine's end, or of its failure.

    @raise Exception: what the coroutine raised before its first wait.
    """
    try:
        waiting = coroutine.send(None)
    except StopIteration:
        return False
    _ = waiting.addBoth(_Rest(coroutine, ended).go_on)
    return True


class _Rest:
    """A coroutine that was begun and waits for a Deferred."""

    __slots__ = ("_coroutine", "_ended")

    def __init__(
        self, coroutine: Coroutine[Deferred[Any], Any, None], ended: Callable[[Failure | None], object]
    ) -> None:
        self._coroutine = coroutine
        self._ended = ended

    def go_on(self, result: object) -> None:
        """What was waited for is here: run to the next wait, or to the end."""
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

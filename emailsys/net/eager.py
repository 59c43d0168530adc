"""Run a coroutine at once, and leave a coroutine over only if it has to wait."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any

from twisted.internet.defer import Deferred


def begin(coroutine: Coroutine[Deferred[Any], Any, None]) -> Coroutine[Deferred[Any], Any, None] | None:
    """Run until the first wait. None if there was none; else the rest of it, for Deferred.fromCoroutine.

    Most commands of SMTP are answered from memory, where a Deferred would cost more than the work.
    """
    try:
        waiting = coroutine.send(None)
    except StopIteration:
        return None
    return _wait_for(_Rest(coroutine, waiting))


async def _wait_for(rest: _Rest) -> None:
    await rest


class _Rest:
    """A coroutine that was begun and waits for a Deferred."""

    __slots__ = ("_coroutine", "_waiting")

    def __init__(self, coroutine: Coroutine[Deferred[Any], Any, None], waiting: Deferred[Any]) -> None:
        self._coroutine = coroutine
        self._waiting = waiting

    def __await__(self) -> Generator[Deferred[Any], Any, None]:
        waiting = self._waiting
        while True:
            value, raised = None, None
            try:
                value = yield waiting
            except BaseException as error:
                raised = error
            try:
                waiting = self._coroutine.send(value) if raised is None else self._coroutine.throw(raised)
            except StopIteration:
                return

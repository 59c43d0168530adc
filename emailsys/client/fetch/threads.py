"""Calls that block, each in a thread of its own; Ctrl-C and whoever cancels reach all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Thread
from typing import Final, TypeVar

T = TypeVar("T")

# Seconds that a thread has to end after it was told to. What it keeps then is safe without it.
_LAST_STEP: Final = 20.0
# A join without an end would be deaf for Ctrl-C on Windows.
_GLANCE: Final = 0.2


class _Call(Thread):
    def __init__(self, function: Callable[[], object]) -> None:
        # An address that is looked up can't be interrupted: the program ends all the same.
        super().__init__(daemon=True)
        self._function = function
        self.outcome: object = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.outcome = self._function()
        except BaseException as error:
            self.error = error


def run_in_threads(functions: Sequence[Callable[[], T]], stop: Callable[[], None]) -> list[T]:
    """The results in order, when all have ended.

    @param stop: makes them end soon. Called when this thread is interrupted, which raises when they have ended.
    @raise Exception: the first in order that any of them raised.
    """
    calls = [_Call(function) for function in functions]
    for call in calls:
        call.start()
    try:
        for call in calls:
            while call.is_alive():
                call.join(_GLANCE)
    except BaseException:
        stop()
        for call in calls:
            call.join(_LAST_STEP)
        raise
    results: list[T] = []
    for call in calls:
        if call.error is not None:
            raise call.error
        results.append(call.outcome)  # type: ignore[arg-type]
    return results

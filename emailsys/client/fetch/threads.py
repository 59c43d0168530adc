"""Concurrent blocking calls, each in its own thread, which Ctrl-C stops together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Thread
from typing import Final, TypeVar

T = TypeVar("T")

# Seconds for a thread to end after `stop`. What it has stored by then is safe.
_STOP_TIMEOUT: Final = 20.0
# Seconds between checks: on Windows, Ctrl-C cannot interrupt a join without a time limit.
_JOIN_TIMEOUT: Final = 0.2


class _Call(Thread):
    def __init__(self, function: Callable[[], object]) -> None:
        # A daemon thread: an address lookup cannot be interrupted, and must not delay the program's end.
        super().__init__(daemon=True)
        self._function = function
        self.outcome: object = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.outcome = self._function()
        except BaseException as error:
            self.error = error


def run_in_threads(
    functions: Sequence[Callable[[], T]], stop: Callable[[], None], ends_at_error: bool = False
) -> list[T]:
    """Run functions concurrently. Return the results in order, when all have ended.

    @param stop: makes the functions end soon. Called when this thread is interrupted, before the interrupt is raised.
    @param ends_at_error: an exception of one function stops the others, and is raised at once. Functions that run
        until `stop` need this.
    @raise Exception: the first exception, in order of functions.
    """
    calls = [_Call(function) for function in functions]
    try:
        for call in calls:
            call.start()
        while any(call.is_alive() for call in calls):
            for call in calls:
                call.join(_JOIN_TIMEOUT)
                if ends_at_error and call.error is not None:
                    raise call.error
    except BaseException:
        stop()
        for call in calls:
            if call.is_alive():
                call.join(_STOP_TIMEOUT)
        raise
    results: list[T] = []
    for call in calls:
        if call.error is not None:
            raise call.error
        results.append(call.outcome)  # type: ignore[arg-type]
    return results

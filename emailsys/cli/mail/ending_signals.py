"""SIGTERM and SIGHUP while the user writes: they become an exception, so that what was typed is kept."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

# Windows has no SIGHUP.
_ENDING: Final = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
# What shells add to the number of the signal that ended a program.
_SIGNALLED: Final = 128


class EndedBySignal(SystemExit):
    """A signal ends the program, with an exit status as shells show it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.status = _SIGNALLED + number
        super().__init__(self.status)


@contextmanager
def ending_signals_raised() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise `EndedBySignal`. Signals after the first one do nothing until the block has ended.

    A signal that the program was started to ignore, as by nohup, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        # Python handles signals in the main thread.
        yield
        return
    ended: list[int] = []

    def handle(number: int, frame: object) -> None:
        if not ended:
            ended.append(number)
            raise EndedBySignal(number)

    heard = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    before = [(number, signal.signal(number, handle)) for number in heard]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


@contextmanager
def ending_signals_postponed() -> Iterator[list[int]]:
    """Within `ending_signals_raised`, let signals raise nothing. The block gets the list of those that came."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    heard = [number for number in _ENDING if callable(signal.getsignal(number))]
    before = [(number, signal.signal(number, lambda number, frame: came.append(number))) for number in heard]
    try:
        yield came
    finally:
        for number, handler in before:
            signal.signal(number, handler)

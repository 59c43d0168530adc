"""SIGTERM and SIGHUP while the user writes: they become an exception, so that what was typed is kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from emailsys.platforms.signals import ENDING, handled

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
    ended: list[int] = []

    def handle(number: int, frame: object) -> None:
        if not ended:
            ended.append(number)
            raise EndedBySignal(number)

    with handled(ENDING, handle, even_ignored=False):
        yield


@contextmanager
def ending_signals_postponed() -> Iterator[list[int]]:
    """Within `ending_signals_raised`, let signals raise nothing. The block gets the list of those that came."""
    came: list[int] = []
    with handled(ENDING, lambda number, frame: came.append(number), even_ignored=False):
        yield came

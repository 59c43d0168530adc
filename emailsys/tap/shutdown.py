"""Signal handlers: the first SIGTERM or SIGINT stops the daemon; later ones during the drain are ignored."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any


def end_once(reactor: Any) -> None:
    """Let the reactor handle only the first signal; it would log a traceback for a second one.

    `timeout` and some supervisors send SIGTERM to the process and to its group. Users press Ctrl-C twice.
    """
    reactor.callWhenRunning(_wrap)


def _wrap() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def first(number: int, frame: FrameType | None) -> None:
        # Not SIG_IGN: Python reports an error for a pending signal whose handler was removed.
        for one in numbers:
            signal.signal(one, _nothing)
        ends = before[signal.Signals(number)]
        assert callable(ends)
        ends(number, frame)

    for number in numbers:
        # A signal that the parent process set to be ignored stays ignored.
        if callable(before[number]):
            signal.signal(number, first)


def _nothing(number: int, frame: FrameType | None) -> None:
    """Ignore a signal; the daemon is already stopping."""

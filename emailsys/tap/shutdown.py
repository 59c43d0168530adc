"""End the daemon at the first SIGTERM or SIGINT: those that follow while it drains change nothing."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any


def end_once(reactor: Any) -> None:
    """Take what the reactor does at a signal for the first one only; for a second one it would log a traceback.

    `timeout`, and some supervisors, send SIGTERM to the process and to its group; people press Ctrl-C twice.
    """
    reactor.callWhenRunning(_wrap)


def _wrap() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def first(number: int, frame: FrameType | None) -> None:
        # Not SIG_IGN: Python complains of a signal that was on its way when its handler went.
        for one in numbers:
            signal.signal(one, _nothing)
        ends = before[signal.Signals(number)]
        assert callable(ends)
        ends(number, frame)

    for number in numbers:
        # One that whoever started us has set to be ignored stays so.
        if callable(before[number]):
            signal.signal(number, first)


def _nothing(number: int, frame: FrameType | None) -> None:
    """The daemon ends already."""

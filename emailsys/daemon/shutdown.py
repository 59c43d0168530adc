"""Signal handlers: the first SIGTERM or SIGINT stops the daemon; later ones during the drain are ignored."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
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
    right_to_stop = [True]

    def stop_once(number: int, frame: FrameType | None) -> None:
        # A second signal may arrive anywhere in this function: `pop` is one step, and only one call gets the item.
        try:
            right_to_stop.pop()
        except IndexError:
            return
        stops = before[signal.Signals(number)]
        assert callable(stops)
        stops(number, frame)

    for number in numbers:
        # A signal that the parent process set to be ignored stays ignored.
        if callable(before[number]):
            signal.signal(number, stop_once)


def on_hang_up(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> None:
    """Handle SIGHUP, where the system has it. The default action would end the process."""
    if sys.platform != "win32" and hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, handler)

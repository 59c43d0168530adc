"""Signal handlers: the first SIGTERM or SIGINT stops the daemon, later ones are ignored; SIGHUP is never lost."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Final


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


class _Noted:
    """Signal handler that notes the signal."""

    came = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.came = True


# What SIGHUP calls: one function of each daemon in this process, while it runs.
_on_hang_up: Final[list[Callable[[], object]]] = []


def on_hang_up(call: Callable[[], object]) -> None:
    """Call the function at each SIGHUP, if this process handles them: see `handle_hang_ups`."""
    _on_hang_up.append(call)


def forget_hang_ups(call: Callable[[], object]) -> None:
    """Call the function no more. A SIGHUP without any function does nothing."""
    if call in _on_hang_up:
        _on_hang_up.remove(call)


def ignore_hang_ups() -> None:
    """Ignore SIGHUP, where the system has it. The default action would end the process."""
    _ = _handle(signal.SIG_IGN)


def note_hang_ups() -> None:
    """Note SIGHUP for `handle_hang_ups`."""
    _handle(_Noted())


def handle_hang_ups() -> None:
    """Handle SIGHUP for all daemons in this process from now on, and now if one came since `note_hang_ups`."""
    before = _handle(lambda *_: _hung_up())
    if isinstance(before, _Noted) and before.came:
        _hung_up()


def _hung_up() -> None:
    for call in tuple(_on_hang_up):
        _ = call()


def _handle(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> object:
    """Set the handler, where the system has SIGHUP, and return the handler before."""
    if sys.platform != "win32" and hasattr(signal, "SIGHUP"):
        return signal.signal(signal.SIGHUP, handler)
    return None

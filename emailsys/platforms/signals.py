"""Handlers of signals for the time of a block, on systems with and without SIGHUP."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final

Handler = Callable[[int, FrameType | None], object] | signal.Handlers

#: Signals that request the end of a program, where nobody presses a key.
ENDING: Final = ("SIGTERM", "SIGHUP")


@contextmanager
def handled(names: Sequence[str], handler: Handler, even_ignored: bool = True) -> Iterator[None]:
    """Handle signals in one way in the block, and as before after it. In other threads than the first, do nothing.

    @param names: a signal that the system lacks is passed over.
    @param even_ignored: whether a signal counts that the program was started to ignore, as by nohup.
    """
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        # Python handles signals in the main thread.
        numbers = []
    if not even_ignored:
        numbers = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = [(number, signal.signal(number, handler)) for number in numbers]
    try:
        yield
    finally:
        for number, former in before:
            # None: a handler that was not set by Python.
            signal.signal(number, signal.SIG_DFL if former is None else former)

"""Ctrl-C while another program, such as an editor, has the terminal."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ctrl_c_left_to_child() -> Iterator[None]:
    """Let Ctrl-C reach only the program that has the terminal: it may handle it, or end.

    The terminal sends SIGINT to this program, too. A KeyboardInterrupt would kill the other one with its text.
    """
    if threading.current_thread() is not threading.main_thread():
        # Python handles signals in the main thread.
        yield
        return
    # A handler is not inherited by the other program; SIG_IGN would be.
    before = signal.signal(signal.SIGINT, lambda _signal, _frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.SIG_DFL)

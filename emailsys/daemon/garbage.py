"""Garbage collection of the daemon: rare, and without the objects of the start."""

from __future__ import annotations

import gc
from typing import Final

# Allocations between two collections of the youngest generation. Python's default, 700, is one or two messages.
_COLLECT_EVERY: Final = 10_000


def freeze_startup_objects() -> None:
    """Exempt the objects of the start from garbage collection: they live as long as the process.

    A full collection that examined them stopped all sessions for about 20 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY, 20, 20)

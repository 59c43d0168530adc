"""Numbers of processes in the configuration: a number, or as many as there are cores."""

from __future__ import annotations

import os
import sys

from emailsys.config.values import Read, Unfit


def _cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def a_process_count(maximum: int) -> Read:
    """Return a reader of numbers of processes. "cores" is one for each core that this process may use."""
    allowed = f'a whole number from 0 to {maximum}, or "cores"'

    def read(value: object) -> int:
        if value == "cores":
            return min(maximum, _cores())
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= maximum:
            raise Unfit(allowed)
        return value

    return read

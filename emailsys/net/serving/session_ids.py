"""Name the sessions of a service: the id that all log events of one session bear."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable


def session_names() -> Callable[[], str]:
    """A source of session ids: a random start for each process, then a count."""
    start = secrets.token_hex(3)
    count = itertools.count(1)
    return lambda: f"{start}-{next(count)}"

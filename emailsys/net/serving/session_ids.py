"""Session ids: every log event of a session carries its id."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable


def session_ids() -> Callable[[], str]:
    """Returns a source of session ids: a random prefix of the source, then a count."""
    start = secrets.token_hex(3)
    count = itertools.count(1)
    return lambda: f"{start}-{next(count)}"

"""The newest events of the mail log, in memory, for operators who look at them in a browser."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

# Events that are kept: about 1 MB.
_KEPT: Final = 2000
# Characters of a value that are shown.
_MAX_VALUE: Final = 1000


class EventRing:
    """Keeps the newest events. Values are turned into text only when the events are read."""

    def __init__(self, now: Callable[[], float] = time.time, most: int = _KEPT) -> None:
        self._now = now
        self._events: deque[tuple[float, str, Mapping[str, object]]] = deque(maxlen=most)

    def note(self, name: str, fields: Mapping[str, object]) -> None:
        """Keep an event. Never raises."""
        self._events.append((self._now(), name, fields))

    def newest(self, limit: int, containing: str = "") -> Sequence[Mapping[str, Any]]:
        """Return events, the newest first. @param containing: only those with this text in their name or values."""
        wanted = containing.casefold()
        found: list[Mapping[str, Any]] = []
        for at, name, fields in reversed(self._events):
            values = {key: str(value)[:_MAX_VALUE] for key, value in fields.items() if value is not None}
            if wanted and wanted not in " ".join((name, *values.values())).casefold():
                continue
            moment = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            found.append({"at": moment, "event": name, "fields": values})
            if len(found) >= limit:
                break
        return found

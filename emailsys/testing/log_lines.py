"""Log observer that keeps the last lines of a server's log."""

from __future__ import annotations

from collections import deque

from twisted.logger import ILogObserver, LogEvent, formatEvent
from zope.interface import implementer


@implementer(ILogObserver)
class LogLines(deque[str]):
    """The last lines, a traceback with its event."""

    def __call__(self, event: LogEvent) -> None:
        failure = event.get("log_failure")
        text = formatEvent(event)
        self.append(text if failure is None else f"{text}\n{failure.getTraceback()}")

"""The mail log and the counters: one event a fact, with the id that follows a message or a session."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@.:/<>+-_=[]")


def _shown(value: object) -> str:
    """A field's value as the log shows it: text that is not plain goes through repr, so that a peer writes no lines."""
    text = value if isinstance(value, str) else str(value)
    return text if text and _PLAIN.issuperset(text) else repr(text)


class Telemetry:
    """Where rooms report what happened. Credentials and bodies are never given to it."""

    def __init__(self, log: Logger | None = None) -> None:
        self._log = log if log is not None else Logger(namespace="emailsys")
        self.counters: Counter[str] = Counter()

    def event(self, name: str, /, **fields: object) -> None:
        """Count an event and log it on one line: its name, then its fields as key=value."""
        self.counters[name] += 1
        line = " ".join((name, *(f"{key}={_shown(value)}" for key, value in fields.items())))
        self._log.emit(LogLevel.info, "{mail_event}", mail_event=line)

    def surprise(self, where: str, failure: Failure, /, **fields: Any) -> None:
        """Log an exception that nobody expected, once, with its traceback; the peer gets 451 or -ERR."""
        self.counters["surprise"] += 1
        line = " ".join((where, *(f"{key}={_shown(value)}" for key, value in fields.items())))
        self._log.failure("{mail_event}", failure=failure, mail_event=line)

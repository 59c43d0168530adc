"""The mail log and the counters: one event a fact, with the id that follows a message or a session."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@.:/<>+-_=[]")


def _shown(value: object) -> str:
    """A field's value as the log shows it: text that is not plain goes through repr, so that a peer writes no lines."""
    text = value if isinstance(value, str) else str(value)
    return text if text and _PLAIN.issuperset(text) else repr(text)


def plain_line(name: str, fields: Mapping[str, object]) -> str:
    """An event as people read it: its name, then its fields as key=value."""
    return " ".join((name, *(f"{key}={_shown(value)}" for key, value in fields.items())))


def json_line(name: str, fields: Mapping[str, object]) -> str:
    """An event as programs read it: a JSON object, with the name as `event`. Numbers and null stay what they are."""
    told = {
        key: value if value is None or isinstance(value, bool | int | float) else str(value)
        for key, value in fields.items()
    }
    return json.dumps({"event": name, **told}, ensure_ascii=True, separators=(",", ":"))


class Telemetry:
    """Where rooms report what happened. Credentials and bodies are never given to it.

    @param line: how an event is written.
    @param also: called with each event's name and fields, beside the log.
    """

    def __init__(
        self,
        log: Logger | None = None,
        line: Callable[[str, Mapping[str, object]], str] = plain_line,
        also: Callable[[str, Mapping[str, object]], None] | None = None,
    ) -> None:
        self._log = log if log is not None else Logger(namespace="emailsys")
        self._line = line
        self.also = also
        self.counters: Counter[str] = Counter()

    def event(self, name: str, /, **fields: object) -> None:
        """Count an event and log it on one line."""
        self.counters[name] += 1
        self._log.emit(LogLevel.info, "{mail_event}", mail_event=self._line(name, fields))
        if self.also is not None:
            self.also(name, fields)

    def surprise(self, where: str, failure: Failure, /, **fields: Any) -> None:
        """Log an exception that nobody expected, once, with its traceback; the peer gets 451 or -ERR."""
        self.counters["surprise"] += 1
        self._log.failure("{mail_event}", failure=failure, mail_event=plain_line(where, fields))

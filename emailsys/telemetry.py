"""The mail log and the counters: one event a fact, with the id that follows a message or a session."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from time import time
from typing import Any, Final, TextIO

from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, formatTime, textFileLogObserver
from twisted.python.failure import Failure
from zope.interface import implementer

# Characters of a field's value that are shown: an address of RFC 5321 fits; a peer's own words may be 9 KiB long.
_MOST: Final = 1000
_PLAIN: Final = re.compile(r"[A-Za-z0-9@.:/<>+\-_=\[\]]+")
_PLAIN_WORDS: Final = re.compile(r"[A-Za-z0-9@.:/<>+\-_=\[\] ]+")


def _shown(value: object) -> str:
    """A field's value as the log shows it: text that is not plain goes through repr, so that a peer writes no lines."""
    if type(value) is int or value is None:
        return str(value)
    text = value if isinstance(value, str) else str(value)
    if len(text) > _MOST:
        text = text[:_MOST] + "..."
    return text if _PLAIN.fullmatch(text) else repr(text)


def plain_line(name: str, fields: Mapping[str, object]) -> str:
    """An event as people read it: its name, then its fields as key=value."""
    line = " ".join([name, *[f"{key}={value}" for key, value in fields.items()]])
    # Nearly always that is it: no value is empty, long, or has a blank or anything else that wants quoting.
    if (
        len(line) <= _MOST
        and line.count(" ") == len(fields)
        and _PLAIN_WORDS.fullmatch(line)
        and "= " not in f"{line} "
    ):
        return line
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
        self._tell(LogLevel.info, name, fields)

    def alarm(self, name: str, /, **fields: object) -> None:
        """The same, as critical: an operator has to act, and mail waits until then."""
        self._tell(LogLevel.critical, name, fields)

    def _tell(self, level: Any, name: str, fields: Mapping[str, object]) -> None:
        self.counters[name] += 1
        log = self._log
        # What Logger.emit makes of it, without its look whether there is such a level: a quarter of a line's cost.
        log.observer(
            {
                "log_logger": log,
                "log_level": level,
                "log_namespace": log.namespace,
                "log_source": log.source,
                "log_format": "{mail_event}",
                "log_time": time(),
                "mail_event": self._line(name, fields),
            }
        )
        if self.also is not None:
            self.also(name, fields)

    def surprise(self, where: str, failure: Failure, /, **fields: Any) -> None:
        """Log an exception that nobody expected, once, with its traceback; the peer gets 451 or -ERR."""
        self.counters["surprise"] += 1
        self._log.failure("{mail_event}", failure=failure, mail_event=plain_line(where, fields))


# What twisted.internet.udp says of a socket of net.dns.name_servers.
_ABOUT_QUESTIONS: Final = ("_Datagrams starting on ", "(UDP Port ")


def _is_about_a_question(event: LogEvent) -> bool:
    """Whether the reactor tells of a socket that asked a name server something: twice for each lookup, and nothing of
    use; there is no other way to keep it quiet. UDP is used for nothing else."""
    text = event.get("message") or ("",)
    return isinstance(text[0], str) and text[0].startswith(_ABOUT_QUESTIONS)


@implementer(ILogObserver)
class LogWriter:
    """Write the log as Twisted does, a line an event; mail events by a way that costs a fifth of that.

    A busy system logs thousands of them a second: what they have in common is made once a second.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._write_other = textFileLogObserver(out)
        self._second = -1
        self._prefix = ""

    def __call__(self, event: LogEvent) -> None:
        """Write one event."""
        line = event.get("mail_event")
        if line is None or "log_failure" in event:
            if not _is_about_a_question(event):
                self._write_other(event)
            return
        if event["log_level"] is not LogLevel.info:
            self._write_other(event)
            return
        second = int(event["log_time"])
        if second != self._second:
            self._second = second
            self._prefix = f"{formatTime(second)} [{event['log_namespace']}#{event['log_level'].name}] "
        self._out.write(f"{self._prefix}{line}\n")
        self._out.flush()

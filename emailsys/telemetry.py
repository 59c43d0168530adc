"""Mail log and counters: one event for each fact, with the id of its message or session."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from time import time
from typing import Any, Final, TextIO

from twisted.logger import ILogObserver, LogEvent, Logger, LogLevel, formatEvent, formatTime, textFileLogObserver
from twisted.python.failure import Failure
from zope.interface import implementer

# Characters of a field that are logged. An address of RFC 5321 fits; a text from a peer may have 9 KiB.
_MOST: Final = 1000
_PLAIN: Final = re.compile(r"[A-Za-z0-9@.:/<>+\-_=\[\]]+")
_PLAIN_WORDS: Final = re.compile(r"[A-Za-z0-9@.:/<>+\-_=\[\] ]+")


def _cut(text: str) -> str:
    return text if len(text) <= _MOST else text[:_MOST] + "..."


def _shown(value: object) -> str:
    """Format a field value. Text that is not plain is quoted by repr, so that a peer cannot add lines to the log."""
    if type(value) is int or value is None:
        return str(value)
    text = _cut(value if isinstance(value, str) else str(value))
    return text if _PLAIN.fullmatch(text) else repr(text)


@lru_cache(maxsize=256)
def _template(name: str, *keys: str) -> str:
    return " ".join([name, *[f"{key}={{}}" for key in keys]])


def plain_line(name: str, fields: Mapping[str, object]) -> str:
    """Format an event for people: its name, then its fields as key=value."""
    line = _template(name, *fields).format(*fields.values())
    # Nearly always no value needs quoting: none is empty or long, or has a blank or another special character.
    if (
        len(line) <= _MOST
        and line.count(" ") == len(fields)
        and _PLAIN_WORDS.fullmatch(line)
        and "= " not in f"{line} "
    ):
        return line
    return " ".join((name, *(f"{key}={_shown(value)}" for key, value in fields.items())))


def _json_value(key: str, value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value) if key == "traceback" else _cut(str(value))


def json_line(name: str, fields: Mapping[str, object]) -> str:
    """Format an event for programs: a JSON object with the name as `event`. Numbers and null keep their type.

    A text is cut like that of a plain line, but a traceback is not.
    """
    values = {key: _json_value(key, value) for key, value in fields.items()}
    return json.dumps({"event": name, **values}, ensure_ascii=True, separators=(",", ":"))


class Telemetry:
    """Receives the events of all rooms. Never pass credentials or message bodies to it.

    @param line: formats an event.
    @param also: called with the name and the fields of each event, in addition to the log.
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
        #: Called as `also` is, for somebody who looks at the newest events.
        self.watcher: Callable[[str, Mapping[str, object]], None] | None = None
        self.counters: Counter[str] = Counter()

    def event(self, name: str, /, **fields: object) -> None:
        """Count an event and log it on one line."""
        self._log_event(LogLevel.info, name, fields)

    def alarm(self, name: str, /, **fields: object) -> None:
        """Count an event and log it as critical: mail waits until an operator acts."""
        self._log_event(LogLevel.critical, name, fields)

    def _log_event(self, level: Any, name: str, fields: Mapping[str, object]) -> None:
        self.counters[name] += 1
        log = self._log
        # The event that Logger.emit would make. Its check of the level costs a quarter of a line, so it is left out.
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
        if self.watcher is not None:
            self.watcher(name, fields)

    def exception(self, name: str, failure: Failure, /, **fields: Any) -> None:
        """Count an unexpected exception and log it with its traceback. The caller answers 451 or -ERR.

        @param name: the event. It ends with `-exception`.
        """
        self.counters["exception"] += 1
        self._log.failure("{mail_event}", failure=failure, mail_event=self._line(name, fields))


# The texts that twisted.internet.udp logs for a socket of net.dns.name_servers.
_DNS_SOCKET_TEXTS: Final = ("_Datagrams starting on ", "(UDP Port ")


def _is_dns_socket(event: LogEvent) -> bool:
    """Whether Twisted logs the opening or closing of a DNS socket, twice for each lookup.

    These lines are useless, and Twisted has no switch for them. Nothing else here uses UDP.
    """
    text = event.get("message") or ("",)
    return isinstance(text[0], str) and text[0].startswith(_DNS_SOCKET_TEXTS)


#: The levels of a log, the lowest first.
LEVELS: Final = tuple(level.name for level in LogLevel.iterconstants())


def _levels_from(least: str) -> frozenset[Any]:
    """Return a level and those above it."""
    return frozenset(LogLevel.lookupByName(name) for name in LEVELS[LEVELS.index(least) :])


class _Threshold:
    """The levels that a writer writes."""

    _levels: frozenset[Any]

    def set_level(self, least: str) -> None:
        """@param least: the lowest of LEVELS that is written from now on."""
        self._levels = _levels_from(least)


@implementer(ILogObserver)
class LogWriter(_Threshold):
    """Writes the log in Twisted's format, one line for each event. Mail events take a path with a fifth of the cost.

    A busy system logs thousands of mail events a second, so their common prefix is formatted once a second.
    """

    def __init__(self, out: TextIO, least: str = "debug") -> None:
        """@param least: the lowest of LEVELS that is written."""
        self._out = out
        self.set_level(least)
        self._write_other = textFileLogObserver(out)
        self._second = -1
        self._prefix = ""

    def __call__(self, event: LogEvent) -> None:
        """Write one event."""
        if event.get("log_level", LogLevel.info) not in self._levels:
            return
        line = event.get("mail_event")
        if line is None or "log_failure" in event:
            if not _is_dns_socket(event):
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


def rfc3339(seconds: float) -> str:
    """Format a time in seconds since 1970 as RFC 3339 does, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def log_object(seconds: float, level: str, name: str, fields: Mapping[str, object]) -> str:
    """Format an entry of the log as a JSON object on one line: time, level, event, then its fields."""
    return json_line(name, {"time": rfc3339(seconds), "level": level, **fields})


@implementer(ILogObserver)
class JSONLogWriter(_Threshold):
    """Writes the log as JSON, one object on each line: what Twisted logs, what is printed, and tracebacks too.

    Each object has `time` (RFC 3339, UTC), `level` and `event`. The event of a line that is not ours is `message`, with
    its `text` and the `source` that logged it. An exception has a `traceback`.
    """

    def __init__(self, out: TextIO, least: str = "debug") -> None:
        """@param least: the lowest of LEVELS that is written."""
        self._out = out
        self.set_level(least)

    def __call__(self, event: LogEvent) -> None:
        """Write one event."""
        level = event.get("log_level", LogLevel.info)
        if level not in self._levels:
            return
        line = event.get("mail_event")
        at = f'"time":"{rfc3339(event.get("log_time", 0.0))}","level":"{level.name}"'
        if line is not None and line.startswith("{") and "log_failure" not in event:
            # An object of `json_line`, which is nearly every event: its text is not read again.
            self._out.write(f"{{{at},{line[1:]}\n")
        elif not _is_dns_socket(event):
            self._out.write(f"{{{at},{self._of_others(event, line)[1:]}\n")
        self._out.flush()

    @staticmethod
    def _of_others(event: LogEvent, line: str | None) -> str:
        name, fields = "message", {"source": event.get("log_namespace", "")}
        if line is not None and line.startswith("{"):
            ours: dict[str, object] = json.loads(line)
            name, fields = str(ours.pop("event")), ours
        else:
            fields["text"] = formatEvent(event) if line is None else line
        failure = event.get("log_failure")
        if failure is not None:
            fields["traceback"] = failure.getTraceback()
        return json_line(name, fields)


# Control characters, but the tab and the line feed: a terminal acts on them.
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# The level and the colour of its events on a terminal (ECMA-48): red, yellow and grey; none for info.
_COLOURS: Final = {"critical": "31;1", "error": "31", "warn": "33", "debug": "90"}


@implementer(ILogObserver)
class TerminalLogWriter(_Threshold):
    """Writes the log for a person at a terminal: the time of day, the event and its fields; in colour if wanted."""

    def __init__(self, out: TextIO, least: str = "debug", is_coloured: bool = False) -> None:
        """@param least: the lowest of LEVELS that is written."""
        self._out = out
        self.set_level(least)
        self._is_coloured = is_coloured

    def __call__(self, event: LogEvent) -> None:
        """Write one event."""
        level = event.get("log_level", LogLevel.info)
        if level not in self._levels or _is_dns_socket(event):
            return
        text = event.get("mail_event") or formatEvent(event)
        failure = event.get("log_failure")
        if failure is not None:
            text += f"\n{failure.getTraceback()}"
        text = _CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)
        colour = _COLOURS.get(level.name) if self._is_coloured else None
        if self._is_coloured:
            name, blank, rest = text.partition(" ")
            text = f"\x1b[{colour}m{text}\x1b[0m" if colour else f"\x1b[1m{name}\x1b[0m{blank}{rest}"
        at = formatTime(event.get("log_time", 0.0), "%H:%M:%S")
        mark = "" if level is LogLevel.info else f"{level.name}: "
        self._out.write(f"{at} {mark}{text}\n")
        self._out.flush()

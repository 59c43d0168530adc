"""Mail log and counters: one event for each fact, with the id of its message or session."""

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

# Characters of a field that are logged. An address of RFC 5321 fits; a text from a peer may have 9 KiB.
_MOST: Final = 1000
_PLAIN: Final = re.compile(r"[A-Za-z0-9@.:/<>+\-_=\[\]]+")
_PLAIN_WORDS: Final = re.compile(r"[A-Za-z0-9@.:/<>+\-_=\[\] ]+")


def _shown(value: object) -> str:
    """Format a field value. Text that is not plain is quoted by repr, so that a peer cannot add lines to the log."""
    if type(value) is int or value is None:
        return str(value)
    text = value if isinstance(value, str) else str(value)
    if len(text) > _MOST:
        text = text[:_MOST] + "..."
    return text if _PLAIN.fullmatch(text) else repr(text)


def plain_line(name: str, fields: Mapping[str, object]) -> str:
    """Format an event for people: its name, then its fields as key=value."""
    line = " ".join([name, *[f"{key}={value}" for key, value in fields.items()]])
    # Nearly always no value needs quoting: none is empty or long, or has a blank or another special character.
    if (
        len(line) <= _MOST
        and line.count(" ") == len(fields)
        and _PLAIN_WORDS.fullmatch(line)
        and "= " not in f"{line} "
    ):
        return line
    return " ".join((name, *(f"{key}={_shown(value)}" for key, value in fields.items())))


def json_line(name: str, fields: Mapping[str, object]) -> str:
    """Format an event for programs: a JSON object with the name as `event`. Numbers and null keep their type."""
    values = {
        key: value if value is None or isinstance(value, bool | int | float) else str(value)
        for key, value in fields.items()
    }
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

    def exception(self, name: str, failure: Failure, /, **fields: Any) -> None:
        """Count an unexpected exception and log it with its traceback. The caller answers 451 or -ERR.

        @param name: the event. It ends with `-exception`.
        """
        self.counters["exception"] += 1
        self._log.failure("{mail_event}", failure=failure, mail_event=plain_line(name, fields))


# The texts that twisted.internet.udp logs for a socket of net.dns.name_servers.
_DNS_SOCKET_TEXTS: Final = ("_Datagrams starting on ", "(UDP Port ")


def _is_dns_socket(event: LogEvent) -> bool:
    """Whether Twisted logs the opening or closing of a DNS socket, twice for each lookup.

    These lines are useless, and Twisted has no switch for them. Nothing else here uses UDP.
    """
    text = event.get("message") or ("",)
    return isinstance(text[0], str) and text[0].startswith(_DNS_SOCKET_TEXTS)


@implementer(ILogObserver)
class LogWriter:
    """Writes the log in Twisted's format, one line for each event. Mail events take a path with a fifth of the cost.

    A busy system logs thousands of mail events a second, so their common prefix is formatted once a second.
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

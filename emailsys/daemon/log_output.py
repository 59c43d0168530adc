"""Where the daemon writes for its operator: the observer of its log, and lines on stderr before there is a log."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path
from time import time
from typing import TextIO

from emailsys.config.monitoring_settings import LogFormat, MonitoringSettings
from emailsys.telemetry import JSONLogWriter, LogWriter, TerminalLogWriter, log_object

#: An observer whose level can be changed.
LogObserver = LogWriter | JSONLogWriter | TerminalLogWriter


def log_writer(out: TextIO, settings: MonitoringSettings, is_terminal: bool = False) -> LogObserver:
    """Return the observer that writes the log in the format of the settings."""
    least = settings.log_level.value
    if settings.log_format is LogFormat.JSON:
        return JSONLogWriter(out, least)
    if settings.log_format is LogFormat.AUTO and is_terminal:
        # https://no-color.org
        return TerminalLogWriter(out, least, is_coloured=not os.environ.get("NO_COLOR"))
    return LogWriter(out, least)


def settings_of_faulty(path: Path | None) -> MonitoringSettings:
    """Return the settings for messages about a configuration that cannot be used: its log format, if that is clear."""
    try:
        # A variable goes before the file, as in `config.loader`.
        given = os.environ.get("EMAILSYS_MONITORING__LOG_FORMAT")
        if not given:
            found = tomllib.loads(path.read_text("utf-8-sig")) if path is not None else {}
            given = found["monitoring"]["log_format"]
        return MonitoringSettings(log_format=LogFormat(given))
    except (OSError, ValueError, LookupError, TypeError):
        return MonitoringSettings()


def say(settings: MonitoringSettings, text: str, level: str = "info") -> None:
    """Print a line to stderr before the log is open, or after it is closed."""
    if settings.log_format is LogFormat.JSON:
        line = log_object(time(), level, "start", {"text": text})
    else:
        line = f"emailsys: {'warning: ' if level == 'warn' else ''}{text}"
    print(line, file=sys.stderr)

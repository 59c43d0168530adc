"""Mail log: a file with one event per line, reopened after rotation."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from emailsys.config.monitoring_settings import LogFormat
from emailsys.platforms.files import BINARY, NO_WAIT
from emailsys.telemetry import json_line, plain_line


class MailLog:
    """The log file. Events that cannot be written to it are still in the daemon's own log."""

    def __init__(self, path: Path, form: LogFormat, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """@raise OSError: the file cannot be opened."""
        self._path = path
        self._json = form is LogFormat.JSON
        self._now = now
        self._descriptor = self._open()

    def _open(self) -> int:
        # The name may be that of a pipe, such as /dev/stdout. The daemon never waits for its reader.
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | BINARY | NO_WAIT, 0o640)

    def write(self, name: str, fields: Mapping[str, object]) -> None:
        """Write an event in one system call, so that lines of several processes do not mix."""
        if self._descriptor < 0:
            return
        at = self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        line = json_line(name, {"time": at, **fields}) if self._json else f"{at} {plain_line(name, fields)}"
        try:
            os.write(self._descriptor, line.encode() + b"\n")
        except OSError:
            # A full disk stops the log, not the mail.
            return

    def reopen(self) -> None:
        """Open the file again after it was renamed.

        @raise OSError: it cannot be opened; the old file stays in use.
        """
        fresh = self._open()
        self.close()
        self._descriptor = fresh

    def close(self) -> None:
        """Close the file; later events are ignored."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

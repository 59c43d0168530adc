"""Write events to a file of their own, a line each, and open it anew when it was rotated."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from emailsys.config.settings import LogFormat
from emailsys.telemetry import json_line, plain_line


class MailLog:
    """The file; what cannot be written to it is still in the daemon's own log."""

    def __init__(self, path: Path, form: LogFormat, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """@raise OSError: it cannot be opened."""
        self._path = path
        self._json = form is LogFormat.JSON
        self._now = now
        self._descriptor = self._open()

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def write(self, name: str, fields: Mapping[str, object]) -> None:
        """One event, in one write, so that lines of several processes do not mix."""
        if self._descriptor < 0:
            return
        at = self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        line = json_line(name, {"at": at, **fields}) if self._json else f"{at} {plain_line(name, fields)}"
        try:
            os.write(self._descriptor, line.encode() + b"\n")
        except OSError:
            # A full disk stops the log, not the mail.
            return

    def reopen(self) -> None:
        """The file was moved away: go on in a new one.

        @raise OSError: it cannot be opened; then the old one stays in use.
        """
        fresh = self._open()
        self.close()
        self._descriptor = fresh

    def close(self) -> None:
        """Write no more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

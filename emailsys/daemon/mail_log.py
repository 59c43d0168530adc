"""The mail log of a running daemon: opened at the start, reopened at SIGHUP."""

from __future__ import annotations

from emailsys.config.settings import MonitoringSettings
from emailsys.monitoring.mail_log import MailLog
from emailsys.telemetry import Telemetry


class MailLogFile:
    """Sends events to the mail log of the configuration, if there is one. Mail goes on if it cannot be opened."""

    def __init__(self, settings: MonitoringSettings, telemetry: Telemetry) -> None:
        self._settings = settings
        self._telemetry = telemetry
        self._log: MailLog | None = None

    def reopen(self) -> None:
        """Open the file, for the first time or after it was renamed. If that fails, an old file stays in use."""
        path = self._settings.mail_log
        if path is None:
            return
        try:
            if self._log is not None:
                self._log.reopen()
            else:
                self._log = MailLog(path, self._settings.log_format)
                self._telemetry.also = self._log.write
        except OSError as error:
            # The daemon's own log has this event, and all others.
            self._telemetry.event("mail-log-refused", path=path, why=error.strerror)

    def close(self) -> None:
        """Close the file."""
        if self._log is not None:
            self._telemetry.also = None
            self._log.close()

"""The mail log of a running daemon: opened at the start, reopened at SIGHUP."""

from __future__ import annotations

from pathlib import Path

from emailsys.config.monitoring_settings import MonitoringSettings
from emailsys.monitoring.mail_log import MailLog
from emailsys.platforms.files import private_files
from emailsys.telemetry import Telemetry


class MailLogFile:
    """Sends events to the mail log of the configuration, if there is one. Mail goes on if it cannot be opened."""

    def __init__(self, settings: MonitoringSettings, telemetry: Telemetry) -> None:
        #: May be replaced before `reopen`.
        self.settings = settings
        self._telemetry = telemetry
        self._log: MailLog | None = None
        self._path: Path | None = None

    def reopen(self) -> None:
        """Open the file, for the first time or after it was renamed. If that fails, an old file stays in use."""
        path = self.settings.mail_log
        if path is None:
            self.close()
            return
        try:
            with private_files():
                if self._log is not None and path == self._path:
                    self._log.reopen()
                else:
                    # The former file is closed when the new one is open: no event is lost, and with an error, it stays.
                    opened = MailLog(path, self.settings.log_format)
                    self.close()
                    self._log, self._path = opened, path
                    self._telemetry.also = opened.write
        except OSError as error:
            # The daemon's own log has this event, and all others.
            self._telemetry.event("mail-log-refused", path=path, why=error.strerror)

    def close(self) -> None:
        """Close the file."""
        if self._log is not None:
            self._telemetry.also = None
            self._log.close()
            self._log = self._path = None

"""Log file of a daemon that twistd runs."""

from __future__ import annotations

import os
import signal
import sys
from typing import Final, TextIO, cast

from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.logfile import LogFile

from emailsys.config.monitoring_settings import MonitoringSettings
from emailsys.daemon.log_output import LogObserver, log_writer

# Octets, files. The log is on the disk of the store and nothing else rotates it, so the total is at most 160 MiB.
ROTATE_OCTETS: Final = 16 * 1024 * 1024
OLD_FILES: Final = 9


def open_log(path: str | None, settings: MonitoringSettings) -> LogObserver:
    """Open the log and return the observer that writes to it.

    @param path: the file, "-" or None for stdout. A new file begins at ROTATE_OCTETS, and at SIGUSR1 as with twistd,
        also if the file was moved before (Windows has no SIGUSR1). OLD_FILES older files are kept; path.1 is the newest
        of them.
    """
    if path is None or path == "-":
        return log_writer(sys.stdout, settings, sys.stdout.isatty())
    file = LogFile.fromFullPath(path, rotateLength=ROTATE_OCTETS, maxRotatedFiles=OLD_FILES)

    def rotate(signal_number: int, frame: object) -> None:
        # Imported here, because twistd installs the reactor after this module is loaded.
        from twisted.internet import reactor

        cast(IReactorFromThreads, reactor).callFromThread(_rotate, file)

    if sys.platform != "win32" and hasattr(signal, "SIGUSR1") and not signal.getsignal(signal.SIGUSR1):
        signal.signal(signal.SIGUSR1, rotate)
    out: TextIO = file
    return log_writer(out, settings)


def _rotate(file: LogFile) -> None:
    """Begin a new file. If another program moved the file, and perhaps put an empty one there, open that name again."""
    if os.path.exists(file.path) and os.path.getsize(file.path):
        file.rotate()
    else:
        # LogFile.rotate would do nothing without the file, and would rename the empty one.
        file.reopen()

"""Open the log of a daemon that twistd runs."""

from __future__ import annotations

import signal
import sys
from typing import TextIO, cast

from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.logfile import LogFile

from emailsys.telemetry import LogWriter


def open_log(path: str | None) -> LogWriter:
    """The observer that twistd logs to.

    @param path: the file, "-" or None for stdout. It is opened anew at 1 MB, and at SIGUSR1, as twistd does it.
    """
    if path is None or path == "-":
        return LogWriter(sys.stdout)
    file = LogFile.fromFullPath(path)

    def rotate(signal_number: int, frame: object) -> None:
        # Imported when it runs: twistd chooses the reactor after this module is loaded.
        from twisted.internet import reactor

        cast(IReactorFromThreads, reactor).callFromThread(file.rotate)

    if not signal.getsignal(signal.SIGUSR1):
        signal.signal(signal.SIGUSR1, rotate)
    out: TextIO = file
    return LogWriter(out)

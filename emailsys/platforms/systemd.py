"""Messages to the service manager that started the process, as systemd reads them (sd_notify(3))."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

# Seconds to wait for room in the manager's queue, which holds few datagrams.
_PATIENCE: Final = 0.5


class Systemd:
    """Tells the service manager what the process does. Without one, nothing is sent.

    @param environ: has NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID (sd_watchdog_enabled(3)).
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # A leading "@" stands for the abstract namespace of Linux.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        microseconds, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
        #: Seconds in which the manager expects to hear from the process; 0 if it does not watch.
        self.watchdog = 0.0
        if self._address and microseconds.isdigit() and pid in ("", str(os.getpid())):
            self.watchdog = int(microseconds) / 1e6

    @property
    def is_known(self) -> bool:
        """Whether there is a manager that wants to be told."""
        return bool(self._address)

    def ready(self, status: str) -> None:
        """The start or the reload is complete."""
        self._send(f"READY=1\nMAINPID={os.getpid()}\nSTATUS={_line(status)}")

    def reloading(self) -> None:
        """A reload begins. `ready` ends it."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The process begins to stop."""
        self._send("STOPPING=1\nSTATUS=finishing open connections")

    def hand_over(self, pid: int) -> None:
        """Another process is the service from now on."""
        self._send(f"MAINPID={pid}")

    def status(self, text: str) -> None:
        """Set the line that `systemctl status` shows."""
        self._send(f"STATUS={_line(text)}")

    def alive(self) -> None:
        """The reactor runs. If the manager does not hear this in time, it kills and restarts the process."""
        self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        # mypy for Windows, where sockets have no such family, must see that this is never reached.
        if sys.platform == "win32":
            return
        # A manager that is gone or busy must not stop mail.
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(_PATIENCE)
            sender.sendto(text.encode(), self._address)


def _line(text: str) -> str:
    return " ".join(text.split())

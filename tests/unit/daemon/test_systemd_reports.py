"""What systemd is told, over a real socket for datagrams."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from pathlib import Path
from unittest import SkipTest

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from emailsys.control.control_socket import HAS_CONTROL
from emailsys.daemon.systemd_reports import SystemdReports
from emailsys.platforms.systemd import Systemd

# Windows has no such sockets.
_UNIX: int = getattr(socket, "AF_UNIX", -1)


class SystemdReportsTests(SynchronousTestCase):
    def setUp(self) -> None:
        if not HAS_CONTROL:
            raise SkipTest("needs Unix")
        # The path of a socket is short.
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = str(Path(folder.name) / "notify")
        self.manager = self.bound(self.path)
        self.clock = Clock()
        self.problem: str | None = None

    def bound(self, address: str) -> socket.socket:
        manager = socket.socket(_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.bind(address)
        manager.setblocking(False)
        return manager

    def told(self, manager: socket.socket | None = None) -> list[str]:
        found = []
        try:
            while True:
                found.append((manager or self.manager).recv(4096).decode())
        except BlockingIOError:
            return found

    def reports(self, **environ: str) -> SystemdReports:
        reports = SystemdReports(self.clock, Systemd(environ), lambda: self.problem)
        reports.start()
        self.addCleanup(reports.stop)
        return reports

    def test_the_life_of_a_daemon(self) -> None:
        """Ready, a reload, a change of its condition, the end; each line is one that sd_notify(3) knows."""
        reports = self.reports(NOTIFY_SOCKET=self.path)
        ready = f"READY=1\nMAINPID={os.getpid()}\nSTATUS=accepting mail"
        self.assertEqual(self.told(), [ready])
        self.clock.advance(60)
        self.assertEqual(self.told(), [], "nothing has changed, and nobody watches")
        self.problem = "there is no store\nin /var"
        self.clock.advance(60)
        self.assertEqual(self.told(), ["STATUS=there is no store in /var"])
        self.problem = None
        reports.reloading()
        reports.ready()
        reloading, again = self.told()
        self.assertRegex(reloading, r"\ARELOADING=1\nMONOTONIC_USEC=\d+\Z")
        self.assertEqual(again, ready)
        reports.stop()
        self.assertEqual(self.told(), ["STOPPING=1\nSTATUS=finishing open connections"])

    def test_the_watchdog_is_fed_while_the_reactor_runs(self) -> None:
        """A third of its time after the other. If the clock of the reactor stands still, so do the reports."""
        reports = self.reports(NOTIFY_SOCKET=self.path, WATCHDOG_USEC="30000000", WATCHDOG_PID=str(os.getpid()))
        self.told()
        self.clock.pump([1.0] * 30)
        self.assertEqual(self.told(), ["WATCHDOG=1"] * 3)
        reports.stop(successor=4711)
        self.clock.pump([1.0] * 30)
        self.assertEqual(self.told(), ["MAINPID=4711"])

    def test_the_watchdog_of_another_process_is_left_to_it(self) -> None:
        self.reports(NOTIFY_SOCKET=self.path, WATCHDOG_USEC="30000000", WATCHDOG_PID="1")
        self.clock.pump([10.0] * 6)
        self.assertNotIn("WATCHDOG=1", self.told())

    def test_an_abstract_name(self) -> None:
        """systemd uses those in containers."""
        if not sys.platform.startswith("linux"):
            raise SkipTest("needs Linux")
        name = f"emailsys-{os.getpid()}-{id(self)}"
        manager = self.bound(f"\0{name}")
        self.reports(NOTIFY_SOCKET=f"@{name}")
        self.assertEqual(len(self.told(manager)), 1)

    def test_without_a_manager_or_with_one_that_is_gone_the_daemon_goes_on(self) -> None:
        self.reports()
        self.manager.close()
        Path(self.path).unlink()
        self.reports(NOTIFY_SOCKET=self.path, WATCHDOG_USEC="1000000")
        self.clock.pump([1.0] * 5)

"""The program that listens on a port is found, so that an operator need not search for it."""

from __future__ import annotations

import os
import socket
import sys
import unittest
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.platforms.listeners import listener_of


@unittest.skipUnless(sys.platform == "linux", "needs /proc of Linux")
class ListenerTests(SynchronousTestCase):
    def test_a_listener_is_found_at_its_address_and_at_one_that_includes_it(self) -> None:
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"), (socket.AF_INET, "0.0.0.0")):
            with socket.socket(family) as other:
                other.bind((host, 0))
                other.listen()
                port = other.getsockname()[1]
                own = Path("/proc/self/comm").read_text("utf-8").strip()
                for asked in (host, "0.0.0.0", "::"):
                    self.assertEqual(listener_of(asked, port), f"{own} (process {os.getpid()})")
                self.assertEqual(listener_of("127.0.0.2", port) != "", host == "0.0.0.0")
            self.assertEqual(listener_of(host, port), "")

    def test_a_kernel_without_ipv6_tells_the_listeners_too(self) -> None:
        """It has no /proc/net/tcp6."""
        proc = Path(self.mktemp())
        (proc / "net").mkdir(parents=True)
        (proc / str(os.getpid())).symlink_to("/proc/self")
        with socket.create_server(("127.0.0.1", 0)) as other:
            (proc / "net" / "tcp").write_bytes(Path("/proc/net/tcp").read_bytes())
            own = Path("/proc/self/comm").read_text("utf-8").strip()
            self.assertEqual(listener_of("127.0.0.1", other.getsockname()[1], proc), f"{own} (process {os.getpid()})")

    def test_without_proc_nothing_is_said(self) -> None:
        self.assertEqual(listener_of("127.0.0.1", 25, Path("/nowhere")), "")
        self.assertEqual(listener_of("localhost", 25), "")

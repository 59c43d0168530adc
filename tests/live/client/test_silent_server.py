"""A server that accepts connections and says nothing: Ctrl-C ends the verb that waits for it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.fakes.net.toy_server import ToyServer
from tests.live.programs.daemon import PATIENCE
from tests.live.programs.person import PROGRAM, Person


class SilentServerTests(SynchronousTestCase):
    """An account with that server for both protocols."""

    if sys.platform == "win32":
        skip = "Windows sends no signal to a process alone"

    def setUp(self) -> None:
        self.reached = threading.Event()
        self.server = ToyServer(self.wait)
        self.addCleanup(self.server.close)
        self.person = Person(Path(self.mktemp()).absolute())
        here = f"127.0.0.1:{self.server.port}"
        added = self.person.run(
            "account", "add", "alice@example.org", "--password-command", "echo x", "--no-network",
            "--pop3", here, "--pop3-security", "tls", "--smtp", here, "--smtp-security", "tls",
        )  # fmt: skip
        self.assertEqual(added.returncode, 0, added.stderr)

    def wait(self, connection: socket.socket) -> None:
        """Say nothing until the client is gone."""
        self.reached.set()
        while connection.recv(4096):
            continue

    def interrupted(self, *words: str) -> str:
        """Run a verb, press Ctrl-C when it waits for the server, and return its standard error."""
        self.reached.clear()
        process = subprocess.Popen(
            [*PROGRAM, "mail", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=self.person.environment,
            cwd=self.person.home,
        )
        self.addCleanup(process.kill)
        self.assertTrue(self.reached.wait(PATIENCE))
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=PATIENCE)[1].decode()
        self.assertEqual(process.returncode, 130, said)
        self.assertNotIn("Traceback", said)
        return said

    def test_ctrl_c_ends_the_test_of_an_account(self) -> None:
        self.interrupted("account", "test")

    def test_ctrl_c_ends_a_fetch(self) -> None:
        self.interrupted("fetch")

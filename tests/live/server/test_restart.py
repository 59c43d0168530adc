"""A restart that no client notices: under load, with a new process that cannot start, and as systemd sees it."""

from __future__ import annotations

import os
import re
import signal
import smtplib
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from twisted.trial.unittest import SynchronousTestCase

from emailsys.supervisor import holder_of
from tests.live.programs import messages
from tests.live.programs.daemon import PATIENCE, Daemon, User
from tests.live.programs.upgraded import Package
from tests.live.programs.wire import smtp
from tests.live.server.test_python_clients import reader
from tests.ports import free_ports

_RESTARTS = 20
# Each fourth restart is an upgrade of the package.
_UPGRADE_EACH = 4
# Seconds between two clients of the load: most of the test's time belongs to the restarts.
_PAUSE = 0.1
# Windows has no such sockets.
_UNIX: int = getattr(socket, "AF_UNIX", -1)
# Binds the port PORT as descriptor 3, as systemd does for a socket unit, and becomes the daemon.
_ACTIVATE = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="smtp")
os.execv(sys.argv[1], sys.argv[1:])
"""


class HasPorts(Protocol):
    """A daemon, or a balancer before several."""

    ports: dict[str, int]


class Load:
    """Clients that send and connect until they are stopped, and what went wrong for them."""

    def __init__(self, daemon: HasPorts, recipient: User) -> None:
        self._daemon, self._recipient = daemon, recipient
        self._stopping = threading.Event()
        #: The digests of the messages that were answered with 250, and what clients heard besides.
        self.accepted: list[bytes] = []
        self.heard: Counter[str] = Counter()
        work = [self._knock, *[self._send] * 3]
        self.threads = [threading.Thread(target=one, args=(number,)) for number, one in enumerate(work)]
        for thread in self.threads:
            thread.start()

    def _knock(self, number: int) -> None:
        while not self._stopping.wait(_PAUSE):
            for service in ("smtp", "pop3"):
                try:
                    with socket.create_connection(("127.0.0.1", self._daemon.ports[service]), PATIENCE) as connection:
                        self.heard[connection.recv(100)[:3].decode() or "hung up"] += 1
                except OSError as error:
                    self.heard[str(error)] += 1

    def _send(self, number: int) -> None:
        sent = 0
        while not self._stopping.wait(_PAUSE):
            try:
                with smtplib.SMTP("127.0.0.1", self._daemon.ports["smtp"], timeout=PATIENCE) as client:
                    for _ in range(3):
                        sent += 1
                        text = messages.plain("a@example.org", self._recipient.address, f"load-{number}-{sent}")
                        client.sendmail("a@example.org", [self._recipient.address], text)
                        self.accepted.append(digest_of(text))
            except (OSError, smtplib.SMTPException) as error:
                self.heard[str(error)] += 1

    def stop(self) -> None:
        self._stopping.set()
        for thread in self.threads:
            thread.join()


def digest_of(text: bytes) -> bytes:
    """Return the digest of the body and the subject, which is another one for each message."""
    head, _, body = text.partition(b"\r\n\r\n")
    subject = next(line for line in head.split(b"\r\n") if line.startswith(b"Subject:"))
    return sha256(subject + body.rstrip()).digest()


class RestartTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="emailsys-live-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def started(self, daemon: Daemon, program: Sequence[str] | None = None) -> Daemon:
        self.addCleanup(daemon.stop_successor)
        daemon.start(program)
        return daemon

    def test_restarts_and_upgrades_under_load_refuse_nobody_and_lose_nothing(self) -> None:
        """No connection fails or gets 421. A message begun before a restart is finished after it.

        A package that cannot be imported changes nothing.
        """
        package = Package(self.folder / "package")
        environment = package.environment(Path(__file__).resolve().parents[3])
        daemon = Daemon(folder=self.folder, environment=environment)
        self.started(daemon)
        bob = daemon.user()
        processes, versions, damaged = [daemon.pid], [package.version], ""
        finished: list[bytes] = []
        load = Load(daemon, bob)
        try:
            for number in range(1, 1 + _RESTARTS):
                is_upgrade = number % _UPGRADE_EACH == 0
                if number == _UPGRADE_EACH:
                    before = len(daemon.log)
                    package.install("broken", "raise ImportError('a damaged package')")
                    self.assertEqual(daemon.restart()["pid"], processes[-1], "the former one goes on")
                    damaged = daemon.log[before:]
                if is_upgrade:
                    package.install(f"1.0.{number}")
                text = messages.plain("a@example.org", bob.address, f"slow-{number}")
                with smtp(daemon) as slow:
                    slow.code(b"MAIL FROM:<a@example.org>")
                    slow.code(f"RCPT TO:<{bob.address}>".encode())
                    slow.code(b"DATA")
                    slow.say(text[:100])
                    outcome = daemon.restart()
                    self.assertIsNone(outcome["problem"], daemon.log)
                    slow.say(text[100:].replace(b"\r\n.", b"\r\n..") + b".\r\n")
                    self.assertTrue(slow.reply().startswith(b"250"))
                finished.append(digest_of(text))
                processes.append(outcome["pid"])
                versions.append(package.version)
        finally:
            load.stop()
        self.assertEqual(set(load.heard), {"220", "+OK"}, load.heard)
        self.assertEqual(daemon.wait(), 0, "the first process has ended")
        session = reader(daemon, bob)
        found = Counter(digest_of(b"\r\n".join(session.retr(number)[1])) for number in range(1, session.stat()[0] + 1))
        session.quit()
        self.assertEqual(found, Counter([*load.accepted, *finished]))
        log = daemon.log
        started = [(int(pid), version) for pid, version in re.findall(r"started pid=([0-9]+) version=(\S+)", log)]
        self.assertEqual(started, list(zip(processes, versions, strict=True)))
        self.assertEqual(log.count("Traceback"), damaged.count("Traceback"))

    def test_a_new_process_that_cannot_start_changes_nothing(self) -> None:
        """The former one goes on, and says why. Its sessions notice nothing. The next restart succeeds."""
        daemon = self.started(Daemon(folder=self.folder))
        right = daemon.config_path.read_text()
        with smtp(daemon) as open_before:
            daemon.config_path.write_text(right.replace('hostname = "localhost"', "hostname = 1"))
            outcome = daemon.restart()
            self.assertEqual(outcome["pid"], daemon.pid)
            self.assertIn("hostname: found 1", outcome["problem"])
            self.assertIn("restart-failed", daemon.log)
            self.assertEqual(open_before.code(b"NOOP"), 250)
        with smtp(daemon) as wire:
            self.assertEqual(wire.code(b"NOOP"), 250)
        self.assertEqual(holder_of(daemon.state), daemon.pid)
        daemon.config_path.write_text(right)
        self.assertNotEqual(daemon.restart()["pid"], daemon.pid)
        self.assertEqual(daemon.log.count("command=restart"), 1, "the event operator-change")

    def test_under_systemd(self) -> None:
        """The daemon takes the socket of a unit, and tells the manager each step and the process that took over."""
        [port] = free_ports(1)
        manager = socket.socket(_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(manager.close)
        manager.bind(str(self.folder / "notify"))
        environment = {"PORT": str(port), "NOTIFY_SOCKET": str(self.folder / "notify"), "WATCHDOG_USEC": "600000"}
        wrapper = (sys.executable, "-c", _ACTIVATE)
        daemon = Daemon(folder=self.folder, wrapper=wrapper, environment=environment)
        daemon.write_config()
        daemon.ports["smtp"] = port

        told: list[str] = []

        def listen() -> None:
            while text := manager.recv(4096).decode():
                told.append(text)

        thread = threading.Thread(target=listen)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(socket.socket(_UNIX, socket.SOCK_DGRAM).sendto, b"", manager.getsockname())

        def until(start: str) -> str:
            """Return the next message that begins with this."""
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                while told:
                    if (text := told.pop(0)).startswith(start):
                        return text
                time.sleep(0.01)
            raise AssertionError(f"systemd was not told {start}:\n{daemon.log}")

        self.started(daemon)
        self.assertIn(f"MAINPID={daemon.pid}\n", until("READY=1"))
        until("WATCHDOG=1")
        daemon.signal(signal.Signals["SIGHUP"])
        self.assertIn("MONOTONIC_USEC=", until("RELOADING=1"))
        until("READY=1")
        outcome = daemon.restart()
        self.assertEqual(until("MAINPID="), f"MAINPID={outcome['pid']}")
        until("WATCHDOG=1")
        with smtp(daemon) as wire:
            self.assertEqual(wire.code(b"NOOP"), 250)
        os.kill(outcome["pid"], signal.SIGTERM)
        until("STOPPING=1")

"""The daemon process of `try` and `lab`."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from types import FrameType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from emailsys.cli.tryout.daemon_process import RunningDaemon


class _Ended(Exception):
    """Raised by the handler of a signal, as `try` and `lab` do."""


class _Process:
    """A process that ends when it is told to."""

    pid = 4711

    def __init__(self) -> None:
        self.told: list[str] = []

    def terminate(self) -> None:
        self.told.append("terminate")

    def wait(self, timeout: float | None = None) -> int:
        return 0


class StartTests(SynchronousTestCase):
    """A signal in the moment of the start."""

    def test_a_signal_during_the_start_of_the_process_leaves_no_daemon(self) -> None:
        """The exception comes after the process is known, so that `stop` finds it."""
        folder = Path(self.mktemp())
        folder.mkdir()
        process = _Process()

        def popen(*arguments: Any, **options: Any) -> _Process:
            signal.raise_signal(signal.SIGTERM)
            return process

        def end(number: int, frame: FrameType | None) -> None:
            raise _Ended

        self.patch(subprocess, "Popen", popen)
        former = signal.signal(signal.SIGTERM, end)
        self.addCleanup(signal.signal, signal.SIGTERM, former)
        daemon = RunningDaemon(folder, folder / "emailsys.toml", folder / "daemon.log")
        self.assertRaises(_Ended, daemon.start)
        daemon.stop()
        self.assertEqual(process.told, ["terminate"])
        self.assertIs(signal.getsignal(signal.SIGTERM), end)

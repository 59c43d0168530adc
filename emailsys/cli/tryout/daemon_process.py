"""A daemon in a process of its own, which `try` starts, asks and ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from emailsys.cli.options import Refused
from emailsys.config.exit_status import Exit
from emailsys.ops.control import ControlFailed, NoDaemon, ask
from emailsys.ops.requests import Request, Status

# Seconds: a start takes half of one; the rest is for slow machines.
START_PATIENCE: Final = 30.0
# Longer than the daemon's own bound for draining.
STOP_PATIENCE: Final = 15.0
_POLL: Final = 0.02


class RunningDaemon:
    """The daemon of a state folder.

    @param log: the file its log is appended to.
    """

    def __init__(self, folder: Path, config: Path, log: Path) -> None:
        self._folder = folder
        self._config = config
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process; 0 before the start."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start it and return when it serves.

        @raise Refused: it does not start; the message is its own.
        """
        command = [sys.executable, "-m", "emailsys", "serve", "--state", str(self._folder)]
        begin = self._log.stat().st_size if self._log.exists() else 0
        with open(os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as log:
            # A session of its own: Ctrl-C at the terminal comes to us alone, and we end the daemon in order.
            self._process = subprocess.Popen(  # noqa: S603 (our own program)
                [*command, "--config", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_PATIENCE
        while not self._serves():
            status = self._process.poll()
            if status is not None:
                said = self._log.read_bytes()[begin:].decode("utf-8", "replace").strip().splitlines()
                reason = said[-1] if said else f"it ended with status {status}"
                known = status in set(Exit) and status != 0
                raise Refused(f"the daemon does not start: {reason}", Exit(status) if known else Exit.SOFTWARE)
            if time.monotonic() > deadline:
                raise Refused(
                    f"the daemon does not answer within {START_PATIENCE:g} s; see {self._log}", Exit.UNAVAILABLE
                )
            time.sleep(_POLL)

    def _serves(self) -> bool:
        try:
            return bool(ask(self._folder, Status(), 5.0).get("result", {}).get("pid") == self.pid)
        except (NoDaemon, ControlFailed):
            return False

    def ask(self, request: Request) -> Any:
        """Ask it for something.

        @raise Refused: it says no.
        """
        try:
            answer = ask(self._folder, request)
        except (NoDaemon, ControlFailed) as error:
            raise Refused(str(error), Exit.UNAVAILABLE) from None
        if "error" in answer:
            raise Refused(str(answer["error"]["message"]))
        return answer["result"]

    def wait(self) -> int:
        """Wait for its end; the exit status."""
        assert self._process is not None
        return self._process.wait()

    def stop(self) -> None:
        """Ask it to end, and wait; a daemon that does not is killed."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

"""The daemon process that `try` and `lab` start, send requests to and stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

from emailsys.cli.options import Refused
from emailsys.config.exit_status import Exit
from emailsys.config.given import without_variables
from emailsys.config.server_keys import TOP
from emailsys.control.control_socket import ControlFailed, NoDaemon, ask
from emailsys.control.requests import Request, Status
from emailsys.platforms.signals import ENDING, handled

# Seconds. A start takes half a second; the rest is for slow machines.
START_PATIENCE: Final = 30.0
# Seconds; longer than the daemon may take to drain.
STOP_PATIENCE: Final = 15.0
_POLL: Final = 0.02


class RunningDaemon:
    """The daemon of a state folder.

    @param log: the file to which its log is appended.
    """

    def __init__(self, folder: Path, config: Path, log: Path) -> None:
        self._folder = folder
        self._config = config
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; 0 before the start."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> None:
        """Start the daemon and return when it serves.

        @raise Refused: it does not start; the message is the last line of its log.
        """
        command = [sys.executable, "-m", "emailsys", "serve", "--state", str(self._folder)]
        begin = self._log.stat().st_size if self._log.exists() else 0
        # An exception of a signal handler between the start of the process and the assignment would leave it running.
        with (
            open(os.open(self._log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as log,
            _signals_postponed(),
        ):
            # In a new session, Ctrl-C at the terminal reaches only this process, which stops the daemon gracefully.
            self._process = subprocess.Popen(  # noqa: S603 (our own program)
                [*command, "--config", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # The configuration is written for this daemon: variables that are meant for another would change it.
                env=without_variables(os.environ, TOP),
            )
        deadline = time.monotonic() + START_PATIENCE
        while not self._serves():
            status = self._process.poll()
            if status is not None:
                said = self._log.read_bytes()[begin:].decode("utf-8", "replace").strip().splitlines()
                reason = said[-1] if said else f"it exited with status {status}"
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
        """Send a request and return its result.

        @raise Refused: the daemon does not answer, or refuses.
        """
        try:
            answer = ask(self._folder, request)
        except (NoDaemon, ControlFailed) as error:
            raise Refused(str(error), Exit.UNAVAILABLE) from None
        if "error" in answer:
            raise Refused(str(answer["error"]["message"]))
        return answer["result"]

    def wait(self) -> int:
        """Wait for the daemon to exit; return its exit status."""
        assert self._process is not None
        return self._process.wait()

    def end(self) -> None:
        """Request the daemon to stop, without a wait."""
        if self._process is not None:
            self._process.terminate()

    def stop(self) -> None:
        """Stop the daemon and wait; kill it after STOP_PATIENCE."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def _signals_postponed() -> Iterator[None]:
    """Postpones Ctrl-C and requests to end until the end of the block. Only the main thread gets signals."""
    arrived: list[int] = []

    def postpone(number: int, frame: FrameType | None) -> None:
        arrived.append(number)

    try:
        with handled(("SIGINT", *ENDING), postpone):
            yield
    finally:
        for number in arrived[:1]:
            signal.raise_signal(number)

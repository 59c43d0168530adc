"""Restart without a gap: the running daemon starts its successor, which inherits the listening sockets (decision 0033).

Both processes serve for a moment. Then this one stops accepting, finishes what is in progress, and ends.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from twisted.internet.threads import deferToThread

from emailsys.daemon.resources import OpenedResources
from emailsys.supervisor import BEGIN, TAKE_OVER, TOO_LATE, Inheritance
from emailsys.telemetry import Telemetry

# Seconds that a successor gets to serve. It imports everything, reads its configuration and opens the store.
START_SECONDS: Final = 90.0
# Seconds after which the successor gets SIGKILL if it did not serve in time and ignores SIGTERM.
_END_SECONDS: Final = 5.0
# Seconds in which a report is still read that arrived at the last moment.
_LAST_LOOK: Final = 0.001
# The longest report that is read: the problems of a configuration.
_MAX_REPORT_OCTETS: Final = 1 << 20
_INIT: Final = 1
_STOPPING: Final = "this process is being stopped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a restart: the process that serves now, or why the former one goes on."""

    pid: int
    problem: str | None = None

    @property
    def is_done(self) -> bool:
        """Whether another process serves now."""
        return self.problem is None

    def as_json(self) -> Mapping[str, Any]:
        """Return the answer of the command `restart`."""
        return {"pid": self.pid, "problem": self.problem}


class Succession:
    """Starts the successor of this process.

    @param opened: the sockets and the lock that it inherits.
    @param state: the state folder. It would choose another one by default, because it does not begin as root.
    @param hand_over: called when the successor serves. Ends this process in order.
    @param seconds: that the successor gets to serve.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        opened: OpenedResources,
        state: Path,
        hand_over: Callable[[int], None],
        seconds: float = START_SECONDS,
    ) -> None:
        self._telemetry = telemetry
        self._opened = opened
        self._state = state
        self._hand_over = hand_over
        self._seconds = seconds
        self._is_stopping = False
        self._process: subprocess.Popen[bytes] | None = None
        # The channel to a successor that waits before it reads its configuration.
        self._held: socket.socket | None = None
        #: Options of twistd, in which the name of its pid file is; None without twistd.
        self.twistd: MutableMapping[str, Any] | None = None
        #: The pid file that this process writes when it succeeds another; "" without one.
        self.pid_file = ""
        #: Why this process is never replaced; "" if it may be.
        self.why_never = ""
        #: Whether another process serves, to which everything in the state folder belongs.
        self.is_complete = False
        #: Whether sessions of this process must end soon, because it can no longer commit.
        self.is_urgent = False

    def _why_not(self) -> str | None:
        if self.why_never:
            return self.why_never
        if self._is_stopping:
            return _STOPPING
        if (self._process is not None and self._held is None) or self.is_complete:
            return "a restart is in progress already"
        if os.getpid() == _INIT:
            return "process 1 of a container cannot be replaced: restart the container"
        return None

    async def hold(self) -> str | None:
        """Start a successor that waits for `begin` before it reads its configuration. Returns why there is none."""
        if (why := self._why_not()) is not None or self._held is not None:
            return why
        try:
            self._process, report = self._start(is_held=True)
        except OSError as error:
            return f"the new process cannot be started: {error.strerror}"
        told = await deferToThread(_read_report, report, self._seconds)
        if "loaded" in told and not self._is_stopping:
            self._held = report
            return None
        report.close()
        await self._end_process()
        return str(told.get("problem", "the new process ended before it was needed; see the log"))

    async def release(self) -> None:
        """End the successor that waits, if there is one."""
        if self._held is not None:
            self._held.close()
            self._held = None
            await self._end_process()

    async def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            await deferToThread(process.wait)

    async def begin(self) -> Outcome:
        """Start the successor, or let the one begin that waits, and wait until it serves or has failed."""
        own = os.getpid()
        if (why := self._why_not()) is not None:
            return Outcome(own, why)
        self._telemetry.event("restarting")
        held, self._held = self._held, None
        try:
            if held is None or self._process is None:
                self._process, report = self._start()
            else:
                report, self.is_urgent = held, True
                report.sendall(BEGIN)
        except OSError as error:
            outcome = Outcome(own, f"the new process cannot be started: {error.strerror}")
            self._process = None
        else:
            problem = await deferToThread(wait_for, self._process, report, self._seconds)
            if self._is_stopping:
                problem = _STOPPING
            outcome = Outcome(own if problem is not None else self._process.pid, problem)
            self._process = None
        if outcome.problem is not None:
            self._telemetry.alarm("restart-failed", why=outcome.problem)
        else:
            self.is_complete = self._opened.lock.is_handed_over = True
            if self.twistd is not None:
                # At its end, twistd removes the file. It belongs to the successor now.
                self.twistd["pidfile"] = ""
            self._telemetry.event("handed-over", pid=outcome.pid)
            self._hand_over(outcome.pid)
        return outcome

    def take_over(self, announce: Callable[[], None]) -> bool:
        """Take everything in the state folder from the predecessor, if there is one. Returns whether to serve.

        If the predecessor has given up this process, it keeps everything.

        @param announce: writes the files that tell where the daemon listens.
        """
        if (predecessor := self._opened.predecessor) is None:
            announce()
            return True
        if may := predecessor.ready():
            self._opened.lock.write_pid()
            if self.pid_file and self.twistd is not None:
                # As twistd does for a daemon without a predecessor.
                Path(self.pid_file).write_text(f"{os.getpid()}", "ascii")
                self.twistd["pidfile"] = self.pid_file
            announce()
        else:
            self.is_complete = True
        predecessor.finish()
        return may

    def abandon(self) -> None:
        """End a successor that does not serve yet, and start none: this process is being stopped."""
        self._is_stopping = True
        if self._process is not None:
            self._process.terminate()

    def _start(self, is_held: bool = False) -> tuple[subprocess.Popen[bytes], socket.socket]:
        opened = self._opened
        ours, theirs = socket.socketpair()
        try:
            inheritance = Inheritance(
                opened.lock.descriptor,
                None if opened.control is None else opened.control.fileno(),
                theirs.fileno(),
                [(one.service, one.socket.fileno(), one.is_activated) for one in opened.listeners],
                is_held,
            )
            # The same command as for this process. After an upgrade of the package, it runs the new code.
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, *sys.orig_argv[1:]],
                env={**inheritance.variables(os.environ), "EMAILSYS_STATE": str(self._state)},
                pass_fds=inheritance.descriptors(),
                stdin=subprocess.DEVNULL,
            )
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        return process, ours


def wait_for(process: subprocess.Popen[bytes], report: socket.socket, seconds: float) -> str | None:
    """Wait until the successor has taken over. Returns why it has not, or None. A process that failed has ended then.

    The successor takes over only after it has read the answer: it never begins when this process has given it up.
    """
    with report:
        told = _read_report(report, seconds)
        with suppress(OSError):
            report.sendall(TAKE_OVER if "ready" in told else TOO_LATE)
        if "ready" in told:
            # It closes its end when it has taken over.
            report.settimeout(_END_SECONDS)
            with suppress(OSError):
                report.recv(1)
            return None
    process.terminate()
    try:
        status = process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        status = process.wait()
    return str(told.get("problem", f"the new process ended with status {status} before it served; see the log"))


def _read_report(report: socket.socket, seconds: float) -> Mapping[str, Any]:
    """Read the line that a successor reports. Empty if it ends without one."""
    octets, until = b"", time.monotonic() + seconds
    while not octets.endswith(b"\n") and len(octets) < _MAX_REPORT_OCTETS:
        # Even after the last second, what has arrived already is read: the timeout may not be 0.
        report.settimeout(max(_LAST_LOOK, until - time.monotonic()))
        try:
            piece = report.recv(65536)
        except TimeoutError:
            return {"problem": f"the new process did not serve within {seconds:.0f} seconds"}
        except OSError:
            return {}
        if not piece:
            return {}
        octets += piece
    try:
        told: Mapping[str, Any] = json.loads(octets)
    except ValueError:
        return {}
    return told

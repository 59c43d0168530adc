"""Commands of an operator: run in a process group of their own, and ended with all that they started."""

from __future__ import annotations

import os
import secrets
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Final

from emailsys.platforms.users import Identity, identity_of

# Octets of output that are kept, and after which a command is ended.
_KEPT: Final = 64 * 1024
_MAX_OUTPUT: Final = 1024 * 1024
# Seconds between two looks at a command where the system has no descriptors for processes.
_LOOK: Final = 0.05
# Marks the processes of a run: a process may leave its group, and then this variable shows whose it is.
_MARK: Final = "EMAILSYS_RUN"
# Times that the processes are looked through. One that starts others all the time has more chances than this to end.
_MOST_LOOKS: Final = 5
# prctl(2): no capability passes to programs that this thread starts.
_PR_CAP_AMBIENT: Final = 47
_PR_CAP_AMBIENT_CLEAR_ALL: Final = 4


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended.

    @ivar status: its exit status, negative for a signal.
    @ivar why: why it was ended: "time", "output" or "stop"; "" if it ended by itself.
    @ivar output: the beginning of what it wrote.
    """

    status: int
    why: str
    output: bytes


class Command:
    """One run of a command."""

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], user: str, message: IO[bytes], time_limit: float
    ) -> None:
        """@param user: the user that runs it; "" for the user of this process, which must not be root then.
        @param message: the standard input. `run` closes it.
        """
        self._arguments = arguments
        self._mark = secrets.token_hex(16)
        self._environment = {**environment, _MARK: self._mark}
        self._user = user
        self._message = message
        self._time_limit = time_limit
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ended = False
        # Held while the process starts, and while its number may become that of another process.
        self._lock = threading.Lock()
        self._output = bytearray()
        self._written = 0

    def run(self) -> Ended:
        """Run the command. Blocks until it and all that it started have ended: call it in a thread of its own.

        @raise OSError: it cannot be run; the text says why.
        """
        with self._message:
            process = self._start()
        assert process.stdout is not None
        with process.stdout as output:
            why = self._watch(process.pid, output.fileno())
            if not why:
                self._read(output.fileno())
            with self._lock:
                self._kill()
                status = process.wait()
                self._process = None
        _end_marked(f"{_MARK}={self._mark}".encode())
        _reap(process.pid)
        return Ended(status, why, bytes(self._output))

    def _start(self) -> subprocess.Popen[bytes]:
        if sys.platform == "win32":
            raise OSError("commands can be run on Unix only")
        identity = self._identity()
        _drop_capabilities()
        with self._lock:
            self._process = subprocess.Popen(  # noqa: S603 (the command of the operator, without a shell)
                self._arguments,
                stdin=self._message,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                cwd="/",
                env=self._environment,
                user=None if identity is None else identity.uid,
                group=None if identity is None else identity.gid,
                extra_groups=None if identity is None else [],
                umask=0o077,
                start_new_session=True,
            )
            return self._process

    def _identity(self) -> Identity | None:
        """Return the user to become, None if this process already is that user."""
        if sys.platform == "win32":
            return None
        try:
            identity = identity_of(self._user, None) if self._user else None
        except KeyError:
            raise OSError(f"there is no user {self._user}") from None
        uid = os.geteuid() if identity is None else identity.uid
        if uid == 0:
            raise OSError("commands never run as root: set the user of the route")
        if uid == os.geteuid():
            return None
        if os.geteuid() != 0:
            raise OSError(f"the daemon is not root, and cannot run it as {self._user}")
        return identity

    def _watch(self, pid: int, output: int) -> str:
        """Wait until the command ends; return why it has to be ended, "" if it has ended by itself."""
        if sys.platform == "win32":
            return ""
        os.set_blocking(output, False)
        deadline = time.monotonic() + self._time_limit
        waiting = select.poll()
        waiting.register(output, select.POLLIN)
        descriptor = _descriptor(pid)
        if descriptor is not None:
            waiting.register(descriptor, select.POLLIN)
        try:
            while not self._is_ended:
                left = deadline - time.monotonic()
                if left <= 0:
                    return "time"
                wait = left if descriptor is not None else min(left, _LOOK)
                ready = {number for number, _ in waiting.poll(wait * 1000 + 1)}
                if output in ready and not self._read(output):
                    waiting.unregister(output)
                if self._written > _MAX_OUTPUT:
                    return "output"
                if descriptor in ready or (descriptor is None and self._has_exited()):
                    return ""
            return "stop"
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def _has_exited(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None

    def _read(self, output: int) -> bool:
        """Read what the command has written so far. Return whether more may come."""
        while self._written <= _MAX_OUTPUT:
            try:
                piece = os.read(output, 65536)
            except BlockingIOError:
                return True
            if not piece:
                return False
            self._written += len(piece)
            self._output += piece[: max(0, _KEPT - len(self._output))]
        return True

    def end(self) -> None:
        """End the command, from any thread. It returns at once."""
        self._is_ended = True
        # The thread that starts or ends the process holds the lock, and looks at `_is_ended` itself.
        if self._lock.acquire(blocking=False):
            try:
                self._kill()
            finally:
                self._lock.release()

    def _kill(self) -> None:
        if sys.platform != "win32" and self._process is not None:
            with suppress(OSError):
                os.killpg(self._process.pid, 9)


def _descriptor(pid: int) -> int | None:
    """Return a descriptor of a process, that is readable when it has ended; None if the system has none."""
    if sys.platform == "linux":
        with suppress(OSError):
            return os.pidfd_open(pid)
    return None


def _end_marked(mark: bytes) -> None:
    """End the processes that have this variable in the environment that they began with, where the system shows it."""
    for _ in range(_MOST_LOOKS):
        if not [number for number in _process_numbers() if _end_if_marked(number, mark)]:
            return


def _process_numbers() -> list[int]:
    """Return the numbers of all processes; none where the system does not show them as files."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()] if sys.platform == "linux" else []


def _end_if_marked(number: int, mark: bytes) -> bool:
    """End a process if it has the variable. Return whether it is to be looked at once more."""
    if sys.platform != "linux":
        return False
    # The descriptor stays that of one process. Its number may become that of another while its environment is read.
    with suppress(OSError):
        descriptor = os.pidfd_open(number)
        try:
            with open(f"/proc/{number}/environ", "rb") as environ:
                variables = environ.read().split(b"\0")
            if mark in variables:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                return True
            # While a process becomes another program, it shows none. Threads of the kernel have no program.
            return variables == [b""] and bool(os.readlink(f"/proc/{number}/exe"))
        finally:
            os.close(descriptor)
    return False


def _drop_capabilities() -> None:
    """Let no capability pass to programs that this thread starts, such as the one to listen on port 25."""
    if sys.platform == "linux":
        # Imported here: few systems run commands.
        import ctypes

        _ = ctypes.CDLL(None).prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)


def _reap(group: int) -> None:
    """Take the exit statuses of a group of ended processes, which are children of this one if it is process 1."""
    if sys.platform != "win32" and os.getpid() == 1:
        with suppress(ChildProcessError):
            while True:
                _ = os.waitpid(-group, 0)

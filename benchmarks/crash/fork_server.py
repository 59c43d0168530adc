"""Fork server: a process that has imported the daemon once, and is forked for each daemon that a harness starts.

    python -m benchmarks.crash.fork_server      # reads requests from stdin; see ForkServer

A daemon needs most of its start for imports. A harness that starts thousands of them, one after the other, saves four
fifths of the time in this way. Each child runs the console program as the installed command does, with a reactor, an
environment and a shim of its own.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import json
import os
import pkgutil
import random
import select
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn

import emailsys
from emailsys.cli.main import main as run_program
from emailsys.daemon import install_reactor
from emailsys.upstream import end_process

# A daemon imports none of these, or only for another system.
_LEFT_OUT: Final = (
    "emailsys.cli.",
    "emailsys.client",
    "emailsys.lab",
    "emailsys.store.schema.migrations",
    "emailsys.web",
)
_BESIDE: Final = ("alembic.command", "emailsys.cli.commands.serve", "sqlalchemy.dialects.sqlite")


class Forked:
    """A child of the fork server."""

    def __init__(self, pid: int, answers: Any) -> None:
        self.pid = pid
        self._answers = answers
        self._status: int | None = None

    def poll(self) -> int | None:
        """The exit status if it has ended."""
        with suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; its exit status, negative if a signal ended it.

        @raise TimeoutExpired: it has not ended.
        """
        if self._status is None:
            if not select.select([self._answers], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
            self._status = int(self._answers.readline())
        return self._status

    def send_signal(self, sig: int, /) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, sig)


class ForkServer:
    """The harness's end. The server runs one child at a time.

    @param shim: the library that the children are to be started with; `Disk.library`.
    """

    def __init__(self, shim: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # The answers are read without a buffer, which `select` would not see.
            bufsize=0,
            env={**os.environ, "LD_PRELOAD": str(shim)},
        )
        atexit.register(self.close)

    def start(self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path) -> Forked:
        """Start the console program. The child before must have ended.

        @param environment: added to that of the harness.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        words = (list(arguments), str(folder), dict(environment), str(log))
        self._process.stdin.write(json.dumps(words).encode() + b"\n")
        return Forked(int(self._process.stdout.readline()), self._process.stdout)

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def _import_daemon() -> None:
    for found in pkgutil.walk_packages(emailsys.__path__, "emailsys."):
        if not found.name.startswith(_LEFT_OUT):
            # Some are for other systems.
            with suppress(ImportError):
                import_module(found.name)
    for name in _BESIDE:
        import_module(name)


def _run(arguments: list[str], folder: str, environment: dict[str, str], log: str) -> NoReturn:
    """Become what the harness wants to start."""
    status: Any = 1
    try:
        null, output = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_APPEND)
        for descriptor, standard in ((null, 0), (output, 1), (output, 2)):
            os.dup2(descriptor, standard)
        os.close(null)
        os.close(output)
        os.chdir(folder)
        os.environ.update(environment)
        ctypes.CDLL(environment["LD_PRELOAD"]).disk_begin()
        random.seed()
        # The poller and the pipe that wakes the reactor are shared with the server until they are made again.
        sys.modules["twisted.internet.reactor"].__init__()  # type: ignore[misc]
        run_program(arguments)
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        end_process(status if isinstance(status, int) else status is not None)


def main() -> None:
    """Serve until stdin ends."""
    if sys.platform == "win32":
        raise RuntimeError("needs Unix")
    install_reactor()
    _import_daemon()
    # No collection touches the imported objects: each child would copy their pages.
    gc.collect()
    gc.freeze()
    for line in sys.stdin.buffer:
        pid = os.fork()
        if not pid:
            _run(*json.loads(line))
        for number in (pid, None):
            if number is None:
                number = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()

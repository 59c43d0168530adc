"""Programs that open links and files: the user's browser, and the program that the system has for a file."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import IO, Final

from emailsys.client.base.ctrl_c import ctrl_c_left_to_child
from emailsys.client.opening.values import OpeningError
from emailsys.client.text.terminal import safe_line

# Browsers that need the terminal.
_ON_TERMINAL: Final = frozenset({"lynx", "w3m", "links", "links2", "elinks", "browsh", "carbonyl"})
# Characters that a shell does not take as they are.
_FOR_SHELL: Final = re.compile(r"[^\w@%+=:,./-]", re.ASCII)
# Seconds in which a program that cannot do its work is expected to fail.
_FAILS_WITHIN: Final = 1.0
# Octets of the output of a command that failed, which are shown.
_MAX_REASON: Final = 500
# Octets that a command may print.
_MAX_OUTPUT: Final = 200_000_000
# Seconds between two looks at a command that runs.
_LOOKS_EVERY: Final = 0.2
# Seconds without output, after a command has ended, that show that all of it was read; and how often they are waited.
_DRAINED_WITHIN: Final = 0.5
_MAX_WAITS: Final = 10


@dataclass(frozen=True, slots=True)
class Program:
    """A command that opens a target. It needs the terminal if it is a browser for text.

    @ivar is_target: whether the command is the target alone, which Windows opens by the program that it has for it.
    """

    command: tuple[str, ...]
    needs_terminal: bool = False
    is_target: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits that end a command.

    @ivar seconds: the time it may take.
    @ivar octets: what it may print.
    @ivar is_over: set if the output is no longer needed.
    """

    seconds: float
    octets: int
    is_over: Event


def for_link(target: str) -> Program:
    """Return the command that opens a link or an HTML file: $BROWSER, or else the system's.

    @param target: a checked link or an absolute path, so that it cannot be taken for an option.
    """
    for choice in filter(None, os.environ.get("BROWSER", "").split(os.pathsep)):
        try:
            words = shlex.split(choice)
        except ValueError:
            continue
        # A word with blanks around "%s" is a command for a shell, which would run what the target says.
        is_command = any("%s" in word and len(word.split()) > 1 for word in words)
        if words and shutil.which(words[0]) and not (is_command and _FOR_SHELL.search(target)):
            # "%s" stands for the target, as in $BROWSER of other programs. There is no shell.
            has_place = any("%s" in word for word in words)
            command = [word.replace("%s", target) for word in words] if has_place else [*words, target]
            return Program(tuple(command), Path(words[0]).name in _ON_TERMINAL)
    return for_file(target)


def for_file(path: str) -> Program:
    """Return the command by which the system opens a file or a link."""
    if sys.platform == "win32":
        # explorer would split a link at its commas.
        return Program((path,), is_target=True)
    return Program(("open" if sys.platform == "darwin" else "xdg-open", path))


def start(program: Program) -> None:
    """Start a program without a shell, and leave it running. One that needs the terminal is waited for.

    @raise OpeningError: it cannot be started, or fails at once.
    """
    name = program.command[0]
    try:
        if sys.platform == "win32" and program.is_target:
            os.startfile(name)  # noqa: S606 - the user asked, and there is no shell
            return
        if program.needs_terminal:
            with ctrl_c_left_to_child():
                status: int | None = subprocess.run(program.command, check=False).returncode  # noqa: S603 - the user's
        else:
            status = _left_running(program.command)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OpeningError(f"{name} cannot be started: {reason}. Set $BROWSER to a program that you have.") from error
    if status and sys.platform != "win32":
        raise OpeningError(f"{name} failed with exit status {status}.")


def _left_running(command: Sequence[str]) -> int | None:
    process = subprocess.Popen(  # noqa: S603 - see above
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(_FAILS_WITHIN)
    except subprocess.TimeoutExpired:
        # The program goes on. The thread takes its exit status, so that no zombie stays.
        Thread(target=process.wait, name="opened", daemon=True).start()
        return None


def words_of(line: str) -> tuple[str, ...]:
    """Split a command line that the user typed into words, without a shell. @raise OpeningError: it has none."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise OpeningError(f"The command cannot be used: {error}.") from error
    if not words:
        raise OpeningError("There is no command.")
    return tuple(words)


def command_of(line: str) -> tuple[str, ...]:
    """Split a command line into words, as `words_of` does. @raise OpeningError: this machine has no such program."""
    words = words_of(line)
    if shutil.which(words[0]) is None:
        raise OpeningError(f"{words[0]} cannot be run: there is no such program.")
    return words


def feed(command: Sequence[str], octets: bytes, limits: Limits | None = None) -> bytes:
    """Run a command with octets on its standard input, wait until it ends, and return what it printed.

    Programs that it leaves running are not waited for.

    @param limits: for a command beside the full screen: it gets a session of its own, without the terminal.
    @raise OpeningError: it cannot be run, or fails; with the beginning of what it printed.
    """
    try:
        status, stopped, said = _run(command, octets, limits)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OpeningError(f"{command[0]} cannot be run: {reason}.") from error
    if stopped:
        raise OpeningError(f"{command[0]} was stopped: {stopped}.")
    if status:
        beginning = safe_line(said[:_MAX_REASON].decode("utf-8", "replace")).strip()
        raise OpeningError(f"{command[0]} failed with exit status {status}. {beginning}".strip())
    return said


def _run(command: Sequence[str], octets: bytes, limits: Limits | None) -> tuple[int, str, bytes]:
    """Run a command. @return: its exit status, why it was stopped or "", and what it printed."""
    with subprocess.Popen(  # noqa: S603 - the user's own command
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=limits is not None,
    ) as process:
        # Threads have the pipes: a command may read nothing, or leave a program running that holds them open.
        given, printed = process.stdin, process.stdout
        assert given is not None
        assert printed is not None
        process.stdin = process.stdout = None
        Thread(target=_write, args=(given, octets), name="fed", daemon=True).start()
        output = _Output(printed, _MAX_OUTPUT if limits is None else limits.octets)
        status, stopped = _wait(process, output, limits)
    said = output.rest()
    return status, stopped or output.excess, said


def _wait(process: subprocess.Popen[bytes], output: _Output, limits: Limits | None) -> tuple[int, str]:
    """Wait until a command ends. @return: its exit status, and why it was stopped or ""."""
    end = None if limits is None else time.monotonic() + limits.seconds
    stopped = ""
    while True:
        try:
            return process.wait(_LOOKS_EVERY), stopped
        except subprocess.TimeoutExpired:
            if stopped:
                _signal(process, limits is not None, is_last=True)
            elif stopped := _reason(limits, output, end):
                _signal(process, limits is not None)


class _Output:
    """The output of a command, read up to a limit by a thread."""

    def __init__(self, pipe: IO[bytes], limit: int) -> None:
        self._pipe = pipe
        self._limit = limit
        self._octets = bytearray()
        self._is_left = False
        #: That it was too much, or "".
        self.excess = ""
        self._thread = Thread(target=self._read, name="printed", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        # At the end the pipe is closed, and whatever still prints into it ends.
        with contextlib.suppress(OSError), self._pipe:
            while (octets := os.read(self._pipe.fileno(), 65_536)) and not self._is_left:
                if len(self._octets) + len(octets) > self._limit:
                    self.excess = f"it printed more than {self._limit:,} octets"
                    return
                self._octets += octets

    def rest(self) -> bytes:
        """Return all of it, after the command has ended. Does not wait for programs that it left running."""
        before = -1
        for _ in range(_MAX_WAITS):
            if before == len(self._octets):
                break
            before = len(self._octets)
            self._thread.join(_DRAINED_WITHIN)
            if not self._thread.is_alive():
                break
        self._is_left = True
        return bytes(self._octets)


def _reason(limits: Limits | None, output: _Output, end: float | None) -> str:
    """Return why a command that runs has to be stopped, or ""."""
    if limits is not None and limits.is_over.is_set():
        return "the program ends"
    if limits is not None and end is not None and time.monotonic() > end:
        return f"it took more than {limits.seconds:.0f} seconds"
    return output.excess


def _signal(process: subprocess.Popen[bytes], has_session: bool, is_last: bool = False) -> None:
    """Stop a command, with all programs of its session if it has one; if it did not end, without a choice."""
    if sys.platform == "win32" or not has_session:
        process.kill() if is_last else process.terminate()
    else:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL if is_last else signal.SIGTERM)


def _write(pipe: IO[bytes], octets: bytes) -> None:
    # A command need not read all of it.
    with contextlib.suppress(OSError), pipe:
        pipe.write(octets)

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
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import IO, Final

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
# Seconds between two looks at a command that has limits.
_LOOKS_EVERY: Final = 0.2


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
    """What ends a command that is waited for.

    @ivar seconds: the time it may take.
    @ivar octets: what it may print.
    @ivar is_over: set if nobody waits any more.
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
            status: int | None = subprocess.run(program.command, check=False).returncode  # noqa: S603 - the user's own
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


def feed(command: Sequence[str], octets: bytes, limits: Limits | None = None) -> bytes:
    """Run a command with octets on its standard input, wait until it ends, and return what it printed.

    Programs that it leaves running are not waited for.

    @param limits: for a command beside the full screen: it gets a session of its own, without the terminal.
    @raise OpeningError: it cannot be run, or fails; with the beginning of what it printed.
    """
    # A file, because a pipe would stay open as long as any program that the command has left running.
    try:
        with tempfile.TemporaryFile() as output:
            status, stopped = _run(command, octets, output, limits)
            output.seek(0)
            said = output.read(_MAX_REASON if status else -1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OpeningError(f"{command[0]} cannot be run: {reason}.") from error
    if stopped:
        raise OpeningError(f"{command[0]} was stopped: {stopped}.")
    if status:
        beginning = safe_line(said.decode("utf-8", "replace")).strip()
        raise OpeningError(f"{command[0]} failed with exit status {status}. {beginning}".strip())
    return said


def _run(command: Sequence[str], octets: bytes, output: IO[bytes], limits: Limits | None) -> tuple[int, str]:
    """Run a command. @return: its exit status, and why it was stopped or ""."""
    stopped = ""
    with subprocess.Popen(  # noqa: S603 - the user's own command
        command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, start_new_session=limits is not None
    ) as process:
        pipe, process.stdin = process.stdin, None
        # A thread, because a command may read nothing, and end all the same.
        Thread(target=_write, args=(pipe, octets), name="fed", daemon=True).start()
        end = None if limits is None else time.monotonic() + limits.seconds
        while True:
            try:
                return process.wait(None if limits is None else _LOOKS_EVERY), stopped
            except subprocess.TimeoutExpired:
                if stopped:
                    _signal(process, is_last=True)
                elif limits is not None and end is not None and (stopped := _reason(limits, output, end)):
                    _signal(process)


def _reason(limits: Limits, output: IO[bytes], end: float) -> str:
    """Return why a command that runs has to be stopped, or ""."""
    if limits.is_over.is_set():
        return "the program ends"
    if os.fstat(output.fileno()).st_size > limits.octets:
        return f"it printed more than {limits.octets:,} octets"
    return f"it took more than {limits.seconds:.0f} seconds" if time.monotonic() > end else ""


def _signal(process: subprocess.Popen[bytes], is_last: bool = False) -> None:
    """Stop a command with all programs of its session; if it did not end, without a choice."""
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL if is_last else signal.SIGTERM)


def _write(pipe: IO[bytes], octets: bytes) -> None:
    # A command need not read all of it.
    with contextlib.suppress(OSError), pipe:
        pipe.write(octets)

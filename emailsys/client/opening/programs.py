"""Programs that open links and files: the user's browser, and the program that the system has for a file."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Final

from emailsys.client.opening.values import OpeningError
from emailsys.client.text.terminal import safe_line

# Browsers that need the terminal.
_ON_TERMINAL: Final = frozenset({"lynx", "w3m", "links", "links2", "elinks", "browsh", "carbonyl"})
# Seconds in which a program that cannot do its work is expected to fail.
_FAILS_WITHIN: Final = 1.0
# Octets of the output of a command that failed, which are shown.
_MAX_REASON: Final = 500


@dataclass(frozen=True, slots=True)
class Program:
    """A command that opens a target. It needs the terminal if it is a browser for text."""

    command: tuple[str, ...]
    needs_terminal: bool = False


def for_link(target: str) -> Program:
    """Return the command that opens a link or an HTML file: $BROWSER, or else the system's.

    @param target: a checked link or an absolute path, so that it cannot be taken for an option.
    """
    for choice in filter(None, os.environ.get("BROWSER", "").split(os.pathsep)):
        try:
            words = shlex.split(choice)
        except ValueError:
            continue
        if words and shutil.which(words[0]):
            # "%s" stands for the target, as in $BROWSER of other programs. There is no shell.
            has_place = any("%s" in word for word in words)
            command = [word.replace("%s", target) for word in words] if has_place else [*words, target]
            return Program(tuple(command), Path(words[0]).name in _ON_TERMINAL)
    return for_file(target)


def for_file(path: str) -> Program:
    """Return the command by which the system opens a file."""
    if sys.platform == "win32":
        return Program(("explorer", path))
    return Program(("open" if sys.platform == "darwin" else "xdg-open", path))


def start(program: Program) -> None:
    """Start a program without a shell, and leave it running. One that needs the terminal is waited for.

    @raise OpeningError: it cannot be started, or fails at once.
    """
    name = program.command[0]
    try:
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


def feed(command: Sequence[str], octets: bytes) -> bytes:
    """Run a command with octets on its standard input, wait, and return what it printed.

    @raise OpeningError: it cannot be run, or fails; with the beginning of what it printed.
    """
    try:
        done = subprocess.run(  # noqa: S603 - the user's own command
            command, input=octets, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OpeningError(f"{command[0]} cannot be run: {reason}.") from error
    if done.returncode:
        said = safe_line(done.stdout[:_MAX_REASON].decode("utf-8", "replace")).strip()
        raise OpeningError(f"{command[0]} failed with exit status {done.returncode}. {said}".strip())
    return done.stdout

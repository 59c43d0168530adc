"""Run other people's mail programs, and skip a test that wants one which this machine lacks."""

from __future__ import annotations

import os
import shutil
import subprocess
import unittest
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

Test = TypeVar("Test", bound=Callable[..., object])

#: The environment in which a program has the clock of this machine, also where the tests run at another date. Chromium
#: and testssl.sh stand still under the library that changes it, and it serves no two users.
REAL_CLOCK: Final = {"LD_PRELOAD": ""}
# Seconds after which a program is taken to hang; the machine may be busy with other tests.
PATIENCE = 60.0


def needs(*programs: str) -> Callable[[Test], Test]:
    """Skip a test, with a reason that names the program, where one of them is missing."""
    missing = [program for program in programs if shutil.which(program) is None]
    return unittest.skipIf(bool(missing), f"needs {', '.join(missing)}, which is not installed")


class ProgramFailed(AssertionError):
    """A program did not end as it should; the message has all it printed."""


def run(
    command: Sequence[str | os.PathLike[str]] | str,
    *,
    stdin: bytes = b"",
    home: Path | None = None,
    environ: Mapping[str, str] | None = None,
    status: int | None = 0,
    timeout: float = PATIENCE,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program, or a line of shell where `command` is text, to its end.

    @param home: the folder it takes for the user's own, and in which it runs.
    @param status: the exit status it must have; None allows any.
    @raise ProgramFailed: it hung, or ended with another status.
    """
    # A worker of trial -j hands its own modules down by PYTHONPATH, which another Python cannot take.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment = {**inherited, "LC_ALL": "C.UTF-8", **(environ or {})}
    if home is not None:
        environment["HOME"] = str(home)
    try:
        ended = subprocess.run(
            command,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            shell=isinstance(command, str),
            cwd=home,
            env=environment,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ProgramFailed(f"{command}: still runs after {timeout:g} s; it printed {error.output!r}") from None
    if status is not None and ended.returncode != status:
        text = ended.stdout.decode("utf-8", "replace")
        raise ProgramFailed(f"{command}: exit status {ended.returncode}, not {status}; it printed:\n{text}")
    return ended

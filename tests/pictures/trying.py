"""Record `emailsys try --once` as it runs here, for the README."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import tempfile
from html import unescape
from pathlib import Path
from typing import Final

from rich.text import Text

from tests.pictures.terminal import lines_of, session

COMMAND: Final = "emailsys try --once"
COLUMNS: Final = 108
ROWS: Final = 30
# What is another at each run: ids, passwords, octets of random boundaries, seconds.
_CHANGES: Final = re.compile(
    r"\b[0-9a-z]{14}\b|\b(?:[a-z2-9]{4}-){3}[a-z2-9]{4}\b|\b[0-9]+ (?:octets|\()|\bSIZE=[0-9]+|\([0-9]+ octets\)"
    r"|\+OK 1 [0-9]+|\b[0-9.]+ s$|\bport [0-9]+",
    re.M,
)


def record() -> str:
    """The output of the program at a terminal; the folder that it took is called by its usual name."""
    if sys.platform == "win32":
        raise RuntimeError("needs Unix")
    with tempfile.TemporaryDirectory(prefix="emailsys-picture-") as name:
        folder = Path(name).resolve()
        terminal, end = pty.openpty()
        program = subprocess.Popen(
            [sys.executable, "-m", *COMMAND.split()],
            env={**os.environ, "EMAILSYS_STATE": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=end,
            # There it says that the store is not in its usual place, which is true of the recording only.
            stderr=subprocess.DEVNULL,
        )
        os.close(end)
        output = b"".join(iter(lambda: _read(terminal), b""))
        os.close(terminal)
        if program.wait(60):
            raise RuntimeError(f"{COMMAND} ended with status {program.returncode}")
        return output.decode().replace(str(folder), "~/.local/state/emailsys")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        # Linux says so where the last writer has gone.
        return b""


def constant(output: str) -> str:
    """The words of each line of output, without what is another at each run."""
    return "\n".join(_CHANGES.sub("...", words) for line in lines_of(output) if (words := _words(line.plain)))


def drawn(svg: str) -> str:
    """The lines of a picture of such a session, as `constant` has them; blank lines and what stood before are gone."""
    lines = re.findall(r"(?m)^<text y=.*$", svg)
    return "\n".join(_CHANGES.sub("...", _words(" ".join(re.findall(r">([^<]+)</tspan>", line)))) for line in lines)


def _words(text: str) -> str:
    return " ".join(unescape(text).split())


def draw() -> str:
    """The picture of a session that is recorded now."""
    return session(COMMAND, [Text.assemble(("$ ", "bold"), COMMAND), *lines_of(record())], COLUMNS, ROWS)

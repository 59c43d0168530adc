"""The load generator in C: built in a temporary folder, run against a server, its result read."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

_SOURCE: Final = Path(__file__).with_name("mload.c")
# Seconds that one run of the generator may take.
_PATIENCE: Final = 600.0

Result = dict[str, Any]


class GeneratorFailed(Exception):
    """The generator cannot be built, or has ended without a result."""


def why_not() -> str:
    """Return why the generator cannot be built here; "" if it can."""
    return "" if shutil.which("cc") else "needs a C compiler and OpenSSL: apt-get install gcc libssl-dev"


class Generator:
    """Runs the generator. `close` removes it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="emailsys-mload-")
        self._program = str(Path(self._folder.name) / "mload")
        command = ["cc", "-O2", "-o", self._program, str(_SOURCE), "-lssl", "-lcrypto"]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        if built.returncode:
            raise GeneratorFailed(built.stderr)

    def close(self) -> None:
        """Remove the program."""
        self._folder.cleanup()

    def command(self, mode: str, port: int, options: dict[str, Any]) -> Sequence[str]:
        """Return the command line. True stands for an option without a value; False and None for no option."""
        words = [self._program, mode, "--port", str(port)]
        for name, value in options.items():
            if value is not None and value is not False:
                words += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
        return words

    def run(self, mode: str, port: int, **options: Any) -> Result:
        """Run it to its end.

        @raise GeneratorFailed: there is no result.
        """
        done = subprocess.run(
            self.command(mode, port, options), capture_output=True, text=True, check=False, timeout=_PATIENCE
        )
        return result_of(done.stdout, done.stderr)


def result_of(printed: str, problem: str = "") -> Result:
    """Read the last line that the generator has printed.

    @raise GeneratorFailed: it is no result.
    """
    try:
        result: Result = json.loads(printed.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise GeneratorFailed(problem[-500:] or printed[-500:]) from None
    return result

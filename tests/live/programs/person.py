"""A person with a home of their own, who runs the verbs of `emailsys mail`, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.live.programs.daemon import PATIENCE

CHECKOUT: Final = Path(__file__).resolve().parents[3]
PROGRAM: Final = (sys.executable, "-m", "emailsys")


class Person:
    """`environment` is what the programs are run with."""

    def __init__(self, home: Path, program: Sequence[str] = PROGRAM) -> None:
        home.mkdir(parents=True)
        self.home = home
        self._program = program
        places = {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CONFIG", "DATA", "STATE")}
        self.environment = {**os.environ, **places, "HOME": str(home), "PYTHONPATH": str(CHECKOUT)}

    def run(self, *words: str, typed: bytes = b"") -> subprocess.CompletedProcess[str]:
        """A verb, with that on standard input."""
        done = subprocess.run(
            [*self._program, "mail", *words],
            input=typed,
            capture_output=True,
            env=self.environment,
            cwd=self.home,
            timeout=PATIENCE,
            check=False,
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def json(self, *words: str, typed: bytes = b"") -> Any:
        """The JSON document that a verb prints.

        @raise AssertionError: it failed.
        """
        done = self.run(*words, "--json", typed=typed)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

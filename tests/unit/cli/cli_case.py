"""Base class of the tests of console commands."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.cli.main import run
from emailsys.config.exit_status import Exit


class Terminal(io.StringIO):
    """Standard input that is a terminal; prompts read from it."""

    def isatty(self) -> bool:
        return True


class CLICase(SynchronousTestCase):
    """Commands on a state folder of their own, while no daemon runs."""

    def setUp(self) -> None:
        self.state = Path(self.mktemp()).absolute()
        self.environ = dict(os.environ)
        self.addCleanup(self.restore)
        for name in ("EMAILSYS_CONFIG", "EMAILSYS_TRACEBACK"):
            os.environ.pop(name, None)
        os.environ["EMAILSYS_STATE"] = str(self.state)

    def restore(self) -> None:
        os.environ.clear()
        os.environ.update(self.environ)

    def run_it(self, *arguments: str, typed: str | bytes = b"") -> tuple[int, str, str]:
        """Exit status, standard output, standard error. Text is typed at a terminal, octets come through a pipe."""
        out, err = io.StringIO(), io.StringIO()
        stdin: io.TextIOBase = Terminal(typed) if isinstance(typed, str) else io.TextIOWrapper(io.BytesIO(typed))
        self.patch(sys, "stdin", stdin)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = run(arguments)
        return status, out.getvalue(), err.getvalue()

    def fine(self, *arguments: str, typed: str | bytes = b"") -> str:
        status, out, err = self.run_it(*arguments, typed=typed)
        self.assertEqual(status, 0, err)
        return out

    def refused(self, status: Exit, *arguments: str, typed: str | bytes = b"") -> str:
        ended, _, err = self.run_it(*arguments, typed=typed)
        self.assertEqual(ended, status, err)
        self.assertNotIn("Traceback", err)
        return err

    def add_domain(self) -> None:
        self.fine("domain", "add", "example.test", "--postmaster", "ann@example.test")

"""An old Python gets one line from every entry point, and no traceback."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import emailsys

PACKAGE = Path(emailsys.__file__).parent
LINE = "emailsys needs Python 3.11 or newer; this is Python "
# What each entry point imports first: `emailsys`, `python -m emailsys`, `twistd emailsys`.
ENTRIES = (
    ["-c", "from emailsys.cli.main import main; main()"],
    ["-m", "emailsys"],
    ["-c", "import emailsys.daemon"],
)


def old_pythons() -> list[str]:
    """The interpreters of this machine from 3.6 to 3.10."""
    names = [f"3.{minor}" for minor in range(6, 11)]
    found = [path for name in names if (path := shutil.which(f"python{name}"))]
    for name in names:
        found += map(str, (Path.home() / ".pyenv" / "versions").glob(f"{name}.*/bin/python"))
    # A shim of pyenv may stand for a version that is switched off.
    return [
        python
        for python in found
        if subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0
    ]


class OldPythonTests(SynchronousTestCase):
    """pip refuses to install there, but a folder may be copied or mounted."""

    def run_entry(self, python: str, words: list[str]) -> None:
        # The path of a parallel trial names modules of this Python.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        ended = subprocess.run(
            [python, *words], cwd=PACKAGE.parent, env=environment, capture_output=True, text=True, check=False
        )
        self.assertEqual((ended.returncode, ended.stdout), (1, ""), (python, words))
        self.assertTrue(ended.stderr.startswith(LINE), ended.stderr)
        self.assertEqual(ended.stderr.count("\n"), 1, ended.stderr)

    def test_the_modules_that_are_imported_first_parse_on_old_pythons(self) -> None:
        """Else the line would be a SyntaxError."""
        for name in ("__init__.py", "__main__.py"):
            ast.parse((PACKAGE / name).read_text("utf-8"), feature_version=(3, 7))

    def test_each_entry_point_ends_with_the_line(self) -> None:
        """Under this interpreter, which says that it is an old one."""
        program = "import sys; sys.version_info = (3, 10, 13, 'final', 0); "
        for words in ENTRIES:
            code = words[1] if words[0] == "-c" else "import runpy; runpy.run_module('emailsys', run_name='__main__')"
            self.run_entry(sys.executable, ["-c", program + code])

    def test_each_old_python_of_this_machine_says_so(self) -> None:
        """The interpreter may name things that this one cannot imitate."""
        for python in old_pythons():
            for words in ENTRIES:
                self.run_entry(python, words)

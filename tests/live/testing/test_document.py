"""docs/testing-mail.md and the README: Python blocks run under pytest and trial, commands of the page in a shell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.live.programs.command_blocks import blocks, commands
from tests.live.programs.installed import needs
from tests.ports import free_ports

PAGE = "docs/testing-mail.md"


def on_free_ports(text: str) -> str:
    """Replace the ports of the page by others that are free."""
    ports = dict(zip(("1025", "1110", "1080"), map(str, free_ports(3)), strict=True))
    return re.sub("|".join(ports), lambda found: ports[found[0]], text)


class DocumentTests(SynchronousTestCase):
    """What the page shows works as it stands there."""

    def setUp(self) -> None:
        """An empty folder."""
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def run_here(self, *command: str) -> str:
        """Run a command that succeeds in the folder; what it prints."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        run = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False,
            env={**os.environ, "PATH": path},
        )  # fmt: skip
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        return run.stdout

    def test_the_python_blocks(self) -> None:
        """Tests for pytest in one run, those for trial in another; the rest are programs."""
        suites: list[str] = []
        cases: list[str] = []
        programs: list[str] = []
        for block in (one for page in (PAGE, "README.md") for one in blocks(page) if one.language == "python"):
            kind = cases if "TestCase" in block.text else suites if "def test_" in block.text else programs
            name = f"test_{Path(block.document).stem.replace('-', '_')}_{block.line}"
            kind.append(name)
            (self.folder / f"{name}.py").write_text(block.text, "utf-8")
        self.assertEqual((len(suites), len(cases), len(programs)), (8, 1, 1))
        (self.folder / "pytest.ini").write_text("[pytest]\n", "utf-8")
        files = [f"{name}.py" for name in suites]
        printed = self.run_here(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files)
        self.assertIn("9 passed", printed)
        self.run_here(sys.executable, "-m", "twisted.trial", *cases)
        self.assertRegex(self.run_here(sys.executable, f"{programs[0]}.py"), r"^127\.0\.0\.1 \d+\n$")

    @needs("curl", "bash")
    def test_the_commands(self) -> None:
        """On ports that are free."""
        printed = []
        for block in commands(PAGE):
            text = on_free_ports(block.text).replace("emailsys catch", f"{sys.executable} -m emailsys catch")
            printed.append(self.run_here("bash", "-e", "-c", text))
        self.assertEqual(len(printed), 2)
        self.assertIn("Return-Path: <shop@example.com>", printed[0])
        self.assertIn('"links": ["https://example.com/ok"]', printed[0])
        self.assertIn("drop after the first dot", printed[0])
        self.assertIn('"subject": "Welcome"', printed[1])

"""Programs that record what they are started with, in place of a browser and of the system's program."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from emailsys.client.opening import programs


class Recorder:
    """A browser, and the program by which the system opens files."""

    def __init__(self, case: SynchronousTestCase, status: int = 0) -> None:
        self.folder = Path(case.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        for name in ("browser", "xdg-open", "open"):
            path = self.folder / name
            path.write_text(
                f"#!{sys.executable}\nimport json, sys\n"
                f"open({str(self.folder / 'told')!r}, 'a').write(json.dumps([{name!r}, *sys.argv[1:]]) + chr(10))\n"
                f"sys.exit({status})\n"
            )
            path.chmod(0o700)
        environment = {**os.environ, "PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}", "BROWSER": "browser"}
        case.patch(os, "environ", environment)
        # The program ends at once, and its record is complete when it has.
        case.patch(programs, "_FAILS_WITHIN", 60.0)

    @property
    def told(self) -> list[list[str]]:
        """The words of each start."""
        import json

        path = self.folder / "told"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

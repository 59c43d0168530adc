"""Installation of packages that only some systems need: the command for the environment of this process."""

from __future__ import annotations

import shlex
import sys


def pip_install(package: str) -> str:
    """Return the command that installs a package where this process would import it from."""
    return f"{shlex.quote(sys.executable or 'python3')} -m pip install {shlex.quote(package)}"

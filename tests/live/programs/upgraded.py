"""A package that is upgraded while its daemon runs: another version of it is put in its place."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import emailsys

_PACKAGE: Final = Path(emailsys.__file__).parent


class Package:
    """Versions of emailsys that differ in their number only. Their modules are those of this checkout, by links."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        self._installed = folder / "installed"
        self.version = ""
        self.install(emailsys.__version__)

    def environment(self, checkout: Path) -> dict[str, str]:
        """Return the environment of a daemon that imports the installed version."""
        return {"PYTHONPATH": f"{self._installed}{os.pathsep}{checkout}"}

    def install(self, version: str, code: str = "") -> None:
        """Put a version in the place of the installed one.

        @param code: what it does first when it is imported.
        """
        package = self._folder / version / "emailsys"
        package.mkdir(parents=True)
        for entry in _PACKAGE.iterdir():
            if entry.name not in ("__init__.py", "__pycache__"):
                (package / entry.name).symlink_to(entry)
        text = (_PACKAGE / "__init__.py").read_text("utf-8")
        text = re.sub(r"^__version__.*$", f'__version__ = "{version}"', text, flags=re.MULTILINE)
        (package / "__init__.py").write_text(f"{text}{code}\n", "utf-8")
        # As package managers do: at each moment there is one version or the other.
        link = self._folder / "next"
        link.symlink_to(package.parent)
        link.replace(self._installed)
        self.version = version

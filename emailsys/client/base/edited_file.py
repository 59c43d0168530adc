"""File of a text that the user changes in an editor."""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path

from emailsys.client.base.folders import make_folder
from emailsys.client.base.local_text import local_text


class EditedFile:
    """A text in a file of its own, which only the user can read. It stays until it is removed."""

    def __init__(self, state: Path) -> None:
        """@param state: the mailbox's state folder."""
        self._token = secrets.token_hex(4)
        self.path = state / "editing" / f"{self._token}.txt"

    def write(self, text: str) -> None:
        """Write the text, and create the file if it does not exist."""
        make_folder(self.path.parent)
        self.path.touch(mode=0o600)
        self.path.write_text(text, "utf-8")

    def read(self) -> str:
        """Return the text. Editors may save it in the encoding of the user's locale, or in Latin-1."""
        return local_text(self.path.read_bytes())

    def remove(self) -> None:
        """Remove the file, and what editors put beside it: X.txt~, X.bak, .X.txt.swp, #X.txt#."""
        self.path.unlink(missing_ok=True)
        for path in self.path.parent.glob(f"*{self._token}*"):
            with suppress(OSError):
                path.unlink()

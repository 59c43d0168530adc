"""A keyring for the package keyring that keeps passwords in a file, or is locked, as the environment says."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError
from typing_extensions import override

#: Names the file. If it is not there, the keyring is locked.
VARIABLE: Final = "EMAILSYS_TEST_KEYRING"


class FileKeyring(KeyringBackend):
    """A real backend, chosen by PYTHON_KEYRING_BACKEND=tests.fakes.client.file_keyring.FileKeyring."""

    priority = 1

    @property
    def _path(self) -> Path:
        return Path(os.environ[VARIABLE])

    def _read(self) -> dict[str, str]:
        try:
            kept: dict[str, str] = json.loads(self._path.read_text("utf-8"))
        except FileNotFoundError:
            raise KeyringLocked("nobody unlocked it") from None
        return kept

    @override
    def get_password(self, service: str, username: str) -> str | None:
        """The password, None if there is none."""
        return self._read().get(f"{service} {username}")

    @override
    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep it."""
        self._path.write_text(json.dumps({**self._read(), f"{service} {username}": password}), "utf-8")

    @override
    def delete_password(self, service: str, username: str) -> None:
        """Forget it."""
        kept = self._read()
        if kept.pop(f"{service} {username}", None) is None:
            raise PasswordDeleteError("there is none")
        self._path.write_text(json.dumps(kept), "utf-8")

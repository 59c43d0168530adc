"""The addresses on which the daemon listens: for the status, and in a file for tests and scripts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from emailsys.platforms.files import NO_FOLLOW, open_regular
from emailsys.supervisor import Bound
from emailsys.telemetry import Telemetry

#: The file in the state folder. It tells which free ports were taken for port 0, and exists while the daemon runs.
LISTENING_NAME: Final = "listening.json"


class Listening:
    """The addresses of each service, as the configuration writes them."""

    def __init__(self, state: Path, telemetry: Telemetry) -> None:
        self._path = state / LISTENING_NAME
        self._telemetry = telemetry
        self.addresses: dict[str, list[str]] = {}

    def note(self, listeners: Iterable[Bound]) -> None:
        """Note the addresses."""
        for bound in listeners:
            self.addresses.setdefault(bound.service, []).append(bound.shown)

    def write(self) -> None:
        """Write the file at once or not at all. The daemon runs without it on a full disk."""
        text = json.dumps({"pid": os.getpid(), "listening": self.addresses}) + "\n"
        draft = self._path.with_name(f".{LISTENING_NAME}")
        try:
            descriptor = open_regular(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | NO_FOLLOW)
            with open(descriptor, "wb") as file:
                file.write(text.encode())
            draft.replace(self._path)
        except OSError as error:
            self._telemetry.event("listening-refused", path=self._path, why=error.strerror)

    def remove(self) -> None:
        """Remove the file."""
        with suppress(OSError):
            self._path.unlink()

"""The notices that the postmaster has received, kept in the state folder: a restart sends none of them again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from emailsys.platforms.files import NO_FOLLOW, open_regular, read_file

SENT_NAME: Final = "certificate-notices.json"
# Octets of the file that are read. A key has some hundred.
_MOST_READ: Final = 1 << 20


class SentNotices:
    """The keys of the notices that were sent."""

    def __init__(self, state: Path) -> None:
        self._path = state / SENT_NAME
        self.keys: frozenset[str] = frozenset()
        # Without the file, the postmaster gets a notice once more.
        with suppress(OSError, ValueError):
            self.keys = frozenset(str(key) for key in json.loads(read_file(self._path, _MOST_READ)))

    def replace(self, keys: Iterable[str]) -> None:
        """Remember these keys alone: those of certificates that were renewed are of no use any more."""
        self.keys = frozenset(keys)
        draft = self._path.with_name(f".{SENT_NAME}")
        with suppress(OSError):
            descriptor = open_regular(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | NO_FOLLOW)
            with open(descriptor, "wb") as file:
                file.write(json.dumps(sorted(self.keys)).encode())
            draft.replace(self._path)

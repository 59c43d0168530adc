"""Orders of the lists that the user chose, each remembered for its folder."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from emailsys.client.archive.files import write_whole
from emailsys.client.archive.listing import Arrangement
from emailsys.client.archive.sorting import SortBy
from emailsys.client.archive.values import ArchiveError
from emailsys.client.base.folders import make_folder
from emailsys.client.screen.list_sources import ConversationList, ListSource

_FILE: Final = "orders.json"
_CONVERSATION: Final = Arrangement(is_ascending=True, threads=True)


class Arrangements:
    """The order of each list. A file keeps those that the user chose."""

    def __init__(self, state: Path) -> None:
        """@param state: the mailbox's state folder."""
        self._path = state / _FILE
        self._chosen: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            document = json.loads(self._path.read_text("utf-8"))
            if isinstance(document, dict):
                self._chosen = document

    def of(self, source: ListSource) -> Arrangement:
        """Return the order of a list."""
        chosen: Any = self._chosen.get(source.name)
        try:
            return Arrangement(SortBy(chosen["by"]), bool(chosen["ascending"]), bool(chosen["threads"]))
        except (TypeError, KeyError, ValueError):
            return _CONVERSATION if isinstance(source, ConversationList) else Arrangement()

    def choose(self, source: ListSource, arrangement: Arrangement) -> None:
        """Remember the order of a list. If the file cannot be written, until the program ends."""
        self._chosen[source.name] = {
            "by": arrangement.by.value,
            "ascending": arrangement.is_ascending,
            "threads": arrangement.threads,
        }
        with suppress(OSError, ArchiveError):
            make_folder(self._path.parent)
            write_whole(self._path, json.dumps(self._chosen, indent=1).encode())

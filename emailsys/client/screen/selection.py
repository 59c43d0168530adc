"""Selection of messages, kept separately for each list."""

from __future__ import annotations

from emailsys.client.screen.list_sources import ListSource


class Selection:
    """The selections of all lists. A list has its selection again when the user returns to it."""

    def __init__(self) -> None:
        self._keys: dict[ListSource, set[str]] = {}

    def of(self, source: ListSource) -> set[str]:
        """Return the selected keys of a list. Changing the set changes the selection."""
        return self._keys.setdefault(source, set())

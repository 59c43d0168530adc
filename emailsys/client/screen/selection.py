"""Selected messages, by the list in which they were selected."""

from __future__ import annotations

from emailsys.client.screen.list_sources import ListSource


class Selection:
    """Each list that is shown has a selection of its own, which is there again when the person comes back to it."""

    def __init__(self) -> None:
        self._keys: dict[ListSource, set[str]] = {}

    def of(self, shown: ListSource) -> set[str]:
        """The keys that are selected in a list; changing the set changes the selection."""
        return self._keys.setdefault(shown, set())

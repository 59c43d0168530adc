"""What the list of messages shows: a folder, a search, or a conversation; page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emailsys.client.archive.archive import Archive
from emailsys.client.archive.values import Place, Summary
from emailsys.client.screen.messages import PAGE


@dataclass(frozen=True, slots=True)
class InFolder:
    """The messages of a folder."""

    place: Place

    @property
    def title(self) -> str:
        """What the bar says."""
        return f"{self.place.account} · {self.place.folder}"

    def page(self, archive: Archive, below: int | None) -> Sequence[Summary]:
        """The newest, or those below a number."""
        return archive.list(self.place, PAGE, below)


@dataclass(frozen=True, slots=True)
class Found:
    """What a search finds, in all accounts."""

    query: str

    @property
    def title(self) -> str:
        """What the bar says."""
        return f"search: {self.query}"

    def page(self, archive: Archive, below: int | None) -> Sequence[Summary]:
        """The newest, or those below a number."""
        return archive.search(self.query, None, PAGE, below)


@dataclass(frozen=True, slots=True)
class Conversation:
    """The messages of a conversation, the oldest first."""

    key: str

    @property
    def title(self) -> str:
        """What the bar says."""
        return "conversation"

    def page(self, archive: Archive, below: int | None) -> Sequence[Summary]:
        """All of them."""
        return archive.thread(self.key) if below is None else []


Shown = InFolder | Found | Conversation

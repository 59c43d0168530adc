"""Sources of the message list: a folder, a search or a conversation, read page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from emailsys.client.archive.archive import Archive
from emailsys.client.archive.values import Folder, Summary
from emailsys.client.screen.message_pane import PAGE

# A limit larger than any list.
_ALL: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class FolderList:
    """The messages of a folder."""

    folder: Folder

    @property
    def title(self) -> str:
        """The title bar of the list."""
        return f"{self.folder.account} · {self.folder.name}"

    def page(self, archive: Archive, below: int | None) -> Sequence[Summary]:
        """Return a page: the newest messages, or those below the order number `below`."""
        return archive.list(self.folder, PAGE, below)

    def matching(self, archive: Archive, query: str) -> Sequence[Summary]:
        """Return the messages of the folder that match a query; "" matches all."""
        # A search includes Trash only if it names the folder.
        found = archive.search(query, self.folder.account, _ALL, within=f'folder:"{self.folder.name}"')
        return [one for one in found if one.folder == self.folder]


@dataclass(frozen=True, slots=True)
class SearchList:
    """The messages that match a search, in all accounts."""

    query: str

    @property
    def title(self) -> str:
        """The title bar of the list."""
        return f"Search: {self.query}"

    def page(self, archive: Archive, below: int | None) -> Sequence[Summary]:
        """Return a page: the newest messages, or those below the order number `below`."""
        return archive.search(self.query, None, PAGE, below)

    def matching(self, archive: Archive, query: str) -> Sequence[Summary]:
        """Return the messages of this search that also match a second query; "" matches all."""
        return archive.search(query, None, _ALL, within=self.query)


@dataclass(frozen=True, slots=True)
class ConversationList:
    """The messages of a conversation, the oldest first."""

    key: str

    @property
    def title(self) -> str:
        """The title bar of the list."""
        return "Conversation"

    def page(self, archive: Archive, below: int | None) -> Sequence[Summary]:
        """Return all messages as the only page."""
        return archive.thread(self.key) if below is None else []

    def matching(self, archive: Archive, query: str) -> Sequence[Summary]:
        """Return the messages of the conversation that match a query; "" matches all."""
        messages = archive.thread(self.key)
        keys = {one.key for one in archive.search(query, None, _ALL)} if query else {one.key for one in messages}
        return [one for one in messages if one.key in keys]


ListSource = FolderList | SearchList | ConversationList

"""Sources of the message list: a folder, all Inboxes, a search or a conversation, read page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from emailsys.client.archive.archive import Archive
from emailsys.client.archive.listing import Arrangement, Page, Place, Scope
from emailsys.client.archive.values import INBOX, Folder, NoSuchMessage, Summary

#: Messages on one page.
PAGE: Final = 200
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

    @property
    def name(self) -> str:
        """The name under which the order of the list is kept."""
        return f"{self.folder.account}/{self.folder.name}"

    def scope(self, archive: Archive) -> Scope:
        """Return the messages of the list."""
        return Scope(folder=self.folder)

    def place_of(self, summary: Summary) -> str:
        """Return what a line says of the place of a message: nothing, they all have the same."""
        return ""

    def has(self, folder: Folder) -> bool:
        """Whether messages of a folder may be in the list."""
        return folder == self.folder

    def matching(self, archive: Archive, query: str) -> Sequence[Summary]:
        """Return the messages of the folder that match a query; "" matches all."""
        # A search includes Trash only if it asks for it.
        found = archive.search(query, self.folder.account, _ALL, within=f'folder:"{self.folder.name}"')
        return [one for one in found if one.folder == self.folder]


@dataclass(frozen=True, slots=True)
class InboxList:
    """The messages in the Inboxes of all accounts."""

    title = "All inboxes"
    name = "inboxes"

    def scope(self, archive: Archive) -> Scope:
        """Return the messages of the list."""
        return Scope(everywhere=INBOX)

    def place_of(self, summary: Summary) -> str:
        """Return the account of a message."""
        return summary.folder.account

    def has(self, folder: Folder) -> bool:
        """Whether messages of a folder may be in the list."""
        return folder.name == INBOX

    def matching(self, archive: Archive, query: str) -> Sequence[Summary]:
        """Return the messages of the Inboxes that match a query; "" matches all."""
        return [one for one in archive.search(query, None, _ALL, within=f"folder:{INBOX}") if self.has(one.folder)]


@dataclass(frozen=True, slots=True)
class SearchList:
    """The messages that match a search, in all accounts. `saved` is the name of a saved search, or ""."""

    query: str
    saved: str = ""

    @property
    def title(self) -> str:
        """The title bar of the list."""
        return f"{self.saved}: {self.query}" if self.saved else f"Search: {self.query}"

    @property
    def name(self) -> str:
        """The name under which the order of the list is kept: one for all searches that are not saved."""
        return f"search:{self.saved}"

    def scope(self, archive: Archive) -> Scope:
        """Return the messages of the list. @raise BadQuery: the query is invalid."""
        return Scope(query=archive.query(self.query))

    def place_of(self, summary: Summary) -> str:
        """Return account and folder of a message."""
        return f"{summary.folder.account}/{summary.folder.name}"

    def has(self, folder: Folder) -> bool:
        """Whether messages of a folder may be in the list."""
        return True

    def matching(self, archive: Archive, query: str) -> Sequence[Summary]:
        """Return the messages of this search that also match a second query; "" matches all."""
        return archive.search(query, None, _ALL, within=self.query)


@dataclass(frozen=True, slots=True)
class ConversationList:
    """The messages of a conversation, in all folders of its account.

    @param key: a message of it.
    @param number: its number in the index, for when that message is deleted for good.
    """

    key: str
    number: int = field(compare=False)
    title = "Conversation"
    name = "conversation"

    def scope(self, archive: Archive) -> Scope:
        """Return the messages of the list."""
        try:
            return Scope(conversation=archive.get(self.key).thread)
        except NoSuchMessage:
            return Scope(conversation=self.number)

    def place_of(self, summary: Summary) -> str:
        """Return the folder of a message."""
        return summary.folder.name

    def has(self, folder: Folder) -> bool:
        """Whether messages of a folder may be in the list."""
        return True

    def matching(self, archive: Archive, query: str) -> Sequence[Summary]:
        """Return the messages of the conversation that match a query; "" matches all."""
        messages = [one.summary for one in archive.page(self.scope(archive), Arrangement(), _ALL).rows]
        keys = {one.key for one in archive.search(query, None, _ALL)} if query else {one.key for one in messages}
        return [one for one in messages if one.key in keys]


ListSource = FolderList | InboxList | SearchList | ConversationList


def read_page(
    archive: Archive, source: ListSource, arrangement: Arrangement, beyond: Place | None, from_end: bool
) -> Page:
    """Return a page of a list: the first one, or the one that follows the place `beyond`."""
    return archive.page(source.scope(archive), arrangement, PAGE, beyond, from_end)

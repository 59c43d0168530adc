"""Folder pane: all Inboxes, the tree of accounts and folders with unread counts, and the saved searches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from rich.text import Text
from textual.message import Message
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from emailsys.client.archive.values import DRAFTS, INBOX, OUTBOX, FolderCount
from emailsys.client.screen.list_sources import FolderList, InboxList, ListSource, SearchList
from emailsys.client.screen.survival import Surviving
from emailsys.client.text.terminal import safe_line

# Title above the saved searches.
_SEARCHES: Final = "Saved searches"


class FolderPane(Surviving, Tree[ListSource]):
    """A tree of all Inboxes together, the accounts with their folders, and the saved searches."""

    class Chosen(Message):
        """Message: the user chose a list."""

        def __init__(self, source: ListSource) -> None:
            super().__init__()
            self.source = source

    def __init__(self) -> None:
        super().__init__("Accounts", id="folders")
        self.show_root = False
        self.guide_depth = 2
        self._shown: list[ListSource] = []
        self._current: ListSource | None = None

    def show(self, counts: Sequence[FolderCount], saved: Mapping[str, str], current: ListSource | None) -> None:
        """Show folders, their counts and the saved searches. The tree is rebuilt only if some were added or removed."""
        labels: dict[ListSource, Text] = {FolderList(one.folder): _label(one) for one in counts}
        owners = dict.fromkeys(one.folder.account for one in counts)
        if len(owners) > 1:
            unread = sum(one.unread for one in counts if one.folder.name == INBOX)
            labels = {InboxList(): _counted("All inboxes", unread), **labels}
        labels |= {SearchList(query, name): Text(safe_line(name)) for name, query in saved.items()}
        if [*labels] == self._shown:
            for node in self._list_nodes():
                if node.data is not None:
                    node.set_label(labels[node.data])
        else:
            self._fill_tree(labels)
            self._current = None
        self._shown = [*labels]
        # Leave the cursor alone if the list is the same: the user may be moving to another one.
        if current != self._current:
            self._current = current
            self.point_at(current)

    def _fill_tree(self, labels: Mapping[ListSource, Text]) -> None:
        self.clear()
        groups: dict[str, TreeNode[ListSource]] = {}
        for source, label in labels.items():
            if isinstance(source, InboxList):
                self.root.add_leaf(label, data=source)
                continue
            title = source.folder.account if isinstance(source, FolderList) else _SEARCHES
            # No account has a name with a space.
            if title not in groups:
                groups[title] = self.root.add(Text(safe_line(title), "bold"), expand=True)
            groups[title].add_leaf(label, data=source)
        self.root.expand()

    def _list_nodes(self) -> Iterator[TreeNode[ListSource]]:
        for node in self.root.children:
            yield node
            yield from node.children

    def point_at(self, source: ListSource | None) -> None:
        """Move the cursor to a list."""
        if self.last_line < 0:
            # Reading last_line makes Textual number the lines. Without it no node knows its line.
            return
        for node in self._list_nodes():
            if node.data == source:
                self.move_cursor(node)

    @property
    def under_cursor(self) -> ListSource | None:
        """The list under the cursor; None if the cursor is on a title."""
        return self.cursor_node.data if self.cursor_node is not None else None

    def on_tree_node_selected(self, event: Tree.NodeSelected[ListSource]) -> None:
        """Report the list on a click."""
        event.stop()
        if event.node.data is not None:
            self.post_message(self.Chosen(event.node.data))


def _label(one: FolderCount) -> Text:
    if one.folder.name in (DRAFTS, OUTBOX):
        text = Text(safe_line(one.folder.name))
        if one.messages:
            text.append(f" {one.messages}", "dim")
        return text
    return _counted(one.folder.name, one.unread)


def _counted(name: str, unread: int) -> Text:
    text = Text(safe_line(name))
    if unread:
        text.stylize("bold")
        text.append(f" {unread}", "bold")
    return text

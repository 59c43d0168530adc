"""Folder pane: the tree of accounts and folders, with unread counts."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.message import Message
from textual.widgets import Tree

from emailsys.client.archive.values import DRAFTS, OUTBOX, Folder, FolderCount
from emailsys.client.text.terminal import safe_line


class FolderPane(Tree[Folder]):
    """A tree of accounts, each with its folders."""

    class Chosen(Message):
        """Message: the user chose a folder."""

        def __init__(self, folder: Folder) -> None:
            super().__init__()
            self.folder = folder

    def __init__(self) -> None:
        super().__init__("Accounts", id="folders")
        self.show_root = False
        self.guide_depth = 2
        self._shown: list[FolderCount] = []
        self._current: Folder | None = None

    def show(self, counts: Sequence[FolderCount], current: Folder | None) -> None:
        """Show folders and their counts. The tree is rebuilt only if folders were added or removed."""
        if [one.folder for one in counts] == [one.folder for one in self._shown]:
            by_folder = {one.folder: one for one in counts}
            for account in self.root.children:
                for node in account.children:
                    if node.data is not None:
                        node.set_label(_label(by_folder[node.data]))
        else:
            self.clear()
            accounts = {}
            for one in counts:
                owner = one.folder.account
                if owner not in accounts:
                    accounts[owner] = self.root.add(Text(safe_line(owner), "bold"), expand=True)
                accounts[owner].add_leaf(_label(one), data=one.folder)
            self.root.expand()
            self._current = None
        self._shown = list(counts)
        # Leave the cursor alone if the folder is the same: the user may be moving to another one.
        if current != self._current:
            self._current = current
            self.point_at(current)

    def point_at(self, folder: Folder | None) -> None:
        """Move the cursor to a folder."""
        if self.last_line < 0:
            # Reading last_line makes Textual number the lines. Without it no node knows its line.
            return
        for account in self.root.children:
            for node in account.children:
                if node.data == folder:
                    self.move_cursor(node)

    def on_tree_node_selected(self, event: Tree.NodeSelected[Folder]) -> None:
        """Report the folder on Enter or a click."""
        event.stop()
        if event.node.data is not None:
            self.post_message(self.Chosen(event.node.data))


def _label(one: FolderCount) -> Text:
    text = Text(safe_line(one.folder.name))
    if one.folder.name in (DRAFTS, OUTBOX):
        if one.messages:
            text.append(f" {one.messages}", "dim")
    elif one.unread:
        text.stylize("bold")
        text.append(f" {one.unread}", "bold")
    return text

"""Actions on the whole list: its order, collapsed conversations, and saved searches."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from emailsys.client.archive.listing import Arrangement
from emailsys.client.archive.sorting import SortBy
from emailsys.client.archive.values import Summary
from emailsys.client.display.list_text import message_count
from emailsys.client.mailbox import UserMailbox
from emailsys.client.screen.dialogs import ChoiceDialog, ConfirmDialog, InputDialog
from emailsys.client.screen.list_rows import Folds
from emailsys.client.screen.list_sources import SearchList
from emailsys.client.screen.panes import Panes
from emailsys.client.text.terminal import safe_line

_ORDERS: Final = (
    ("Date, the newest first", SortBy.DATE, False),
    ("Date, the oldest first", SortBy.DATE, True),
    ("Sender, from A to Z", SortBy.SENDER, True),
    ("Sender, from Z to A", SortBy.SENDER, False),
    ("Subject, from A to Z", SortBy.SUBJECT, True),
    ("Subject, from Z to A", SortBy.SUBJECT, False),
    ("Size, the largest first", SortBy.SIZE, False),
    ("Size, the smallest first", SortBy.SIZE, True),
)


class ListActions:
    """Sorts the list, collapses its conversations, and saves searches."""

    def __init__(self, mailbox: UserMailbox, screen: Panes) -> None:
        self._mailbox = mailbox
        self._screen = screen

    async def sort(self) -> None:
        """Ask for the order of the list, and remember it."""
        screen = self._screen
        source, now = screen.source, screen.arrangement
        if source is None:
            return
        trees = "Show the messages one by one" if now.threads else "Show conversations as trees"
        lines = [
            f"{'*' if (by, ascending) == (now.by, now.is_ascending) else ' '} {words}"
            for words, by, ascending in _ORDERS
        ]
        hint = "* is the order now. Each folder keeps its own."
        chosen = await screen.app.push_screen_wait(ChoiceDialog("Order", [f"  {trees}", *lines], hint))
        if chosen is None:
            return
        if chosen == 0:
            new = replace(now, threads=not now.threads)
        else:
            _, by, ascending = _ORDERS[chosen - 1]
            new = Arrangement(by, ascending, now.threads)
        screen.arrangements.choose(source, new)
        current = screen.current
        await screen.show(source, current.key if current is not None else None)
        if chosen == 0 and new.threads:
            screen.show_status("x collapses a conversation or expands it, X all of them.")

    def collapse(self) -> None:
        """Collapse the conversation of the message under the cursor, or expand it."""
        pane, source = self._screen.messages, self._screen.source
        if source is None or pane.current is None or not self._has_trees():
            return
        first = pane.first_of_conversation(pane.cursor_row)
        if not pane.has_answers(first.key):
            self._screen.show_status("Nothing answers this message in this list.")
            return
        folds = self._screen.folds.setdefault(source, Folds())
        folds.switch(first.key)
        self._show(folds)

    def collapse_all(self) -> None:
        """Collapse all conversations, or expand them."""
        if self._screen.source is not None and self._has_trees():
            folds = self._screen.folds.setdefault(self._screen.source, Folds())
            folds.switch_all()
            self._show(folds)

    def _has_trees(self) -> bool:
        if not self._screen.arrangement.threads:
            self._screen.show_status("The list shows messages one by one. o shows conversations as trees.")
        return self._screen.arrangement.threads

    def _show(self, folds: Folds) -> None:
        screen = self._screen
        screen.messages.fold(folds)
        screen.on_data_table_row_highlighted()
        self.tell_collapsed()

    def tell_collapsed(self) -> None:
        """Say what keys act on, if a collapsed conversation is under the cursor."""
        current = self._screen.messages.current
        hidden = self._screen.messages.hidden_in(current.key) if current is not None else ()
        if hidden:
            self._screen.show_status(
                f"Collapsed: d s a F N Y t act on all {message_count(len(hidden) + 1)}. x expands."
            )
        else:
            self._screen.show_status("Expanded: keys act on one message.")

    def objects(self, current: Summary) -> Sequence[Summary]:
        """Return the messages that a key for several messages acts on.

        These are all messages of a collapsed conversation, unless the reader shows the one: what is shown is what keys
        act on.
        """
        if self._screen.reader.key is not None:
            return [current]
        return [current, *self._screen.messages.hidden_in(current.key)]

    async def save_search(self) -> None:
        """Ask for the name of the search in the list, and save, rename or remove it."""
        screen, source = self._screen, self._screen.source
        if not isinstance(source, SearchList):
            screen.show_status("Only searches can be saved. / searches.")
            return
        hint = "It becomes a virtual folder in the list of folders."
        if source.saved:
            hint = "Another name renames the saved search. Without a name it is removed; its messages stay."
        searches = self._mailbox.saved_searches
        dialog = InputDialog(
            "Save this search as",
            source.saved,
            hint,
            read=lambda typed: searches.checked(typed, source.saved) if typed.strip() else "",
            may_be_empty=bool(source.saved),
        )
        name = await screen.app.push_screen_wait(dialog)
        if name is None:
            return
        if name:
            if not source.saved and not await self._may_replace(name, source.query):
                return
            await asyncio.to_thread(searches.put, name, source.query, source.saved)
            words = f"Saved as {safe_line(name)}. c shows all folders."
        else:
            await asyncio.to_thread(searches.remove, source.saved)
            words = f"The saved search {safe_line(source.saved)} is removed."
        await screen.show(SearchList(source.query, name))
        screen.show_status(words)

    async def _may_replace(self, name: str, query: str) -> bool:
        """Ask whether another search of that name, in upper or lower case, is replaced."""
        saved = await asyncio.to_thread(self._mailbox.saved_searches.load)
        taken = next((one for one in saved if one.casefold() == name.casefold()), None)
        if taken is None or saved[taken] == query:
            return True
        question = f"Replace the saved search {safe_line(taken)}: {safe_line(saved[taken])}?"
        return bool(await self._screen.app.push_screen_wait(ConfirmDialog(question, is_risky=True)))

"""Selecting several messages, for which the next key then does its work: mutt's tags."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from emailsys.client.archive.values import BadQuery, NoSuchMessage, Summary
from emailsys.client.display.list_text import counted
from emailsys.client.mailbox import UserMailbox
from emailsys.client.screen.dialogs import InputDialog, SelectionDialog
from emailsys.client.screen.list_sources import FolderList, ListSource
from emailsys.client.screen.panes import Panes

_HINT: Final = "as in a search: words, from:, subject:, is:unread, older:30d; a dot alone means all"
_ALL: Final = "."


class SelectionActions:
    """What the keys for selecting do."""

    def __init__(self, mailbox: UserMailbox, screen: Panes) -> None:
        self._mailbox = mailbox
        self._screen = screen
        self._selection = screen.selection

    async def toggle(self, summaries: Sequence[Summary]) -> None:
        """Select messages, or unselect them where all of them are selected."""
        if (shown := self._screen.shown) is not None:
            keys = {one.key for one in summaries}
            self._change(self._selection.of(shown), keys, not keys <= self._selection.of(shown))

    async def by_search(self, select: bool) -> None:
        """Select or unselect what a search finds within the list, also beyond the lines that are loaded."""
        shown = self._screen.shown
        if shown is None:
            return
        title = "Select which messages?" if select else "Unselect which messages?"
        query = await self._screen.app.push_screen_wait(InputDialog(title, hint=_HINT))
        if not query:
            return
        words = "" if query.strip() == _ALL else query
        try:
            found = await asyncio.to_thread(shown.matching, self._mailbox.archive, words)
        except BadQuery as error:
            self._screen.tell(str(error), error=True)
            return
        keys = {one.key for one in found}
        selected = self._selection.of(shown)
        changing = keys - selected if select else keys & selected
        self._change(selected, changing, select)
        done = "selected" if select else "unselected"
        self._screen.tell(f"{counted(len(changing))} {done}" if keys else "nothing here matches")

    def _change(self, selected: set[str], keys: set[str], select: bool) -> None:
        if select:
            selected |= keys
        else:
            selected -= keys
        self._screen.messages.show_selected(selected, self._mailbox.now())
        self._screen.show_title()

    def ask_action(self, then: Callable[[str, Sequence[Summary]], Coroutine[Any, Any, None]]) -> None:
        """Ask for the key that is meant for all selected messages, and hand on its action and them.

        It asks at once, not in a worker: who types ahead must not have the key taken for the message under the cursor.
        """
        shown = self._screen.shown
        if shown is None or not self._selection.of(shown):
            self._screen.tell("nothing is selected: t selects a message, T what a search finds")
            return

        async def act(action: str) -> None:
            found = await asyncio.to_thread(self._there, shown)
            # What went elsewhere meanwhile is selected no more.
            self._selection.of(shown).intersection_update({one.key for one in found})
            if found:
                await then(action, found)
            else:
                self._screen.tell("what was selected is not here any more")

        def asked(action: str | None) -> None:
            if action is not None:
                self._screen.work(lambda: act(action))

        self._screen.app.push_screen(SelectionDialog(counted(len(self._selection.of(shown)))), asked)

    def _there(self, shown: ListSource) -> list[Summary]:
        found = []
        keys = self._selection.of(shown)
        for key in sorted(keys):
            try:
                summary = self._mailbox.archive.get(key)
            except NoSuchMessage:
                continue
            if not isinstance(shown, FolderList) or summary.place == shown.place:
                found.append(summary)
        return sorted(found, key=lambda one: -one.order)

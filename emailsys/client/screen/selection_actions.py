"""Selection actions of the full screen: select messages, and apply a key to all of them (mutt's tagging)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from emailsys.client.archive.values import NoSuchMessage, Summary
from emailsys.client.display.list_text import message_count
from emailsys.client.mailbox import UserMailbox
from emailsys.client.screen.dialogs import InputDialog, SelectionDialog
from emailsys.client.screen.list_sources import ListSource
from emailsys.client.screen.panes import Panes

_HINT: Final = "Search terms: words, from:, subject:, is:unread, older:30d. A single dot matches all."
_ALL: Final = "."


class SelectionActions:
    """Selects and unselects messages, and asks for an action on them."""

    def __init__(self, mailbox: UserMailbox, screen: Panes) -> None:
        self._mailbox = mailbox
        self._screen = screen
        self._selection = screen.selection

    def toggle(self, summaries: Sequence[Summary]) -> None:
        """Select messages, or unselect them if all of them are selected."""
        if (source := self._screen.source) is not None:
            keys = {one.key for one in summaries}
            self._change(self._selection.of(source), keys, not keys <= self._selection.of(source))

    async def by_search(self, select: bool) -> None:
        """Select or unselect the messages of the list that match a search, including those that are not loaded."""
        source = self._screen.source
        if source is None:
            return
        title = "Select messages that match" if select else "Unselect messages that match"

        def find(typed: str) -> Sequence[Summary]:
            query = typed.strip()
            return source.matching(self._mailbox.archive, "" if query == _ALL else query)

        # Without a term, a search finds everything: an empty line cancels.
        found = await self._screen.app.push_screen_wait(InputDialog(title, "", _HINT, read=find))
        if found is None:
            return
        keys = {one.key for one in found}
        selected = self._selection.of(source)
        changing = keys - selected if select else keys & selected
        self._change(selected, changing, select)
        done = "selected" if select else "unselected"
        self._screen.show_status(
            f"{message_count(len(changing))} {done}." if keys else "No message in this list matches."
        )

    def _change(self, selected: set[str], keys: set[str], select: bool) -> None:
        if select:
            selected |= keys
        else:
            selected -= keys
        self._screen.messages.show_selected(selected, self._mailbox.now())
        self._screen.show_title()

    def ask_action(self, then: Callable[[str, Sequence[Summary]], None]) -> None:
        """Ask for a key, and call `then` with its action and the selected messages.

        The dialog opens immediately, not in a worker: if the user types ahead, the next key must not apply to the
        current message.
        """
        source = self._screen.source
        if source is None or not self._selection.of(source):
            self._screen.show_status(
                "No message is selected. t selects the current message, T those that match a search."
            )
            return

        async def act(action: str) -> None:
            found = self._screen.after_changes(await asyncio.to_thread(self._selected_messages, source))
            # Messages that were moved or deleted since they were selected leave the selection.
            self._selection.of(source).intersection_update({one.key for one in found})
            if found:
                then(action, found)
            else:
                self._screen.show_status("The selected messages are no longer in this list.")

        def asked(action: str | None) -> None:
            if action is not None:
                self._screen.start_dialog(lambda: act(action))

        self._screen.app.push_screen(SelectionDialog(message_count(len(self._selection.of(source)))), asked)

    def _selected_messages(self, source: ListSource) -> list[Summary]:
        found = []
        keys = self._selection.of(source)
        for key in sorted(keys):
            try:
                summary = self._mailbox.archive.get(key)
            except NoSuchMessage:
                continue
            if source.has(summary.folder):
                found.append(summary)
        return sorted(found, key=lambda one: -one.order)

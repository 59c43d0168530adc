"""Reading of the message list in a thread, as it is after the changes of earlier keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from emailsys.client.archive.archive import Archive
from emailsys.client.archive.values import Summary
from emailsys.client.screen.list_sources import FolderList, ListSource
from emailsys.client.screen.message_pane import PAGE
from emailsys.client.screen.pending_changes import PendingChanges


class ListReader:
    """Reads pages of lists, and reads again what changed meanwhile."""

    def __init__(self, archive: Archive, pending: PendingChanges) -> None:
        self._archive = archive
        self._pending = pending
        # Messages that were moved out of a search or a conversation, which finds them in their new folder, too.
        self._moved_out: set[str] = set()

    def begin(self) -> None:
        """Forget what was moved out of the list that was shown before."""
        self._moved_out.clear()

    def move_out(self, source: ListSource | None, keys: Iterable[str]) -> None:
        """Keep messages out of the list until it is opened again."""
        if not isinstance(source, FolderList):
            self._moved_out.update(keys)

    def bring_back(self, keys: Iterable[str]) -> None:
        """Let messages into the list whose move failed or was undone."""
        self._moved_out.difference_update(keys)

    def _applied_to(self, rows: Sequence[Summary]) -> list[Summary]:
        return self._pending.applied_to([one for one in rows if one.key not in self._moved_out])

    async def first_pages(
        self, source: ListSource, number: int, lowest: Callable[[], int | None] = lambda: None
    ) -> tuple[list[Summary], bool]:
        """Read the first pages of a list.

        @param lowest: reads on to the message of that order number, which new ones may have pushed down.
        @return: the messages, and whether these are all.
        """

        def read(down_to: int | None) -> tuple[list[Summary], bool]:
            rows: list[Summary] = []
            while len(rows) < number * PAGE or (down_to is not None and rows[-1].order > down_to):
                page = source.page(self._archive, rows[-1].order if rows else None)
                rows += page
                if len(page) < PAGE:
                    return rows, True
            return rows, False

        while True:
            number_before, down_to = self._pending.number, lowest()
            rows, is_complete = await asyncio.to_thread(read, down_to)
            if number_before == self._pending.number and down_to == lowest():
                return self._applied_to(rows), is_complete

    async def next_page(self, source: ListSource, below: int) -> tuple[list[Summary], bool]:
        """Read the page below an order number. Return its messages, and whether it is the last page."""
        while True:
            number_before = self._pending.number
            page = await asyncio.to_thread(source.page, self._archive, below)
            if number_before == self._pending.number:
                return self._applied_to(page), len(page) < PAGE

"""Reading of the message list in a thread, as it is after the changes of earlier keys."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from emailsys.client.archive.archive import Archive
from emailsys.client.archive.listing import Arrangement, Listed, Page
from emailsys.client.archive.values import Summary
from emailsys.client.screen.list_rows import without
from emailsys.client.screen.list_sources import FolderList, InboxList, ListSource, read_page
from emailsys.client.screen.loaded_pages import LoadedPages, read_pages
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
        if not isinstance(source, FolderList | InboxList):
            self._moved_out.update(keys)

    def bring_back(self, keys: Iterable[str]) -> None:
        """Let messages into the list whose move failed or was undone."""
        self._moved_out.difference_update(keys)

    def _applied_to(self, rows: Sequence[Listed]) -> list[Listed]:
        staying = [row.summary for row in rows if row.summary.key not in self._moved_out]
        here = {one.key: one for one in self._pending.applied_to(staying)}
        left = without(rows, {row.summary.key for row in rows} - here.keys())
        return [Listed(here[row.summary.key], row.depth) for row in left]

    async def first_pages(
        self,
        source: ListSource,
        arrangement: Arrangement,
        from_end: bool,
        number: int,
        in_use: Callable[[], tuple[Summary, ...]] = tuple,
    ) -> LoadedPages:
        """Read the first pages of a list, or the last ones.

        @param in_use: reads on to these messages, which new ones may have pushed to another page.
        """
        while True:
            number_before, wanted = self._pending.number, in_use()
            loaded = await asyncio.to_thread(read_pages, self._archive, source, arrangement, from_end, number, wanted)
            if number_before == self._pending.number and wanted == in_use():
                return replace(loaded, rows=self._applied_to(loaded.rows))

    async def next_page(self, source: ListSource, arrangement: Arrangement, before: LoadedPages) -> Page:
        """Read the page that follows those that are loaded."""
        while True:
            number_before = self._pending.number
            page = await asyncio.to_thread(read_page, self._archive, source, arrangement, before.place, before.from_end)
            if number_before == self._pending.number:
                return replace(page, rows=self._applied_to(page.rows))

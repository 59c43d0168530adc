"""Pages of a list that are loaded, from its beginning or from its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from emailsys.client.archive.archive import Archive
from emailsys.client.archive.listing import Arrangement, Listed, Page, Place
from emailsys.client.archive.sorting import SortBy
from emailsys.client.archive.values import Summary
from emailsys.client.screen.list_sources import ListSource, read_page

# Pages beyond those that were loaded, in which a message is looked for that new ones may have pushed away.
_MORE: Final = 10


@dataclass(frozen=True, slots=True)
class LoadedPages:
    """The rows that are loaded, the place where the list goes on, and whether nothing follows there."""

    rows: Sequence[Listed] = ()
    place: Place | None = None
    pages: int = 0
    is_end: bool = True
    from_end: bool = False

    def followed_by(self, page: Page) -> LoadedPages:
        """Return the rows with those of the next page."""
        known = {one.summary.key for one in self.rows}
        # A conversation moves if a message arrives in it, and may then be on two pages.
        new = [one for one in page.rows if one.summary.key not in known]
        rows = (*new, *self.rows) if self.from_end else (*self.rows, *new)
        place = page.first if self.from_end else page.last
        return LoadedPages(rows, place or self.place, self.pages + 1, page.is_end, self.from_end)


def read_pages(
    archive: Archive,
    source: ListSource,
    arrangement: Arrangement,
    from_end: bool,
    number: int,
    wanted: Sequence[Summary],
) -> LoadedPages:
    """Read the first pages of a list, or the last ones.

    @param number: how many pages; at least one.
    @param wanted: reads on to these messages.
    """
    loaded = LoadedPages(from_end=from_end, is_end=False)
    while not loaded.is_end and (
        loaded.pages < max(number, 1) or not _reaches(loaded, arrangement, wanted, loaded.pages - number)
    ):
        loaded = loaded.followed_by(read_page(archive, source, arrangement, loaded.place, from_end))
    return loaded


def _reaches(loaded: LoadedPages, arrangement: Arrangement, wanted: Sequence[Summary], more: int) -> bool:
    if not wanted or not loaded.rows:
        return True
    if arrangement.by is SortBy.DATE and not arrangement.threads:
        last = loaded.rows[0 if loaded.from_end else -1].summary.order
        if arrangement.is_ascending == loaded.from_end:
            return min(one.order for one in wanted) >= last
        return max(one.order for one in wanted) <= last
    return more >= _MORE or {one.key for one in wanted} <= {row.summary.key for row in loaded.rows}

"""Pages of a long table."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from twisted.trial.unittest import SynchronousTestCase

from emailsys.web.system.table_pages import ROWS, TablePage, table_page

KEPT = ("domain", "users", "aliases")


class Query:
    """The query of a call."""

    def __init__(self, address: str) -> None:
        self._values = parse_qs(urlsplit(address).query)

    def first(self, name: str) -> str:
        return self._values.get(name, [""])[0]


class TablePageTests(SynchronousTestCase):
    """Every row is on one page, and the links lead from page to page."""

    def page(self, count: int, address: str = "") -> TablePage:
        """The page of a table of numbers."""
        call: Any = Query(address)
        return table_page(call, "users", range(count), KEPT)

    def test_a_short_table_has_no_links(self) -> None:
        for count in (0, 1, ROWS):
            page = self.page(count)
            self.assertEqual((list(page.rows), page.earlier, page.later), (list(range(count)), "", ""))

    def test_links_lead_to_every_row_and_back(self) -> None:
        count = 5 * ROWS + 1
        page, seen = self.page(count), 0
        while True:
            self.assertEqual((page.first, page.rows[0], page.total), (seen, seen, count))
            seen = page.last
            if not page.later:
                break
            page = self.page(count, page.later)
        self.assertEqual(seen, count)
        while page.earlier:
            page = self.page(count, page.earlier)
        self.assertEqual(page.first, 0)

    def test_links_keep_the_rest_of_the_query(self) -> None:
        page = self.page(3 * ROWS, f"?domain=a%26b.example&users={ROWS}&aliases=200&done=x")
        self.assertEqual(page.later, f"?domain=a%26b.example&aliases=200&users={2 * ROWS}#users")
        self.assertEqual(page.earlier, "?domain=a%26b.example&aliases=200&users=0#users")

    def test_a_page_beyond_the_end_is_the_last_one(self) -> None:
        for typed in ("100", "999999999"):
            page = self.page(ROWS, f"?users={typed}")
            self.assertEqual((page.first, len(page.rows)), (0, ROWS))
        self.assertEqual(self.page(ROWS + 1, f"?users={5 * ROWS}").first, ROWS)

    def test_what_is_no_number_is_the_first_page(self) -> None:
        for typed in ("-1", "x", "1e3", "\u0663", "9" * 5000):
            self.assertEqual(self.page(3 * ROWS, f"?users={typed}").first, 0)

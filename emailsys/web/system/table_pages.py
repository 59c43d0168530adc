"""Pages of a long table: the rows that are shown, and the links to those before and after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from emailsys.web.base.face import Call

#: Rows of one page. A page must answer quickly, however many rows there are.
ROWS: Final = 100
_MAX_DIGITS: Final = 9


@dataclass(frozen=True, slots=True)
class TablePage:
    """A part of a table.

    @ivar name: of the table: the parameter that holds the number of the first row, and the anchor of the heading.
    @ivar first: the number of the first row that is shown, from 0.
    @ivar total: how many rows there are.
    @ivar earlier: the address of the rows before these; "" if there are none.
    @ivar later: the same for the rows after them.
    """

    name: str
    rows: Sequence[Any]
    first: int
    total: int
    earlier: str
    later: str

    @property
    def last(self) -> int:
        """The number of the row after the last one that is shown, from 0."""
        return self.first + len(self.rows)


def table_page(call: Call, name: str, rows: Sequence[Any], kept: Sequence[str]) -> TablePage:
    """Return the part of a table that a query asks for: the last one, if it asks for rows beyond the end.

    @param kept: further parameters of the query, which stay as they are.
    """
    asked = call.first(name)
    first = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) <= _MAX_DIGITS else 0
    if first >= len(rows):
        first = max(0, len(rows) - 1) // ROWS * ROWS

    def address(number: int) -> str:
        query = {other: call.first(other) for other in kept if other != name and call.first(other)}
        return f"?{urlencode({**query, name: number})}#{name}"

    return TablePage(
        name,
        rows[first : first + ROWS],
        first,
        len(rows),
        address(max(0, first - ROWS)) if first else "",
        address(first + ROWS) if first + ROWS < len(rows) else "",
    )

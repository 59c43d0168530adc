"""Message pane: the list of messages, loaded page by page as the cursor comes near the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final

from rich.text import Text
from textual import events
from textual.message import Message
from textual.widgets import DataTable
from textual.widgets.data_table import ColumnKey

from emailsys.client.archive.values import Flag, Summary
from emailsys.client.display.list_text import correspondent, flag_letters, short_date, size
from emailsys.client.text.terminal import safe_line
from emailsys.upstream import measure_columns_again

#: Messages on one page.
PAGE: Final = 200
# The next page is loaded when the cursor is this many lines before the end.
_NEAR: Final = 40
# The table takes time in proportion to its lines to remove one. If more leave it, filling it again is faster.
_FEW: Final = 50


# Key, title and width of each column.
_COLUMNS: Final = (
    ("flags", "", 4),
    ("date", "Date", 10),
    ("from", "From", 22),
    ("subject", "Subject", 30),
    ("size", "Size", 6),
)


# Minimum and maximum width of the column of names.
_NAMES: Final = (10, 24)


class MessagePane(DataTable[Text]):
    """A table of messages, one on each line."""

    class PageNeeded(Message):
        """Message: the cursor is near the end of the loaded list."""

    class Chosen(Message):
        """Message: the user clicked on a line."""

    def __init__(self, record: Callable[[str, str, Exception], str]) -> None:
        """@param record: records that a step failed at a message; returns a text about it."""
        super().__init__(id="messages", cursor_type="row", zebra_stripes=False, show_row_labels=False)
        self.summaries: list[Summary] = []
        self._selected: AbstractSet[str] = frozenset()
        self._complete = True
        self._record = record

    def on_mount(self) -> None:
        """Add the columns."""
        for key, title, width in _COLUMNS:
            self.add_column(title, key=key, width=width)

    def on_resize(self) -> None:
        """Fit the columns: names get a fifth of the width, the subject gets the rest."""
        names = self.columns[ColumnKey("from")]
        names.width = min(max(self.size.width // 5, _NAMES[0]), _NAMES[1])
        others = sum(
            column.width + 2 * self.cell_padding for key, column in self.columns.items() if key.value != "subject"
        )
        column = self.columns[ColumnKey("subject")]
        column.width = max(self.size.width - others - 2 * self.cell_padding - self.scrollbar_size_vertical, 12)
        measure_columns_again(self)
        self.refresh(layout=True)

    @property
    def current(self) -> Summary | None:
        """The message under the cursor."""
        return self.summaries[self.cursor_row] if 0 <= self.cursor_row < len(self.summaries) else None

    def show(
        self,
        page: Sequence[Summary],
        is_complete: bool,
        now: datetime,
        key: str | None = None,
        row: int = 0,
        selected: AbstractSet[str] = frozenset(),
    ) -> None:
        """Replace the list. The cursor goes to the message `key`, or to `row` if the list does not have it."""
        self._selected = frozenset(selected)
        self.clear()
        self.summaries = []
        self.append(page, is_complete, now)
        rows = [number for number, one in enumerate(self.summaries) if one.key == key]
        self.move_cursor(row=rows[0] if rows else min(row, max(len(self.summaries) - 1, 0)), animate=False)

    def replace(
        self,
        rows: Sequence[Summary],
        is_complete: bool,
        now: datetime,
        key: str | None = None,
        selected: AbstractSet[str] = frozenset(),
    ) -> None:
        """Show the list as it is now. Lines that stay keep their place: the user may have scrolled to them."""
        new = {one.key: one for one in rows}
        top = int(self.scroll_offset.y)
        in_view = [one.key for one in self.summaries[top:]]
        before = [one.key for one in self.summaries]
        if [one.key for one in self.summaries if one.key in new] == [one.key for one in rows]:
            self._complete = is_complete
            self.drop({one.key for one in self.summaries if one.key not in new})
            self.update([new[one.key] for one in self.summaries if new[one.key] != one], now)
        else:
            self.show(rows, is_complete, now, key, self.cursor_row, selected)
        if top and before != [one.key for one in self.summaries]:
            # After the table has followed its cursor. At the top of the list, new messages come into view.
            first = next((one for one in in_view if one in new), None)
            row = next((number for number, one in enumerate(self.summaries) if one.key == first), top)
            self.call_after_refresh(self.scroll_to, y=row, animate=False)

    def append(self, page: Sequence[Summary], is_complete: bool, now: datetime) -> None:
        """Add a page at the end of the list. @param is_complete: whether no page comes after it."""
        self._complete = is_complete
        self.summaries += page
        for one in page:
            self.add_row(*self._cells(one, now), key=one.key)

    def show_selected(self, selected: AbstractSet[str], now: datetime) -> None:
        """Mark the selected messages."""
        changed = self._selected ^ selected
        self._selected = frozenset(selected)
        self.update([one for one in self.summaries if one.key in changed], now)

    def update(self, summaries: Iterable[Summary], now: datetime) -> None:
        """Redraw messages with their new flags and tags. Messages that are not in the list are ignored."""
        new = {one.key: one for one in summaries}
        for number, one in enumerate(self.summaries):
            if (summary := new.get(one.key)) is not None:
                self.summaries[number] = summary
                cells = self._cells(summary, now)
                for (column, _, _), cell in zip(_COLUMNS, cells, strict=True):
                    self.update_cell(summary.key, column, cell)

    def _cells(self, one: Summary, now: datetime) -> list[Text]:
        try:
            return _cells(one, now, one.key in self._selected)
        except Exception as error:
            # The other messages of the list can be shown.
            defect = safe_line(self._record("listing the message", one.key, error))
            return [Text("?"), Text(""), Text(""), Text(defect, "italic red"), Text("")]

    def drop(self, keys: AbstractSet[str]) -> None:
        """Remove messages from the list. The cursor stays on its line, or goes to the next message that remains."""
        leaving = [one.key for one in self.summaries if one.key in keys]
        if leaving:
            row = sum(one.key not in keys for one in self.summaries[: self.cursor_row])
            self.summaries = [one for one in self.summaries if one.key not in keys]
            if len(leaving) > _FEW:
                lines = [(one.key, self.get_row(one.key)) for one in self.summaries]
                self.clear()
                for key, cells in lines:
                    self.add_row(*cells, key=key)
            else:
                for key in leaving:
                    self.remove_row(key)
            self.move_cursor(row=min(row, max(len(self.summaries) - 1, 0)), animate=False)
        self._need_page_near(self.cursor_row)

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Load the next page before the cursor reaches the end."""
        self._need_page_near(event.cursor_row)

    def _need_page_near(self, row: int) -> None:
        if not self._complete and row >= len(self.summaries) - _NEAR:
            self._complete = True
            self.post_message(self.PageNeeded())

    def on_click(self, event: events.Click) -> None:
        """Report a click on a line. The table has moved its cursor there before."""
        if event.style.meta.get("row", -1) >= 0:
            self.post_message(self.Chosen())


def _cells(one: Summary, now: datetime, is_selected: bool) -> list[Text]:
    style = "bold" if one.is_unread else ""
    if one.flags & Flag.FLAGGED:
        style += " yellow"
    subject = Text(safe_line(one.subject) or "(no subject)", style)
    for tag in one.tags:
        subject.append(f" #{safe_line(tag)}", "italic dim")
    return [
        Text(("*" if is_selected else "") + flag_letters(one.flags), style),
        Text(short_date(one.date, now), style),
        Text(safe_line(correspondent(one)), style, overflow="ellipsis", no_wrap=True),
        subject,
        Text(size(one.octets) + ("+" if one.attachments else ""), style, justify="right"),
    ]

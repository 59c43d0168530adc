"""The pane of messages: a page at a time, the next one when the cursor comes near the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime
from typing import Final

from rich.text import Text
from textual import events
from textual.message import Message
from textual.widgets import DataTable
from textual.widgets.data_table import ColumnKey

from emailsys.client.archive.values import Flag, Summary
from emailsys.client.display.list_text import correspondent, letters, size, when
from emailsys.client.text.terminal import safe_line
from emailsys.upstream import measure_columns_again

#: Messages that are asked for at once.
PAGE: Final = 200
# So many lines before the end the next page is asked for.
_NEAR: Final = 40


# Key, title and width of each column.
_COLUMNS: Final = (
    ("flags", "", 4),
    ("date", "Date", 10),
    ("from", "From", 22),
    ("subject", "Subject", 30),
    ("size", "Size", 6),
)


# The least and the greatest width of the names.
_NAMES: Final = (10, 24)


class MessagePane(DataTable[Text]):
    """Messages, one a line."""

    class WantMore(Message):
        """The cursor comes near the end of what is shown."""

    class Chosen(Message):
        """A click: open it."""

    def __init__(self) -> None:
        super().__init__(id="messages", cursor_type="row", zebra_stripes=False, show_row_labels=False)
        self.summaries: list[Summary] = []
        self._selected: AbstractSet[str] = frozenset()
        self._complete = True

    def on_mount(self) -> None:
        """The columns."""
        for key, title, width in _COLUMNS:
            self.add_column(title, key=key, width=width)

    def on_resize(self) -> None:
        """Names have a fifth, the subject has what the others leave."""
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
        now: datetime,
        key: str | None = None,
        row: int = 0,
        selected: AbstractSet[str] = frozenset(),
    ) -> None:
        """Show other messages, with the cursor on that of `key` where it is among them, else on `row`."""
        self._selected = frozenset(selected)
        self.clear()
        self.summaries = []
        self.append(page, now)
        rows = [number for number, one in enumerate(self.summaries) if one.key == key]
        self.move_cursor(row=rows[0] if rows else min(row, max(len(self.summaries) - 1, 0)), animate=False)

    def append(self, page: Sequence[Summary], now: datetime) -> None:
        """Show further messages below those that are there."""
        self._complete = len(page) < PAGE
        self.summaries += page
        for one in page:
            self.add_row(*_cells(one, now, one.key in self._selected), key=one.key)

    def show_selected(self, selected: AbstractSet[str], now: datetime) -> None:
        """Show which messages are selected."""
        changed = self._selected ^ selected
        self._selected = frozenset(selected)
        self.update([one for one in self.summaries if one.key in changed], now)

    def update(self, summaries: Iterable[Summary], now: datetime) -> None:
        """Show messages as they are now; those that are not in the list stay out of it."""
        new = {one.key: one for one in summaries}
        for number, one in enumerate(self.summaries):
            if (summary := new.get(one.key)) is not None:
                self.summaries[number] = summary
                cells = _cells(summary, now, summary.key in self._selected)
                for (column, _, _), cell in zip(_COLUMNS, cells, strict=True):
                    self.update_cell(summary.key, column, cell)

    def drop(self, keys: AbstractSet[str]) -> None:
        """Take messages off the list; the cursor stays on its line, or on that of the next message that stays."""
        row = sum(one.key not in keys for one in self.summaries[: self.cursor_row])
        for key in [one.key for one in self.summaries if one.key in keys]:
            self.remove_row(key)
        self.summaries = [one for one in self.summaries if one.key not in keys]
        self.move_cursor(row=min(row, max(len(self.summaries) - 1, 0)), animate=False)
        self._want_more_near(self.cursor_row)

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Ask for more in time."""
        self._want_more_near(event.cursor_row)

    def _want_more_near(self, row: int) -> None:
        if not self._complete and row >= len(self.summaries) - _NEAR:
            self._complete = True
            self.post_message(self.WantMore())

    def on_click(self, event: events.Click) -> None:
        """A click on a line opens it; the table moves its cursor there first."""
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
        Text(("*" if is_selected else "") + letters(one.flags), style),
        Text(when(one.date, now), style),
        Text(safe_line(correspondent(one)), style, overflow="ellipsis", no_wrap=True),
        subject,
        Text(size(one.octets) + ("+" if one.attachments else ""), style, justify="right"),
    ]

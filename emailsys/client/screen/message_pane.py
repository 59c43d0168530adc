"""Message pane: the list of messages, loaded page by page as the cursor comes near the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from typing import Final

from rich.text import Text
from textual import events
from textual.message import Message
from textual.widgets import DataTable
from textual.widgets.data_table import ColumnKey

from emailsys.client.archive.listing import Listed
from emailsys.client.archive.values import Flag, Summary
from emailsys.client.display.list_text import correspondent, flag_letters, short_date, size, tree_prefix
from emailsys.client.screen.list_rows import Folds, Line, lines_of, without
from emailsys.client.screen.survival import Surviving
from emailsys.client.text.terminal import safe_line
from emailsys.upstream import measure_columns_again

# The next page is loaded when the cursor is this many lines before the end.
_NEAR: Final = 40
# The table takes time in proportion to its lines to remove one. If more leave it, filling it again is faster.
_FEW: Final = 50
# Columns of a terminal below which the list leaves the sizes out.
_NARROW: Final = 60
# Key, title and width of each column, on a wide screen and on a narrow one.
_WIDE_COLUMNS: Final = (
    ("flags", "", 4),
    ("date", "Date", 10),
    ("from", "From", 22),
    ("subject", "Subject", 30),
    ("size", "Size", 6),
)
_NARROW_COLUMNS: Final = (("flags", "", 3), ("date", "Date", 6), ("from", "From", 8), ("subject", "Subject", 10))
# Minimum and maximum width of the column of names, and the minimum of the subject.
_NAMES: Final = (8, 24)
_SUBJECT: Final = 8
# Characters of the place of a message, on a wide screen and on a narrow one.
_PLACE: Final = 16
_NARROW_PLACE: Final = 6


class MessagePane(Surviving, DataTable[Text]):
    """A table of messages, one on each line. A collapsed conversation is one line."""

    class PageNeeded(Message):
        """Message: the cursor is near the end of the loaded list."""

    class Chosen(Message):
        """Message: the user clicked on a line."""

    def __init__(self, record: Callable[[str, str, Exception], str]) -> None:
        """@param record: records that a step failed at a message; returns a text about it."""
        super().__init__(id="messages", cursor_type="row", zebra_stripes=False, show_row_labels=False)
        #: All rows that are loaded, and the lines that show them.
        self.rows_loaded: list[Listed] = []
        self.lines: list[Line] = []
        self._folds = Folds()
        self._place_of: Callable[[Summary], str] = lambda summary: ""
        self._selected: AbstractSet[str] = frozenset()
        self._complete = True
        self._from_end = False
        self._record = record
        self._now = datetime.now(UTC)
        self._columns_shown: Sequence[tuple[str, str, int]] = ()
        self._last_height = 0

    def on_mount(self) -> None:
        """Add the columns."""
        self._set_columns()

    def _set_columns(self) -> None:
        columns = _NARROW_COLUMNS if 0 < self.size.width < _NARROW else _WIDE_COLUMNS
        if columns is self._columns_shown:
            return
        current = self.current
        self._columns_shown = columns
        self.clear(columns=True)
        for key, title, width in columns:
            self.add_column(title, key=key, width=width)
        self._fill(current.key if current is not None else None)

    def on_resize(self) -> None:
        """Fit the columns: names get a fifth of the width, the subject gets the rest. Keep the cursor in view."""
        if not self.size.width:
            # The folder pane takes the whole of a tiny screen.
            return
        self._set_columns()
        names = self.columns[ColumnKey("from")]
        names.width = min(max(self.size.width // 5, _NAMES[0]), _NAMES[1])
        others = sum(
            column.width + 2 * self.cell_padding for key, column in self.columns.items() if key.value != "subject"
        )
        column = self.columns[ColumnKey("subject")]
        column.width = max(self.size.width - others - 2 * self.cell_padding - self.scrollbar_size_vertical, _SUBJECT)
        measure_columns_again(self)
        self.refresh(layout=True)
        if self.size.height < self._last_height:
            # For example because a message opens below the list.
            self.move_cursor(row=self.cursor_row, animate=False)
        self._last_height = self.size.height

    @property
    def summaries(self) -> list[Summary]:
        """The messages that have a line."""
        return [line.summary for line in self.lines]

    @property
    def current(self) -> Summary | None:
        """The message under the cursor."""
        return self.lines[self.cursor_row].summary if 0 <= self.cursor_row < len(self.lines) else None

    @property
    def is_complete(self) -> bool:
        """Whether the whole list is loaded."""
        return self._complete

    def hidden_in(self, key: str) -> Sequence[Summary]:
        """Return the messages that are collapsed into the line of a message."""
        return next((line.hidden for line in self.lines if line.summary.key == key), ())

    def show(
        self,
        page: Sequence[Listed],
        is_complete: bool,
        now: datetime,
        key: str | None = None,
        row: int = 0,
        selected: AbstractSet[str] = frozenset(),
        folds: Folds | None = None,
        place_of: Callable[[Summary], str] | None = None,
        from_end: bool = False,
    ) -> None:
        """Replace the list. The cursor goes to the message `key`, or to `row` if the list does not have it.

        @param from_end: whether the list was read from its end, so that other pages come before this one.
        """
        self._selected = frozenset(selected)
        self._folds = folds if folds is not None else self._folds
        self._place_of = place_of if place_of is not None else self._place_of
        self._from_end = from_end
        self._complete = is_complete
        self._now = now
        self.rows_loaded = [*page]
        self._fill(key, row)

    def _fill(self, key: str | None, row: int = 0) -> None:
        """Make all lines again. The cursor goes to the message, or to the line that it is collapsed into."""
        self.clear()
        self.lines = lines_of(self.rows_loaded, self._folds)
        for line in self.lines:
            self.add_row(*self._cells(line), key=line.summary.key)
        found = self._line_of(key) if key is not None else None
        self.move_cursor(row=found if found is not None else min(row, max(len(self.lines) - 1, 0)), animate=False)

    def _line_of(self, key: str) -> int | None:
        hidden = None
        for number, line in enumerate(self.lines):
            if line.summary.key == key:
                return number
            if any(one.key == key for one in line.hidden):
                hidden = number
        return hidden

    def replace(
        self,
        rows: Sequence[Listed],
        is_complete: bool,
        now: datetime,
        key: str | None = None,
        selected: AbstractSet[str] = frozenset(),
    ) -> None:
        """Show the list as it is now. Lines that stay keep their place: the user may have scrolled to them."""
        new = {one.summary.key: one for one in rows}
        top = int(self.scroll_offset.y)
        in_view = [line.summary.key for line in self.lines[top:]]
        before = [line.summary.key for line in self.lines]
        gone = {one.summary.key for one in self.rows_loaded} - new.keys()
        staying = without(self.rows_loaded, gone)
        if [(one.summary.key, one.depth) for one in staying] == [(one.summary.key, one.depth) for one in rows]:
            self._complete = is_complete
            self.drop(gone)
            changed = [one.summary for one in self.rows_loaded if new[one.summary.key].summary != one.summary]
            self.update([new[one.key].summary for one in changed], now)
        else:
            self.show(rows, is_complete, now, key, self.cursor_row, selected, from_end=self._from_end)
        if top and before != [line.summary.key for line in self.lines]:
            # After the table has followed its cursor. At the top of the list, new messages come into view.
            here = {line.summary.key: number for number, line in enumerate(self.lines)}
            row = next((here[one] for one in in_view if one in here), top)
            self.call_after_refresh(self.scroll_to, y=row, animate=False)

    def append(self, page: Sequence[Listed], is_complete: bool, now: datetime) -> None:
        """Add a page at the end of the list, or at its beginning if the list was read from its end.

        @param is_complete: whether no page comes after it.
        """
        self._complete = is_complete
        self._now = now
        known = {one.summary.key for one in self.rows_loaded}
        # A conversation moves if a message arrives in it, and may then be on two pages.
        page = [one for one in page if one.summary.key not in known]
        if self._from_end:
            current, top = self.current, int(self.scroll_offset.y)
            before = len(self.lines)
            self.rows_loaded = [*page, *self.rows_loaded]
            self._fill(current.key if current is not None else None)
            self.call_after_refresh(self.scroll_to, y=top + len(self.lines) - before, animate=False)
        else:
            self.rows_loaded += page
            lines = lines_of(page, self._folds)
            self.lines += lines
            for line in lines:
                self.add_row(*self._cells(line), key=line.summary.key)

    def fold(self, folds: Folds) -> None:
        """Show the conversations of the list as they are collapsed now."""
        current = self.current
        self._folds = folds
        self._fill(current.key if current is not None else None)

    def first_of_conversation(self, row: int) -> Summary:
        """Return the first message of the conversation that a line belongs to."""
        while row and self.lines[row].depth:
            row -= 1
        return self.lines[row].summary

    def has_answers(self, key: str) -> bool:
        """Whether the list has answers to the first message of a conversation."""
        keys = [one.summary.key for one in self.rows_loaded]
        at = keys.index(key) + 1
        return at < len(keys) and self.rows_loaded[at].depth > 0

    def show_selected(self, selected: AbstractSet[str], now: datetime) -> None:
        """Mark the selected messages."""
        changed = self._selected ^ selected
        self._selected = frozenset(selected)
        self.update([one.summary for one in self.rows_loaded if one.summary.key in changed], now)

    def update(self, summaries: Iterable[Summary], now: datetime) -> None:
        """Redraw messages with their new flags and tags. Messages that are not in the list are ignored."""
        new = {one.key: one for one in summaries}
        if not new:
            return
        self._now = now
        self.rows_loaded = [
            Listed(new[one.summary.key], one.depth) if one.summary.key in new else one for one in self.rows_loaded
        ]
        for number, line in enumerate(self.lines):
            if line.summary.key in new or any(one.key in new for one in line.hidden):
                hidden = tuple(new.get(one.key, one) for one in line.hidden)
                changed = Line(new.get(line.summary.key, line.summary), line.depth, hidden)
                self.lines[number] = changed
                for (column, _, _), cell in zip(self._columns_shown, self._cells(changed), strict=True):
                    self.update_cell(changed.summary.key, column, cell)

    def _cells(self, line: Line) -> list[Text]:
        try:
            cells = _cells(line, self._now, self._selected, self._place_of(line.summary), self._is_narrow)
        except Exception as error:
            # The other messages of the list can be shown.
            defect = safe_line(self._record("listing the message", line.summary.key, error))
            cells = [Text("?"), Text(""), Text(""), Text(defect, "italic red"), Text("")]
        return cells[: len(self._columns_shown)]

    @property
    def _is_narrow(self) -> bool:
        return self._columns_shown is _NARROW_COLUMNS

    def drop(self, keys: AbstractSet[str]) -> None:
        """Remove messages from the list. The cursor stays on its line, or goes to the next message that remains."""
        before = self.lines
        current = self.cursor_row
        self.rows_loaded = without(self.rows_loaded, keys)
        self.lines = lines_of(self.rows_loaded, self._folds)
        if before != self.lines:
            left = {line.summary.key: line for line in self.lines}
            leaving = [line.summary.key for line in before if line.summary.key not in left]
            row = sum(line.summary.key in left for line in before[:current])
            staying = [line for line in before if line.summary.key in left]
            if len(leaving) > _FEW or len(staying) != len(self.lines):
                self.clear()
                for line in self.lines:
                    self.add_row(*self._cells(line), key=line.summary.key)
            else:
                for key in leaving:
                    self.remove_row(key)
                for old, new in zip(staying, self.lines, strict=True):
                    if old != new:
                        for (column, _, _), cell in zip(self._columns_shown, self._cells(new), strict=True):
                            self.update_cell(new.summary.key, column, cell)
            self.move_cursor(row=min(row, max(len(self.lines) - 1, 0)), animate=False)
        self._need_page_near(self.cursor_row)

    def on_data_table_row_highlighted(self) -> None:
        """Load the next page before the cursor reaches the end."""
        # Not the row of the event: the cursor may have moved on.
        self._need_page_near(self.cursor_row)

    def _need_page_near(self, row: int) -> None:
        is_near = row < _NEAR if self._from_end else row >= len(self.lines) - _NEAR
        if not self._complete and is_near:
            self._complete = True
            self.post_message(self.PageNeeded())

    def on_click(self, event: events.Click) -> None:
        """Report a click on a line. The table has moved its cursor there before."""
        if event.style.meta.get("row", -1) >= 0:
            self.post_message(self.Chosen())


def place_text(place: str, is_narrow: bool) -> str:
    """Return the account and the folder of a message for its row. If there is no room for both, the account is cut."""
    account, slash, folder = place.rpartition("/")
    if is_narrow:
        return folder[:_NARROW_PLACE]
    folder = folder[: _PLACE - len("…/")] if slash else folder[:_PLACE]
    room = _PLACE - len(folder) - len(slash)
    return f"{account if len(account) <= room else f'{account[: room - 1]}…'}{slash}{folder}"


def _cells(line: Line, now: datetime, selected: AbstractSet[str], place: str, is_narrow: bool) -> list[Text]:
    one = line.summary
    messages = (one, *line.hidden)
    style = "bold" if any(each.is_unread for each in messages) else ""
    if any(each.flags & Flag.FLAGGED for each in messages):
        style += " yellow"
    subject = Text(style=style)
    subject.append(tree_prefix(line.depth), "dim")
    if line.hidden:
        subject.append(f"+{len(line.hidden)} ", "bold")
    if place:
        # A narrow screen has room for the last part: the folder.
        shown = place_text(safe_line(place), is_narrow)
        subject.append(f"{shown} ", "dim")
    subject.append(safe_line(one.subject) or "(no subject)")
    for tag in one.tags:
        subject.append(f" #{safe_line(tag)}", "italic dim")
    mark = "*" if any(each.key in selected for each in messages) else ""
    return [
        Text(mark + flag_letters(one.flags), style),
        Text(short_date(one.date, now, is_narrow), style),
        Text(safe_line(correspondent(one)), style, overflow="ellipsis", no_wrap=True),
        subject,
        Text(size(one.octets) + ("+" if one.attachments else ""), style, justify="right"),
    ]

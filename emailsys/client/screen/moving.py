"""Keys of the main screen that move: among messages, pages, panes and lists."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from emailsys.client.screen.folder_pane import FolderPane
from emailsys.client.screen.panes import Panes

#: Keys that the pane with the focus handles itself, and Textual's names of what they do: the first that the pane has.
CURSOR_KEYS: Final = {
    "up": ("cursor_up", "scroll_up"),
    "down": ("cursor_down", "scroll_down"),
    "pageup": ("page_up",),
    "pagedown": ("page_down",),
    "home": ("scroll_home",),
    "end": ("scroll_end",),
}


class MovingPanes(Panes):
    """The panes with the keys that move."""

    def action_next(self) -> None:
        """Go to the next message. If a message is open, open the next one."""
        self.move_by(1)

    def action_previous(self) -> None:
        """Go to the previous message."""
        self.move_by(-1)

    def move_by(self, by: int) -> None:
        """Move the cursor by lines, in the list or in the folder pane."""
        pane = self.query_one(FolderPane)
        if self.focused is pane:
            pane.action_cursor_down() if by > 0 else pane.action_cursor_up()
            return
        self.go_to_row(self.messages.cursor_row + by)

    def go_to_row(self, row: int) -> None:
        """Move the cursor to a line of the list. If a message is open, open the new one."""
        if not 0 <= row < len(self.messages.lines):
            self.show_status("There are no more messages.")
            return
        reading = self.focused is self.reader
        self.messages.move_cursor(row=row, animate=False)
        if reading:
            self.open_message(self.messages.lines[row].summary)
        else:
            self.on_data_table_row_highlighted()

    def action_next_unread(self) -> None:
        """Go to the next unread message, and after the last one start again at the top.

        A collapsed conversation counts if any of its messages is unread.
        """
        lines = self.messages.lines
        here = self.messages.cursor_row
        for row in [*range(here + 1, len(lines)), *range(here + 1)]:
            if row < len(lines) and any(one.is_unread for one in (lines[row].summary, *lines[row].hidden)):
                self.go_to_row(row)
                return
        self.show_status("There are no unread messages here.")

    def action_first(self) -> None:
        """Go to the first message of the list, which is loaded if it is not yet."""
        self._go_to_end(False)

    def action_last(self) -> None:
        """Go to the last message of the list, which is loaded if it is not yet."""
        self._go_to_end(True)

    def _go_to_end(self, is_last: bool) -> None:
        source = self.source
        if source is None or self.messages.is_complete or self.loaded_from_end is is_last:
            self.go_to_row(len(self.messages.lines) - 1 if is_last else 0)
        else:
            self.start_dialog(lambda: self.show(source, from_end=is_last))

    def action_page_down(self) -> None:
        """Scroll a page down. At the end of a message, open the next one."""
        if self.focused is self.reader:
            self.reader.when_ready(self._read_on)
        else:
            self.messages.action_page_down()
            self.on_data_table_row_highlighted()

    def _read_on(self) -> None:
        if self.reader.at_end:
            self.move_by(1)
        else:
            self.reader.action_page_down()

    def action_page_up(self) -> None:
        """Scroll a page up in the message or the list."""
        if self.focused is self.reader:
            self.reader.when_ready(self.reader.action_page_up)
        else:
            self.messages.action_page_up()
            self.on_data_table_row_highlighted()

    def action_to_list(self) -> None:
        """Go from the message to the list, or from a search to its folder."""
        home = self.home
        if self.focused is self.messages and home is not None and self.source != home:
            self.start_dialog(lambda: self.show(home))
        self.set_focus(self.messages)

    def action_to_folders(self) -> None:
        """Go to the folder pane, to the list that is shown. A narrow screen shows the pane only on request."""
        pane = self.query_one(FolderPane)
        if self.focused is not pane:
            pane.point_at(self.source if self.is_saved_search else self.home)
        pane.add_class("asked")
        self.set_focus(pane)

    def action_in_pane(self, names: Sequence[str]) -> None:
        """Move in the pane with the focus, at once: the next key must not overtake this one."""
        found = (getattr(self.focused, f"action_{name}", None) for name in names)
        act = next(filter(None, found), None)
        if act is not None and self.focused is self.reader:
            self.reader.when_ready(act)
        elif act is not None:
            act()
            self.on_data_table_row_highlighted()

    def action_next_pane(self) -> None:
        """Go to the next pane, and from the last one to the first."""
        self.focus_next()

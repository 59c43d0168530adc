"""Text fields that make control characters from drafts, pastes and editors visible.

Textual itself passes control characters on to the terminal.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import events
from textual.widgets import Input, TextArea
from typing_extensions import override

from emailsys.client.text.terminal import show_controls


class SafeInput(Input):
    """A line of text without control characters. Of several lines that are pasted, all are taken."""

    def validate_value(self, value: str) -> str:
        """Replace control characters. Textual calls this method by its name whenever the value changes."""
        return show_controls(value.replace("\n", " ").replace("\t", " "))

    def on_paste(self, event: events.Paste) -> None:
        """Insert all lines in place of the selected text. Textual itself inserts only the first one."""
        event.prevent_default()
        event.stop()
        self.replace(self.join([line for line in event.text.splitlines() if line.strip()]), *sorted(self.selection))

    def join(self, lines: Sequence[str]) -> str:
        """Return the lines of a paste as one."""
        return " ".join(lines)


class AddressInput(SafeInput):
    """A line of addresses. Pasted lines become addresses with commas between them."""

    @override
    def join(self, lines: Sequence[str]) -> str:
        """Return the lines with a comma after each address. A name may stand on a line before its address."""
        stripped = [line.strip().rstrip(",; ") for line in lines]
        joined = [f"{line}," if "@" in line else line for line in stripped[:-1]]
        return " ".join([*joined, *stripped[-1:]])


class SafeTextArea(TextArea):
    """A multi-line text. The text itself is unchanged; control characters are replaced only on the screen."""

    @override
    def get_line(self, line_index: int) -> Text:
        """Return a line as it is drawn."""
        seen = super().get_line(line_index)
        seen.plain = show_controls(seen.plain)
        return seen

    def change(self, text: str) -> None:
        """Replace the text as the user would: the cursor stays, and Ctrl-Z brings the old text back."""
        if text != self.text:
            cursor = self.cursor_location
            self.replace(text, self.document.start, self.document.end)
            self.move_cursor(min(cursor, self.document.end))

    def go_to_end_of(self, beginning: str) -> None:
        """Put the cursor behind the beginning of the text, such as what an answer quotes."""
        # The document divides its text into the same lines.
        *before, last = f"{beginning}.".splitlines()
        self.move_cursor((len(before), len(last) - 1))

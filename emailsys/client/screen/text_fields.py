"""Text fields that make control characters from drafts, pastes and editors visible.

Textual itself passes control characters on to the terminal.
"""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Input, TextArea
from typing_extensions import override

from emailsys.client.text.terminal import show_controls


class SafeInput(Input):
    """A line of text without control characters."""

    def validate_value(self, value: str) -> str:
        """Replace control characters. Textual calls this method by its name whenever the value changes."""
        return show_controls(value.replace("\n", " ").replace("\t", " "))


class SafeTextArea(TextArea):
    """A multi-line text. The text itself is unchanged; control characters are replaced only on the screen."""

    @override
    def get_line(self, line_index: int) -> Text:
        """Return a line as it is drawn."""
        seen = super().get_line(line_index)
        seen.plain = show_controls(seen.plain)
        return seen

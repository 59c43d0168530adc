"""The fields one writes in: whatever is put into them, by a draft, a paste or an editor, none of it moves the terminal.

Textual hands control characters on to the terminal as they are.
"""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Input, TextArea
from typing_extensions import override

from emailsys.client.text.terminal import show_controls


class SafeInput(Input):
    """One line."""

    def validate_value(self, value: str) -> str:
        """What stands in the line; Textual asks by this name."""
        return show_controls(value.replace("\n", " ").replace("\t", " "))


class SafeTextArea(TextArea):
    """Several lines. The text stays as it is; only what is seen of it is made safe."""

    @override
    def get_line(self, line_index: int) -> Text:
        """A line as it is seen."""
        seen = super().get_line(line_index)
        seen.plain = show_controls(seen.plain)
        return seen

"""Reader pane: shows one message."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static
from typing_extensions import override

from emailsys.client.display.list_text import size_text
from emailsys.client.display.message import MessageView


class ReaderPane(VerticalScroll):
    """Shows header fields, attachments, text and defects of a message."""

    def __init__(self) -> None:
        super().__init__(id="reader")
        #: The key of the open message; None if no message is open.
        self.key: str | None = None

    @override
    def compose(self) -> ComposeResult:
        yield Static("", markup=False, id="text")

    def show(self, key: str, view: MessageView, headers: Sequence[tuple[str, str]]) -> None:
        """Show the beginning of a message."""
        self.key = key
        self.add_class("open")
        self.query_one("#text", Static).update(_text(view, headers))
        self.scroll_home(animate=False)

    def close(self) -> None:
        """Close the message, so that the list gets the whole height."""
        self.key = None
        self.remove_class("open")

    @property
    def at_end(self) -> bool:
        """Whether the last line is visible."""
        return self.scroll_offset.y >= self.max_scroll_y


def _text(view: MessageView, headers: Sequence[tuple[str, str]]) -> Text:
    text = Text()
    for name, value in headers:
        text.append(f"{name}: ", "bold")
        text.append(f"{value}\n", "bold" if name == "Subject" else "")
    for one in view.attachments:
        text.append("Attached: ", "bold")
        text.append(f"{one.name}  {one.content_type}, {size_text(one.octets)}\n")
    text.append("\n")
    for line in view.body.split("\n"):
        text.append(f"{line}\n", "italic dim" if line.startswith(">") else "")
    for defect in view.defects:
        text.append(f"defect: {defect}\n", "italic red")
    return text

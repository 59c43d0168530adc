"""Reader pane: shows one message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static
from typing_extensions import override

from emailsys.client.display.message import MessageView
from emailsys.client.screen.survival import Surviving

# Characters of one piece of a message. The screen lays out a piece in about 0.05 s.
_PIECE: Final = 20_000


class ReaderPane(Surviving, VerticalScroll):
    """Shows header fields, attachments, text and defects of a message, and lays out long text as it is scrolled."""

    def __init__(self) -> None:
        super().__init__(id="reader")
        #: The key of the open message; None if no message is open.
        self.key: str | None = None
        # What is not laid out yet, and the piece that comes next.
        self._rest: Iterator[Text] = iter(())
        self._next: Text | None = None
        self._more: list[Static] = []
        self._is_loading = False

    @override
    def compose(self) -> ComposeResult:
        yield Static("", markup=False, id="text")

    def show(
        self, key: str, view: MessageView, headers: Sequence[tuple[str, str]], keep_position: bool = False
    ) -> None:
        """Show the beginning of a message, or the message again without moving it."""
        self.key = key
        self.add_class("open")
        self._rest = _pieces(view, headers)
        self.query_one("#text", Static).update(next(self._rest))
        if keep_position:
            for piece in self._more:
                piece.update(next(self._rest, Text()))
        else:
            for piece in self._more:
                piece.remove()
            self._more = []
            self.scroll_home(animate=False)
        self._next = next(self._rest, None)
        self.call_after_refresh(self._load)

    def _load(self) -> None:
        """Lay out the next piece if the end of the last one comes near."""
        if self._is_loading or self._next is None or self.max_scroll_y - self.scroll_offset.y > 2 * self.size.height:
            return
        self._is_loading = True
        piece = Static(self._next, markup=False)
        self._next = next(self._rest, None)
        self._more.append(piece)
        self.mount(piece)
        self.call_after_refresh(self._loaded)

    def _loaded(self) -> None:
        self._is_loading = False
        self._load()

    @override
    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._load()

    def close(self) -> None:
        """Close the message, so that the list gets the whole height."""
        self.key = None
        self.remove_class("open")

    @property
    def at_end(self) -> bool:
        """Whether the last line is visible."""
        return self._next is None and self.scroll_offset.y >= self.max_scroll_y


def _pieces(view: MessageView, headers: Sequence[tuple[str, str]]) -> Iterator[Text]:
    """Yield the message in pieces that are laid out one after the other. Each ends at a line end where there is one."""
    body = view.body
    at = 0
    text = _head(view, headers)
    while True:
        end = at + _PIECE
        if end < len(body):
            line_end = body.rfind("\n", at, end)
            end = line_end if line_end > at else end
        else:
            end = len(body)
        _append_lines(text, body[at:end])
        at = end + (body[end : end + 1] == "\n")
        if at >= len(body):
            break
        yield text
        text = Text()
    if len(view.defects) > 1:
        text.append(f"{len(view.defects)} defects. V lists them.\n", "italic red")
    else:
        text.append("".join(f"defect: {defect}\n" for defect in view.defects), "italic red")
    yield text


def _append_lines(text: Text, lines: str) -> None:
    for line in lines.split("\n"):
        text.append(f"{line}\n", "italic dim" if line.startswith(">") else "")


def _head(view: MessageView, headers: Sequence[tuple[str, str]]) -> Text:
    text = Text()
    for name, value in headers:
        text.append(f"{name}: ", "bold")
        text.append(f"{value}\n", "bold" if name == "Subject" else "")
    for warning in view.warnings:
        text.append(f"{warning}\n", "bold red")
    if view.is_locked:
        text.append("K asks for the passphrase.\n", "bold red")
    for note in view.notes:
        text.append(f"{note}\n", "green")
    for one in view.attachments:
        text.append("Attached: ", "bold")
        text.append(f"{one.name}  {one.kind}\n")
    text.append("\n")
    return text

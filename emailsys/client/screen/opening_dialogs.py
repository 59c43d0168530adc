"""Dialogs before something is opened or saved: a question that shows all of it, and a path that Tab completes."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final, TypeVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, Label, Static
from typing_extensions import override

from emailsys.client.opening.paths import complete_path
from emailsys.client.screen.dialogs import InputDialog
from emailsys.client.screen.key_order import Question
from emailsys.client.screen.survival import Surviving

T = TypeVar("T")

# Names that are shown below a path.
_MAX_NAMES: Final = 20


class OpenDialog(Question, Surviving, ModalScreen[bool]):
    """Ask whether to open what is shown in full. Enter is no answer: it may have been typed too early."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "dismiss(True)", "Yes"),
        Binding("n,escape,q", "dismiss(False)", "No"),
        Binding("j", "scroll(1)", show=False),
        Binding("k", "scroll(-1)", show=False),
        Binding("space", "scroll(8)", show=False),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    @override
    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label("y opens it, n does not", markup=False, classes="title")
            with VerticalScroll(classes="whole"):
                yield Static(Text(self._question, overflow="fold"), markup=False)

    def on_mount(self) -> None:
        """Focus the text, so that keys scroll it."""
        self.set_focus(self.query_one(VerticalScroll))

    def action_scroll(self, by: int) -> None:
        """Scroll by lines."""
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False, immediate=True)


class PathDialog(InputDialog[T]):
    """Ask for a file or a folder. Tab completes its path."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("tab", "complete", "Complete", priority=True)]

    def __init__(self, title: str, value: str, read: Callable[[str], T], files: bool = False) -> None:
        """
        @param read: returns the result for the path, or raises why it cannot be used. Runs in a thread.
        @param files: whether files are offered, too.
        """
        super().__init__(title, value, "Tab completes the path. ~ is your home folder.", read=read)
        self._files = files

    def action_complete(self) -> None:
        """Complete the path as far as it is certain, and show what is possible."""
        line = self.query_one(Input)
        line.value, names = complete_path(line.value, only_folders=not self._files)
        line.cursor_position = len(line.value)
        more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        shown = "  ".join(names[:_MAX_NAMES]) + more if len(names) > 1 else "" if names else "Nothing begins so."
        self.query_one(".hint", Label).update(Text(shown))

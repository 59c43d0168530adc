"""Dialogs of the full screen: input, choice, confirmation, text, and actions for a selection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, TypeVar, overload

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Button, Input, Label, OptionList, Static
from textual.widgets.option_list import Option
from typing_extensions import override

from emailsys.client.screen.key_order import KeyOrder, Question
from emailsys.client.screen.keys import FOR_ALL, SECTIONS, Key
from emailsys.client.screen.survival import Surviving
from emailsys.client.screen.text_fields import SafeInput
from emailsys.client.text.terminal import safe_text

T = TypeVar("T")


class InputDialog(Surviving, ModalScreen[T | None]):
    """Ask for one line of text, and read it. The result is None if the user cancels.

    A line that cannot be used stays as it was typed, with the reason below it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel"),
        # With priority: the message by which a field, a list or a button reports Enter comes after the next key.
        Binding("enter", "submit", show=False, priority=True),
    ]

    @overload
    def __init__(
        self: InputDialog[str],
        title: str,
        value: str = "",
        hint: str = "",
        secret: bool = False,
        is_selected: bool = False,
    ) -> None: ...

    @overload
    def __init__(
        self,
        title: str,
        value: str = "",
        hint: str = "",
        *,
        is_selected: bool = False,
        read: Callable[[str], T],
        may_be_empty: bool = False,
    ) -> None: ...

    def __init__(
        self,
        title: str,
        value: str = "",
        hint: str = "",
        secret: bool = False,
        is_selected: bool = False,
        *,
        read: Callable[[str], Any] | None = None,
        may_be_empty: bool = False,
    ) -> None:
        """
        @param is_selected: whether what the user types replaces the value.
        @param read: returns the result for what was typed, or raises why it cannot be used. Runs in a thread.
        @param may_be_empty: whether an empty line is read, too. Otherwise it cancels.
        """
        super().__init__()
        self._title, self._value, self._hint, self._secret = title, value, hint, secret
        self._is_selected = is_selected
        self._read = read
        self._may_be_empty = may_be_empty
        #: Reading what was typed: the next keys wait for it.
        self.key_order = KeyOrder(self)

    @override
    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(self._title, markup=False, classes="title")
            yield self.line()
            yield Label("", markup=False, classes="problem")
            if self._hint:
                yield Label(self._hint, markup=False, classes="hint")

    def line(self) -> Widget:
        """Return the field."""
        return SafeInput(self._value, password=self._secret, select_on_focus=self._is_selected)

    def action_submit(self) -> None:
        """Return the text on Enter, or what was read from it."""
        text: Any = self.query_one(Input).value
        if self._read is None:
            self.dismiss(text)
        elif not text.strip() and not self._may_be_empty:
            self.dismiss(None)
        elif not self.key_order.is_busy:
            self.key_order.start(self.guarded(partial(self._submit, text, self._read)), "submit")

    async def _submit(self, text: str, read: Callable[[str], T]) -> None:
        try:
            found = await asyncio.to_thread(read, text)
        except Exception as error:
            words = safe_text(self.app.failure_words(error))
            self.query_one(".problem", Label).update(Text(words))
            self.query_one(".dialog").add_class("refused")
        else:
            self.dismiss(found)


class ChoiceDialog(Surviving, ModalScreen[int | None]):
    """Choose one of several lines. The result is its index from 0, or None if the user cancels."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "Cancel"),
        Binding("enter", "choose", show=False, priority=True),
        Binding("j", "move(1)", show=False),
        Binding("k", "move(-1)", show=False),
    ]

    def __init__(self, title: str, lines: Sequence[str], hint: str = "") -> None:
        super().__init__()
        self._title, self._lines, self._hint = title, lines, hint

    @override
    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(self._title, markup=False, classes="title")
            yield OptionList(*(Option(Text(line)) for line in self._lines), markup=False)
            if self._hint:
                yield Label(self._hint, markup=False, classes="hint")

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Return the index of the line that was clicked."""
        self.dismiss(event.option_index)

    def action_choose(self) -> None:
        """Return the index of the line under the cursor on Enter."""
        if (highlighted := self.query_one(OptionList).highlighted) is not None:
            self.dismiss(highlighted)

    def action_move(self, by: int) -> None:
        """Move up or down with mutt's keys, j and k."""
        options = self.query_one(OptionList)
        if by > 0:
            options.action_cursor_down()
        else:
            options.action_cursor_up()


class ConfirmDialog(Question, Surviving, ModalScreen[bool]):
    """Ask a question with the answers yes and no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "dismiss(True)", "Yes"),
        Binding("n,escape,q", "dismiss(False)", "No"),
        Binding("enter", "press", show=False, priority=True),
    ]

    def __init__(self, question: str, is_risky: bool = False) -> None:
        """@param is_risky: whether No has the focus, so that an Enter typed too early does no harm."""
        super().__init__()
        self._question = question
        self._is_risky = is_risky

    @override
    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(self._question, markup=False, classes="title")
            with Horizontal(classes="buttons"):
                yield Button("Yes (y)", variant="primary", id="yes")
                yield Button("No (n)", id="no")

    def on_mount(self) -> None:
        """Focus the answer that Enter gives."""
        # Not its focus(), which comes after keys that the program has got already.
        self.set_focus(self.query_one("#no" if self._is_risky else "#yes", Button))

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Return the answer of the button that was clicked."""
        self.dismiss(event.button.id == "yes")

    def action_press(self) -> None:
        """Return the answer of the button with the focus on Enter."""
        self.dismiss(self.focused is self.query_one("#yes"))


class TextDialog(Surviving, ModalScreen[None]):
    """Show a text that can be scrolled."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,V", "dismiss(None)", "Close"),
        Binding("j", "scroll(1)", show=False),
        Binding("k", "scroll(-1)", show=False),
        Binding("space", "page(1)", show=False),
        Binding("minus", "page(-1)", show=False),
    ]

    def __init__(self, title: str, text: Text) -> None:
        super().__init__()
        self._title, self._text = title, text

    @override
    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog large"):
            yield Label(self._title, markup=False, classes="title")
            with VerticalScroll():
                yield Static(self._text, markup=False)

    def on_mount(self) -> None:
        """Focus the text, so that keys scroll it."""
        self.set_focus(self.query_one(VerticalScroll))

    def action_scroll(self, by: int) -> None:
        """Scroll by lines."""
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False, immediate=True)

    def action_page(self, by: int) -> None:
        """Scroll by pages."""
        text = self.query_one(VerticalScroll)
        text.scroll_relative(y=by * text.size.height, animate=False, immediate=True)


class SelectionDialog(Surviving, ModalScreen[str | None]):
    """Wait for the key of an action for all selected messages. The result is the action, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,semicolon", "dismiss(None)", "Cancel"),
        *(Binding(key.keys, f"dismiss('{key.action}')", key.help) for key in FOR_ALL),
    ]

    def __init__(self, subject: str) -> None:
        """@param subject: what the action applies to, such as "3 messages"."""
        super().__init__()
        self._subject = subject

    @override
    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(f"Action for {self._subject}", markup=False, classes="title")
            yield Static(_keys_text(FOR_ALL), markup=False)


def _keys_text(keys: Sequence[Key]) -> Text:
    text = Text()
    for key in keys:
        text.append(f"  {key.shown:<10}", "bold")
        text.append(f"{key.help}\n")
    return text


def help_text() -> Text:
    """Return the help: all keys with their actions."""
    text = Text()
    for title, keys in SECTIONS:
        text.append(f"{title}\n", "bold")
        text.append(_keys_text(keys))
        text.append("\n")
    text.append(
        "With the mouse: click a folder, a message, or a key in the bottom line; scroll with the wheel.\n", "italic"
    )
    return text

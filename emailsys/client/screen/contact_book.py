"""Dialog of the contact book: its contacts, and the keys that act on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Label, OptionList
from textual.widgets.option_list import Option
from typing_extensions import override

from emailsys.client.contacts.book import Contact
from emailsys.client.screen.keys import BOOK
from emailsys.client.screen.survival import Surviving
from emailsys.client.text.terminal import safe_line

_HINT = "  ".join(f"{key.shown} {key.footer}" for key in BOOK)


class ContactBookDialog(Surviving, ModalScreen[tuple[str, int] | None]):
    """Show the contacts. The result is the name of an action and the index of the contact, or None to leave."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(key.keys, f"do({key.action!r})", key.help, priority=True) for key in BOOK),
        Binding("escape,q", "dismiss(None)", "Leave"),
        Binding("j", "move(1)", show=False),
        Binding("k", "move(-1)", show=False),
    ]

    def __init__(self, contacts: Sequence[Contact], at: int) -> None:
        """@param at: the index of the contact that gets the cursor."""
        super().__init__()
        self._contacts = contacts
        self._at = at

    @override
    def compose(self) -> ComposeResult:
        lines = [f"{one.short_name}  {', '.join(map(str, one.mailboxes))}" for one in self._contacts]
        with Vertical(classes="dialog"):
            yield Label("Contacts" if lines else "Contacts: none yet", markup=False, classes="title")
            yield OptionList(*(Option(Text(safe_line(line), no_wrap=True, overflow="ellipsis")) for line in lines))
            yield Label(_HINT, markup=False, classes="hint")

    def on_mount(self) -> None:
        """Put the cursor where it was."""
        options = self.query_one(OptionList)
        self.set_focus(options)
        if self._contacts:
            options.highlighted = min(self._at, len(self._contacts) - 1)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Change the contact that was clicked."""
        self.dismiss(("change_contact", event.option_index))

    def action_do(self, action: str) -> None:
        """Return an action, with the contact under the cursor."""
        self.dismiss((action, self.query_one(OptionList).highlighted or 0))

    def action_move(self, by: int) -> None:
        """Move up or down."""
        options = self.query_one(OptionList)
        options.action_cursor_down() if by > 0 else options.action_cursor_up()

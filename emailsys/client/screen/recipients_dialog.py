"""Dialog that asks for recipients, with suggestions as in To of the composer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Label
from typing_extensions import override

from emailsys.client.screen.address_fields import AddressField
from emailsys.client.screen.dialogs import InputDialog
from emailsys.mail.message.mailboxes import Mailbox

_HINT = "Addresses or contacts, with commas between them. Tab accepts a suggestion."


class RecipientsDialog(InputDialog):
    """Ask for recipients. The result is the text as it was typed, or None if the user cancels."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "accept", show=False, priority=True),
        Binding("escape", "leave", "Cancel", priority=True),
    ]

    def __init__(self, title: str, find: Callable[[str], Sequence[Mailbox]]) -> None:
        """@param find: returns the people that a prefix matches. It is called in a thread."""
        super().__init__(title, hint=_HINT)
        self._field = AddressField("recipients", "", find)

    @override
    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Label(self._title, markup=False, classes="title")
            yield self._field
            yield Label(self._hint, markup=False, classes="hint")

    def action_accept(self) -> None:
        """Accept the suggestion that is highlighted."""
        self._field.take_offer()

    @override
    def action_submit(self) -> None:
        """Accept the suggestion that is highlighted, or else return the text."""
        if not self._field.take_offer():
            super().action_submit()

    def action_leave(self) -> None:
        """Close the suggestions, or else the dialog."""
        if self._field.is_offering:
            self._field.dismiss()
        else:
            self.dismiss(None)

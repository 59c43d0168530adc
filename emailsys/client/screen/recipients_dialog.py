"""Dialog that asks for recipients, with suggestions as in To of the composer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.widget import Widget
from typing_extensions import override

from emailsys.client.screen.address_fields import AddressField
from emailsys.client.screen.dialogs import InputDialog
from emailsys.mail.message.mailboxes import Mailbox

_HINT = "Addresses or contacts, with commas between them. Tab accepts a suggestion."


class RecipientsDialog(InputDialog[Sequence[Mailbox]]):
    """Ask for recipients. The result is None if the user cancels."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "accept", show=False, priority=True),
        Binding("escape", "leave", "Cancel", priority=True),
    ]

    def __init__(
        self, title: str, find: Callable[[str], Sequence[Mailbox]], read: Callable[[str], Sequence[Mailbox]]
    ) -> None:
        """
        @param find: returns the people that a prefix matches. It is called in a thread.
        @param read: returns the recipients that were typed. It is called in a thread.
        @raise AddressSyntaxError: by `read`; an address is invalid.
        """
        super().__init__(title, hint=_HINT, read=read)
        self._field = AddressField("recipients", "", find)

    @override
    def line(self) -> Widget:
        """Return the field with its suggestions."""
        return self._field

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

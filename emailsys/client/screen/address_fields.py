"""Input fields for To, Cc and Bcc, with suggestions from earlier correspondence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import OptionList
from textual.widgets.option_list import Option
from typing_extensions import override

from emailsys.client.archive.values import ArchiveError
from emailsys.client.compose.completion import is_whole, last_address_start
from emailsys.client.screen.keys import OFFERED
from emailsys.client.screen.survival import Surviving
from emailsys.client.screen.text_fields import AddressInput
from emailsys.mail.message.mailboxes import Mailbox


class AddressField(Surviving, Vertical):
    """An input line for addresses, with a list of suggestions that opens below it."""

    # The composer handles Tab, in the order of the keys.
    BINDINGS: ClassVar[list[BindingType]] = [key.binding() for key in OFFERED if key.action.startswith("offer_")]

    def __init__(self, name: str, text: str, find: Callable[[str], Sequence[Mailbox]]) -> None:
        """
        @param name: the id of the input line.
        @param find: returns the correspondents that a prefix matches. It is called in a thread.
        """
        super().__init__(classes="address")
        self._line = AddressInput(text, id=name, compact=True)
        self._offers = OptionList(classes="offers", markup=False, compact=True)
        self._offers.can_focus = False
        self._found: Sequence[Mailbox] = ()
        # What was typed when the suggestions were searched.
        self._found_for = ""
        self._find = find

    @override
    def compose(self) -> ComposeResult:
        yield self._line
        yield self._offers

    @property
    def is_offering(self) -> bool:
        """Whether the suggestions are open."""
        return bool(self._found)

    @property
    def _is_fresh(self) -> bool:
        """Whether the suggestions belong to what is typed. A search may still be running."""
        return self._found_for == self._typed()

    @property
    def _highlighted(self) -> int | None:
        """The index of the suggestion that Tab and Enter accept; None if there is none, or none for what is typed."""
        return self._offers.highlighted if self._is_fresh else None

    def dismiss(self) -> None:
        """Close the suggestions until the user types again."""
        self._show((), False)

    def _typed(self) -> str:
        before = self._line.value[: self._line.cursor_position]
        return before[last_address_start(before) :]

    def on_input_changed(self) -> None:
        """Search again after each keystroke, and cancel the search before it."""
        if self._line.has_focus:
            search = self.guarded(partial(self._offer, self._typed()))
            self.run_worker(search, group="offers", exclusive=True)

    async def _offer(self, typed: str) -> None:
        try:
            found = await asyncio.to_thread(self._find, typed)
        except ArchiveError:
            # The user can type an address without suggestions.
            found = ()
        if typed == self._typed() and self._line.has_focus:
            self._found_for = typed
            self._show([one for one in found if str(one) != typed], is_whole(typed))

    def _show(self, found: Sequence[Mailbox], typed_is_whole: bool) -> None:
        self._found = found
        self._offers.clear_options()
        self._offers.add_options(Option(Text(str(one), no_wrap=True, overflow="ellipsis")) for one in found)
        # If the address is complete, Tab must go to the next field and not replace the address.
        self._offers.highlighted = None if typed_is_whole or not found else 0
        self._offers.display = bool(found)

    @override
    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool:
        """Enable the keys of the suggestions only while these are open."""
        return self.is_offering or not action.startswith("offer_")

    def action_offer_next(self) -> None:
        """Move to the next suggestion."""
        self._offers.action_cursor_down()

    def action_offer_previous(self) -> None:
        """Move to the previous suggestion."""
        self._offers.action_cursor_up()

    def take_offer(self) -> bool:
        """Insert the highlighted suggestion. Return whether there is one."""
        if (highlighted := self._highlighted) is None:
            return False
        self._take(self._found[highlighted])
        return True

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Insert the suggestion that was clicked."""
        event.stop()
        if self._is_fresh:
            self._take(self._found[event.option_index])

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        """Close the suggestions when the field loses the focus: they cover the fields below."""
        self.dismiss()

    def _take(self, mailbox: Mailbox) -> None:
        line = self._line
        after = line.value[line.cursor_position :].lstrip(" ,")
        begin = last_address_start(line.value[: line.cursor_position])
        before = f"{line.value[:begin]}{mailbox}, "
        self.dismiss()
        line.value = before + after
        line.cursor_position = len(before)
        line.focus()

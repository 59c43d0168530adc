"""The fields To, Cc and Bcc: people are offered while one types."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option
from typing_extensions import override

from emailsys.client.archive.values import ArchiveError
from emailsys.client.compose.completion import is_whole, last_address_start
from emailsys.client.screen.keys import OFFERED
from emailsys.client.screen.text_fields import SafeInput
from emailsys.mail.message.mailboxes import Mailbox


class AddressField(Vertical):
    """A line to type addresses into; below it, over what is there, those that may be meant."""

    BINDINGS: ClassVar[list[BindingType]] = [key.binding() for key in OFFERED]

    def __init__(self, name: str, text: str, find: Callable[[str], Sequence[Mailbox]]) -> None:
        """
        @param name: the id of the line.
        @param find: whom the beginning of a name or an address may mean; called in a thread.
        """
        super().__init__(classes="address")
        self._line = SafeInput(text, id=name, compact=True)
        self._offers = OptionList(classes="offers", markup=False, compact=True)
        self._offers.can_focus = False
        self._found: Sequence[Mailbox] = ()
        self._find = find

    @override
    def compose(self) -> ComposeResult:
        yield self._line
        yield self._offers

    @property
    def is_offering(self) -> bool:
        """Whether people are offered now."""
        return bool(self._found)

    def dismiss(self) -> None:
        """Offer nobody any more, until something is typed."""
        self._show((), False)

    def _typed(self) -> str:
        before = self._line.value[: self._line.cursor_position]
        return before[last_address_start(before) :]

    def on_input_changed(self) -> None:
        """Look again for every letter; an older look is dropped."""
        if self._line.has_focus:
            self.run_worker(self._look(self._typed()), group="offers", exclusive=True)

    async def _look(self, typed: str) -> None:
        try:
            found = await asyncio.to_thread(self._find, typed)
        except ArchiveError:
            # What is typed by hand needs no index.
            found = ()
        if typed == self._typed():
            self._show([one for one in found if str(one) != typed], is_whole(typed))

    def _show(self, found: Sequence[Mailbox], typed_is_whole: bool) -> None:
        self._found = found
        self._offers.clear_options()
        self._offers.add_options(Option(Text(str(one), no_wrap=True, overflow="ellipsis")) for one in found)
        # Where an address stands already, the Tab that leads to the next field must not make it another one.
        self._offers.highlighted = None if typed_is_whole or not found else 0
        self._offers.display = bool(found)

    @override
    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool:
        """The keys are those of the offers only while there are any."""
        if action == "take_offer":
            return self._offers.highlighted is not None
        return self.is_offering or not action.startswith("offer_")

    def action_offer_next(self) -> None:
        """One down."""
        self._offers.action_cursor_down()

    def action_offer_previous(self) -> None:
        """One up."""
        self._offers.action_cursor_up()

    def action_take_offer(self) -> None:
        """The one under the cursor."""
        if self._offers.highlighted is not None:
            self._take(self._found[self._offers.highlighted])

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter takes what is offered; with nobody offered it goes to the next field."""
        event.stop()
        if self._offers.highlighted is not None:
            self.action_take_offer()
        else:
            self.screen.focus_next()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click."""
        event.stop()
        self._take(self._found[event.option_index])

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        """Whoever writes elsewhere wants to see what is there."""
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

"""Base of the full-screen program: theme, password prompt and network, for use by all screens."""

from __future__ import annotations

import asyncio
import os
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from rich.text import Text
from textual import events
from textual.app import App
from typing_extensions import override

from emailsys.client.accounts.values import AccountError
from emailsys.client.archive.unreadable import record
from emailsys.client.archive.values import ArchiveError
from emailsys.client.base.folders import make_folder
from emailsys.client.compose.draft import ComposeError
from emailsys.client.mailbox import UserMailbox
from emailsys.client.opening.values import OpeningError
from emailsys.client.screen.dialogs import InputDialog
from emailsys.client.screen.key_order import KeyGate, consumes, keys_handled
from emailsys.client.screen.themes import THEMES
from emailsys.client.text.terminal import safe_text
from emailsys.mail.address import AddressSyntaxError
from emailsys.upstream import NoLocals, OrderedBindings, SurvivingPump

if TYPE_CHECKING:
    from PIL.Image import Image
    from textual.widget import Widget

    from emailsys.client.screen.network import MailNetwork

_THEME_FILE: Final = "theme"
# Seconds in which the same failure is shown once.
_SAME_FAILURE: Final = 10.0
# Seconds for which the pictures of a message wait for the reply of the terminal.
_REPLY_WITHIN: Final = 10.0


class MailProgram(NoLocals, OrderedBindings, SurvivingPump, App[None]):
    """The program without its screens. The screens import this module, so it must not import them."""

    #: Control sequences that ask the terminal something, written when the program runs.
    terminal_question = ""

    def __init__(
        self,
        mailbox: UserMailbox,
        network: Callable[[MailProgram], MailNetwork],
        theme: str | None = None,
        hold: float = 0.0,
    ) -> None:
        """
        @param network: creates the network access. It is called when the event loop runs.
        @param theme: "dark" or "light"; None for the last one used.
        @param hold: seconds that each message is on hold before it is sent, during which it can be stopped.
        """
        super().__init__()
        self.mailbox = mailbox
        self.hold = hold
        self._last_failure = ""
        #: Keeps keys back that the screen cannot take yet.
        self.key_gate = KeyGate(self)
        #: Makes the widget of a picture; None if the terminal shows no pictures.
        self.picture_maker: Callable[[Image], Widget] | None = None
        self._has_replied = asyncio.Event()
        #: Whether a message is being transmitted.
        self.is_transmitting: Callable[[], bool] = lambda: False
        # The file descriptors that lead to the terminal.
        self._terminal = [number for number in range(3) if os.isatty(number)]
        self._make_network = network
        self._network: MailNetwork | None = None
        for one in THEMES:
            self.register_theme(one)
        self.theme = theme if theme is not None else self._last_theme()

    @property
    def network(self) -> MailNetwork:
        """The network access, created on first use."""
        if self._network is None:
            self._network = self._make_network(self)
        return self._network

    def terminal_replied(self, maker: Callable[[Image], Widget] | None) -> None:
        """Remember whether the terminal shows pictures. @param maker: makes their widgets; None if it shows none."""
        self.picture_maker = maker
        self._has_replied.set()

    async def known_picture_maker(self) -> Callable[[Image], Widget] | None:
        """Return `picture_maker`. If the terminal was asked, wait for its reply first, but not for long."""
        if self.terminal_question:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._has_replied.wait(), _REPLY_WITHIN)
        return self.picture_maker

    @override
    async def on_event(self, event: events.Event) -> None:
        """Let keys and pastes wait for the dialog or the list that an earlier key asked for, and keep their order."""
        if isinstance(event, events.AppBlur):
            # Textual would take the focus from the field with the keys, and give none to a dialog that opens meanwhile.
            # Some terminals tell that they lose the focus, and never that they get it back.
            return
        if isinstance(event, events.Key | events.Paste) and not event.is_forwarded:
            if isinstance(event, events.Key):
                event = self.key_gate.as_typed(event)
            if not await self.key_gate.lets_pass(event):
                return
            if isinstance(event, events.Key) and not consumes(self.focused, event):
                await keys_handled(self.focused)
                if await self.ran_binding(event.key):
                    return
        await super().on_event(event)

    # Failures

    def failure_words(self, error: Exception, key: str = "-") -> str:
        """Return the text about a failure, and record it if it was unexpected. @param key: its message."""
        if isinstance(error, (ArchiveError, AccountError, AddressSyntaxError, ComposeError, OpeningError)):
            return str(error)
        if isinstance(error, OSError):
            return f"Cannot use {error.filename or 'a file'}: {error.strerror}."
        return record(self.mailbox.archive.root, "this action", key, error)

    def show_failure(self, error: Exception) -> None:
        """Show the failure of a handler, a timer or a worker. The program goes on."""
        words = safe_text(self.failure_words(error))
        # A timer fails again and again.
        if words != self._last_failure:
            self._last_failure = words
            self.set_timer(_SAME_FAILURE, self._forget_failure)
            self.notify(words, severity="error", markup=False, timeout=10)

    def _forget_failure(self) -> None:
        self._last_failure = ""

    @override
    def handler_failed(self, error: Exception) -> None:
        self.show_failure(error)

    async def on_unmount(self) -> None:
        """Close the connections to servers."""
        if self._network is not None:
            await self._network.close()

    @override
    def failure_text(self, error: Exception | None) -> Text:
        """Return the places in the code and the kind of the exception, without values: they may be secret."""
        places = traceback.format_tb(error.__traceback__) if error is not None else []
        what = type(error).__name__
        return Text(f"{''.join(places)}emailsys: unexpected {what}. Please report it, with these lines.")

    async def ask_secret(self, text: str) -> str:
        """Ask for a password. @raise AccountError: the user cancelled."""
        answered: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

        def done(answer: str | None) -> None:
            if not answered.done():
                answered.set_result(answer)

        # call_later runs the prompt in the program's own queue. The caller is a reactor callback without a screen.
        self.call_later(self.push_screen, InputDialog(text, secret=True), done)
        answer = await answered
        if answer is None:
            raise AccountError("No password was entered. Try again, and enter the password.")
        return answer

    def discard_output_of_lost_terminal(self) -> None:
        """If the terminal is gone, let output go nowhere: an error in Textual's output thread blocks the event loop."""
        for number in self._terminal:
            if not os.isatty(number):
                null = os.open(os.devnull, os.O_RDWR)
                os.dup2(null, number)
                os.close(null)

    # The theme

    def _last_theme(self) -> str:
        name = ""
        with suppress(OSError):
            name = (self.mailbox.paths.state / _THEME_FILE).read_text("ascii", "replace").strip()
        return name if name in {one.name for one in THEMES} else THEMES[0].name

    def change_theme(self) -> None:
        """Switch between dark and light, and save the choice for the next start."""
        self.theme = next(one.name for one in THEMES if one.name != self.theme)
        with suppress(OSError):
            make_folder(self.mailbox.paths.state)
            (self.mailbox.paths.state / _THEME_FILE).write_text(self.theme, "ascii")

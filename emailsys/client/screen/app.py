"""Textual application of `emailsys mail`: style, first screen, and how the program ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import ClassVar, Final

from rich.text import Text
from textual.app import ScreenStackError
from textual.binding import BindingType
from textual.widgets import TextArea
from typing_extensions import override

from emailsys.client.screen.keys import EVERYWHERE
from emailsys.client.screen.leaving import SendingDialog
from emailsys.client.screen.main_screen import MainScreen
from emailsys.client.screen.program import MailProgram
from emailsys.client.screen.stylesheet import STYLESHEET
from emailsys.client.screen.unsaved_text import UnsavedText
from emailsys.platforms.signals import ENDING, handled
from emailsys.upstream import write_to_terminal

# The exit status of a program that a signal ended, as shells show it.
_SIGNALLED: Final = 128
# The status if the terminal is gone, but no signal came: `nohup` ignores SIGHUP.
_HUNG_UP: Final = 129


class MailApp(MailProgram):
    """The full-screen mail client."""

    TITLE = "emailsys mail"
    CSS = STYLESHEET
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (60, "-narrow"), (90, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (12, "-high")]
    BINDINGS: ClassVar[list[BindingType]] = [key.binding(priority=True) for key in EVERYWHERE]

    _ending: asyncio.Task[None] | None = None

    def on_mount(self) -> None:
        """Open the main screen. All other screens open above it."""
        self.push_screen(MainScreen(self.mailbox, self))
        if self.terminal_question:
            write_to_terminal(self, self.terminal_question)

    def _composers(self) -> Iterator[UnsavedText]:
        with suppress(ScreenStackError):
            yield from (screen for screen in self.screen_stack if isinstance(screen, UnsavedText))

    @override
    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether a key may act: Ctrl-Z does not suspend in the text of a letter, where it undoes a change."""
        return not (action == "suspend_process" and isinstance(self.focused, TextArea))

    @override
    async def action_quit(self) -> None:
        """Leave on Ctrl-Q. First save what is being written as a draft, and finish what earlier keys began.

        If either fails, the program stays. The composer asks whether to leave without saving.
        """
        if isinstance(self.screen, SendingDialog):
            self.screen.dismiss(True)
            return
        for composer in self._composers():
            if not await composer.save_if_changed():
                composer.ask_to_leave()
                return
        for screen in self.screen_stack:
            if isinstance(screen, MainScreen):
                screen.leave()

    # Ends that nobody can be asked about

    @contextmanager
    def signals_handled(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Let SIGTERM and SIGHUP end the program in order. @param loop: the event loop that runs it."""

        def handle(number: int, frame: object) -> None:
            # Now and not in the event loop: SIGCONT follows SIGHUP, and Textual's handler of it writes at once.
            self.discard_output_of_lost_terminal()
            loop.call_soon_threadsafe(self.end, _SIGNALLED + number)

        with handled(ENDING, handle):
            yield

    def end(self, status: int) -> None:
        """Save what is being written, finish the changes of earlier keys, and end with an exit status."""
        self.discard_output_of_lost_terminal()
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(status))

    async def _end(self, status: int) -> None:
        try:
            for composer in self._composers():
                await composer.keep()
            for screen in self.screen_stack:
                if isinstance(screen, MainScreen):
                    await screen.finish_changes()
        finally:
            self.exit(return_code=status)

    @override
    def panic(self, *renderables: object) -> None:
        """End because the terminal cannot be read: its window was closed."""
        self.end(_HUNG_UP)

    @override
    def failure_text(self, error: Exception | None) -> Text:
        """Save what is being written, as the program ends by an unexpected exception. Return the text about it."""
        text = super().failure_text(error)
        for composer in self._composers():
            text.append(f"\n{composer.keep_at_once()}")
        return text

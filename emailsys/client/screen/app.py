"""Textual application of `emailsys mail`: style and first screen."""

from __future__ import annotations

from typing_extensions import override

from emailsys.client.screen.composer import Composer
from emailsys.client.screen.main_screen import MainScreen
from emailsys.client.screen.program import MailProgram
from emailsys.client.screen.stylesheet import STYLESHEET


class MailApp(MailProgram):
    """The full-screen mail client."""

    TITLE = "emailsys mail"
    CSS = STYLESHEET
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (90, "-wide")]

    def on_mount(self) -> None:
        """Open the main screen. All other screens open above it."""
        self.push_screen(MainScreen(self.mailbox, self))

    @override
    async def action_quit(self) -> None:
        """Leave on Ctrl-Q. First save what is being written as a draft, and finish the changes of earlier keys.

        If either fails, the program stays. The composer asks whether to leave without saving.
        """
        for screen in self.screen_stack:
            if isinstance(screen, Composer) and not await screen.save_if_changed():
                screen.ask_to_leave()
                return
            if isinstance(screen, MainScreen) and not await screen.finish_changes():
                return
        self.exit()

"""The full-screen program as it runs: its look and its first screen."""

from __future__ import annotations

from typing_extensions import override

from emailsys.client.screen.main_screen import MainScreen
from emailsys.client.screen.program import MailProgram
from emailsys.client.screen.stylesheet import STYLESHEET


class MailApp(MailProgram):
    """`emailsys mail`."""

    TITLE = "emailsys mail"
    CSS = STYLESHEET
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (90, "-wide")]

    def on_mount(self) -> None:
        """The one screen that everything else lies on."""
        self.push_screen(MainScreen(self.mailbox, self))

    @override
    async def action_quit(self) -> None:
        """Ctrl-Q."""
        self.exit()

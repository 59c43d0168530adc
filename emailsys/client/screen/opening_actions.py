"""Opening actions of the full screen: links, the HTML in a browser, a pipe to a command, and print."""

from __future__ import annotations

import asyncio
from typing import Final

from emailsys.client.archive.values import Summary
from emailsys.client.display.message import MessageView
from emailsys.client.display.readable import readable_view
from emailsys.client.mailbox import UserMailbox
from emailsys.client.opening import private_files, programs
from emailsys.client.opening.links import checked, links_of, question
from emailsys.client.opening.page import page_of
from emailsys.client.opening.printing import printed
from emailsys.client.opening.programs import Program
from emailsys.client.screen.attachment_actions import AttachmentActions
from emailsys.client.screen.dialogs import ChoiceDialog, InputDialog
from emailsys.client.screen.opening_dialogs import OpenDialog
from emailsys.client.screen.outbox_actions import OutboxActions
from emailsys.client.screen.own_terminal import with_terminal
from emailsys.client.screen.panes import Panes
from emailsys.client.text.terminal import safe_line

# Octets of what a command for printing says that are shown.
_MAX_SAID: Final = 500


class OpeningActions:
    """Opens what is in a message, each time after a key."""

    def __init__(
        self, mailbox: UserMailbox, screen: Panes, attachments: AttachmentActions, outbox: OutboxActions
    ) -> None:
        self._outbox = outbox
        self._mailbox = mailbox
        self._screen = screen
        self._attachments = attachments

    async def link(self, summary: Summary, html: bool) -> None:
        """Let the user choose a link, and open it after a question that shows its whole target.

        A mailto: link opens the composer, which sends nothing by itself.

        @param html: whether the HTML part is shown, and not the plain text.
        """
        view = await self._view(summary, html)
        found = links_of(view.body)
        if not found:
            self._screen.show_status("The message has no links.")
            return
        lines = [f"[{one.number}] {one.target}" for one in found]
        number = await self._screen.app.push_screen_wait(ChoiceDialog("Links", lines, "Press Enter to choose."))
        if number is None:
            return
        target = found[number].target
        if target.lower().startswith("mailto:"):
            await self._outbox.compose_to(summary, target)
            return
        await self.web_page(target)

    async def web_page(self, link: str) -> None:
        """Open a link after a question that shows its whole target."""
        target = checked(link)
        if await self._screen.app.push_screen_wait(OpenDialog(question(target))):
            await self._start(programs.for_link(target))
            self._screen.show_status(f"Opened {target}")

    async def html(self, summary: Summary) -> None:
        """Open the HTML in a browser: without scripts, forms, and pictures from the network."""

        def write() -> Program:
            page = page_of(self._mailbox.archive.octets(summary.key), self._mailbox.opener())
            state = self._mailbox.paths.state
            path = private_files.put(state, "message.html", page.encode("utf-8", "replace"), private_files.PRIVATE)
            return programs.for_link(str(path))

        await self._start(await asyncio.to_thread(write))
        self._screen.show_status("Opened in the browser, without scripts, forms, and pictures from the network.")

    async def pipe(self, summary: Summary) -> None:
        """Ask for a command, and give it the message as it was received."""
        octets = await asyncio.to_thread(self._mailbox.archive.octets, summary.key)
        await self._attachments.pipe(octets, "the message")

    async def print(self, summary: Summary) -> None:
        """Ask for the command that prints, and give it the message as text."""
        dialog = InputDialog("Print with", "lp", "A command and its words.", read=programs.command_of)
        words = await self._screen.app.push_screen_wait(dialog)
        if words is None:
            return
        octets = printed(await self._view(summary, html=False))

        async def run() -> None:
            said = (await self._attachments.feed(words, octets))[:_MAX_SAID]
            self._screen.show_status(f"Printed. {safe_line(said.decode('utf-8', 'replace'))}".strip())

        self._screen.start_action(run)

    async def _view(self, summary: Summary, html: bool) -> MessageView:
        octets = await asyncio.to_thread(self._mailbox.archive.octets, summary.key)
        root, opener = self._mailbox.archive.root, self._mailbox.opener()
        return await asyncio.to_thread(readable_view, root, summary.key, octets, html, opener=opener)

    async def _start(self, program: Program) -> None:
        if program.needs_terminal:
            await with_terminal(self._screen.app, lambda: programs.start(program))
        else:
            await asyncio.to_thread(programs.start, program)

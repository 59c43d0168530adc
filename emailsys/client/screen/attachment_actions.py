"""Attachment actions of the full screen: save one or all, open one, or pipe it to a command."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Final

from rich.text import Text

from emailsys.client.archive.values import Summary
from emailsys.client.display.message import ReceivedAttachment, attachments, save_attachment
from emailsys.client.mailbox import UserMailbox
from emailsys.client.opening import private_files, programs, risks
from emailsys.client.opening.paths import folder_for
from emailsys.client.opening.programs import Limits
from emailsys.client.opening.values import OpeningError
from emailsys.client.screen.dialogs import ChoiceDialog, InputDialog, TextDialog
from emailsys.client.screen.opening_dialogs import OpenDialog, PathDialog
from emailsys.client.screen.panes import Panes
from emailsys.client.text.terminal import safe_line, safe_text

# Octets of a command's output that are shown.
_MAX_SHOWN: Final = 200_000
# Characters of it that are shown beside another screen.
_MAX_NOTICE: Final = 300
# Seconds after which a command is stopped, and octets that it may print.
_MAX_SECONDS: Final = 300.0
_MAX_PRINTED: Final = 20_000_000


class AttachmentActions:
    """Saves, opens and pipes the attachments of a message."""

    def __init__(self, mailbox: UserMailbox, screen: Panes) -> None:
        self._mailbox = mailbox
        self._screen = screen

    async def choose(self, summary: Summary) -> None:
        """Let the user choose an attachment or all of them, and what to do."""
        screen = self._screen
        octets = await asyncio.to_thread(self._mailbox.archive.octets, summary.key)
        found = await asyncio.to_thread(attachments, octets, self._mailbox.opener())
        if not found:
            screen.show_status("The message has no attachments.")
            return
        lines = [f"{one.number}  {one.name}  {one.kind}" for one in found]
        if len(found) > 1:
            lines.append(f"Save all {len(found)} of them")
        number = await screen.app.push_screen_wait(ChoiceDialog("Attachments", lines, "Press Enter to choose."))
        if number is None:
            return
        if number == len(found):
            await self.ask_and_save(found)
            return
        one = found[number]
        choices = ["Save it", "Open it by the system's program", "Pipe it to a command"]
        what = await screen.app.push_screen_wait(ChoiceDialog(one.name, choices))
        if what == 0:
            await self.ask_and_save([one])
        elif what == 1:
            await self.open(one)
        elif what == 2:
            await self.pipe(one.content(), one.name)

    async def ask_and_save(self, chosen: Sequence[ReceivedAttachment]) -> None:
        """Ask for a folder, and save attachments in it."""
        screen = self._screen
        downloads = Path.home() / "Downloads"
        folder = str(downloads if downloads.is_dir() else Path.cwd())
        what = chosen[0].name if len(chosen) == 1 else f"{len(chosen)} attachments"

        def save(typed: str) -> list[Path]:
            target = folder_for(typed)
            return [save_attachment(one, target) for one in chosen]

        paths = await screen.app.push_screen_wait(PathDialog(f"Folder to save {what} in", folder, save))
        if paths is None:
            return
        done = f"{paths[0]}" if len(paths) == 1 else f"{len(paths)} files in {paths[0].parent}"
        screen.show_status(f"Saved {'as ' if len(paths) == 1 else ''}{done}.")

    async def open(self, one: ReceivedAttachment) -> None:
        """Open an attachment by the system's program, from a copy that is only for reading."""
        content = await asyncio.to_thread(one.content)
        if refused := risks.refusal(one.name, one.content_type, content):
            raise OpeningError(refused)
        warning = risks.warning(one.name, one.content_type)
        if warning and not await self._screen.app.push_screen_wait(OpenDialog(f"{warning}\n\nOpen it all the same?")):
            return

        def start() -> None:
            path = private_files.put(self._mailbox.paths.state, one.name, content, private_files.READ_ONLY)
            programs.start(programs.for_file(str(path)))

        await asyncio.to_thread(start)
        self._screen.show_status(f"Opened {one.name}. Changes to this copy are not kept: it is removed after a day.")

    async def pipe(self, octets: bytes, name: str) -> None:
        """Ask for a command, give it octets as its standard input, and show what it prints."""
        app = self._screen.app
        hint = "A command and its words. No shell."
        words = await app.push_screen_wait(InputDialog(f"Pipe {name} to", "", hint, read=programs.command_of))
        if words is None:
            return

        async def run() -> None:
            said = await self.feed(words, octets)
            done = f"{safe_line(words[0])} has done it."
            text = safe_text(said[:_MAX_SHOWN].decode("utf-8", "replace")).strip("\n")
            if text and app.screen is not self._screen:
                # Another screen is in use, whose keys belong to it.
                app.notify(text[:_MAX_NOTICE], title=done, markup=False, timeout=10)
            elif text:
                app.push_screen(TextDialog(safe_line(shlex.join(words)), Text(text)))
            self._screen.show_status(done)

        self._screen.start_action(run)

    async def feed(self, words: Sequence[str], octets: bytes) -> bytes:
        """Give octets to a command and return what it prints. It is stopped after a time, and when the screen ends.

        To be called in an action of its own: a dialog that waits would keep the keys.
        """
        self._screen.show_status(f"Waiting for {safe_line(words[0])} ...")
        limits = Limits(_MAX_SECONDS, _MAX_PRINTED, Event())
        # A thread of its own: commands that do not end would take those of the other actions.
        pool = ThreadPoolExecutor(1)
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, programs.feed, words, octets, limits)
        finally:
            limits.is_over.set()
            pool.shutdown(wait=False)

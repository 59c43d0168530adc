"""Actions of the composer: a file to attach, the user's own editor, a template, and the moment of sending."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Protocol

from textual.app import App

from emailsys.client.accounts.values import AccountError
from emailsys.client.archive.values import ArchiveError
from emailsys.client.base.edited_file import EditedFile
from emailsys.client.compose.attachments import attach
from emailsys.client.compose.draft import Attachment, ComposeError, Draft
from emailsys.client.compose.editor_text import from_text, to_text
from emailsys.client.mailbox import UserMailbox
from emailsys.client.screen.dialogs import ChoiceDialog, ConfirmDialog, InputDialog
from emailsys.client.screen.opening_dialogs import PathDialog
from emailsys.client.screen.own_terminal import check_terminal_is_free, run_program
from emailsys.client.text.terminal import safe_line

_SAVE: Final = "Save this message as a template ..."
_REMOVE: Final = "Remove a template ..."
_TEMPLATE_HINT: Final = "A template goes above the text. Fields such as {first_name} are filled in."


class Letter(Protocol):
    """The screen of a message that is being written."""

    @property
    def app(self) -> App[Any]:
        """The program."""

    def as_written(self) -> Draft:
        """Return the draft with the content of the fields, also unfinished ones."""

    def show(self, draft: Draft) -> None:
        """Put a draft into the fields."""

    def add(self, attachment: Attachment) -> None:
        """Attach a file."""

    def send_at(self, moment: datetime | None) -> None:
        """Choose when the message is sent; None for at once."""

    async def save_if_changed(self) -> bool:
        """Save the draft. Returns whether it is safe."""

    def show_error(self, words: str) -> None:
        """Tell what went wrong."""


class ComposingActions:
    """The actions of the composer's keys, except sending and saving. The coroutines run in workers."""

    def __init__(self, mailbox: UserMailbox, letter: Letter) -> None:
        self._mailbox = mailbox
        self._letter = letter

    async def attach(self) -> None:
        """Ask for a file, and attach it."""
        dialog = PathDialog("File to attach", "", lambda typed: attach(Path(typed)), files=True)
        one = await self._letter.app.push_screen_wait(dialog)
        if one is not None:
            self._letter.add(one)

    async def choose_moment(self) -> None:
        """Ask when the message is to be sent."""
        from emailsys.client.compose.moments import EXAMPLES, parse_moment

        def read(typed: str) -> tuple[datetime | None]:
            # In a tuple: a dialog without a result was cancelled.
            return (parse_moment(typed, self._mailbox.now()) if typed.strip() else None,)

        hint = f"{EXAMPLES}. Nothing: at once."
        dialog = InputDialog("When to send the message", "", hint, read=read, may_be_empty=True)
        found = await self._letter.app.push_screen_wait(dialog)
        if found is not None:
            self._letter.send_at(*found)

    async def insert_template(self) -> None:
        """Let the user choose a template, ask for its fields, and put it above the text; or save or remove one."""
        from emailsys.client.compose.templates import read_template, with_template

        try:
            templates = self._mailbox.templates
            names = await asyncio.to_thread(templates.names)
            lines = [*map(safe_line, names), _SAVE, *([_REMOVE] if names else [])]
            number = await self._letter.app.push_screen_wait(ChoiceDialog("Template", lines, _TEMPLATE_HINT))
            if number is None:
                return
            if number >= len(names):
                await (self._save_template(names) if number == len(names) else self._remove_template(names))
                return
            text = await asyncio.to_thread(templates.read, names[number])
            values = await self._values(text)
            if values is not None:
                expand = self._mailbox.contacts.expand
                new = await asyncio.to_thread(read_template, text, values, Path.home(), expand)
                # The user may have typed in the meantime.
                self._letter.show(with_template(self._letter.as_written(), new))
        except (ComposeError, AccountError, ArchiveError) as error:
            self._letter.show_error(str(error))

    async def _save_template(self, names: Sequence[str]) -> None:
        """Ask for a name, and save the message as a template."""
        from emailsys.client.compose.templates import as_template

        letter = self._letter
        hint = "Recipients, subject and text are saved, without the signature and attachments."
        dialog = InputDialog("Name of the template", "", hint, read=self._mailbox.templates.checked)
        name = await letter.app.push_screen_wait(dialog)
        question = f"There is a template {name} already. Replace it?"
        if name is None or (
            name in names and not await letter.app.push_screen_wait(ConfirmDialog(safe_line(question), is_risky=True))
        ):
            return
        draft = letter.as_written()

        def save() -> None:
            sender = draft.sender
            account = self._mailbox.account_with(sender.address) if sender is not None else None
            text = as_template(draft, account.signature if account is not None else "")
            self._mailbox.templates.write(name, text)

        await asyncio.to_thread(save)
        letter.app.notify(f"The template {safe_line(name)} is saved. F5 puts it into a message.", markup=False)

    async def _remove_template(self, names: Sequence[str]) -> None:
        app = self._letter.app
        number = await app.push_screen_wait(ChoiceDialog("Template to remove", [*map(safe_line, names)]))
        if number is None:
            return
        question = f"Remove the template {names[number]}?"
        if await app.push_screen_wait(ConfirmDialog(safe_line(question), is_risky=True)):
            await asyncio.to_thread(self._mailbox.templates.remove, names[number])
            app.notify(f"The template {safe_line(names[number])} is removed.", markup=False)

    async def _values(self, text: str) -> Mapping[str, str] | None:
        """Return the values of the fields of a template; None if the user leaves a question."""
        from emailsys.client.compose.templates import fields_of, known_values

        now, expand = self._mailbox.now().astimezone(), self._mailbox.contacts.expand
        values = known_values(self._letter.as_written(), text, now, expand)
        for field in fields_of(text):
            if field not in values:
                hint = "Nothing: the field stays in the text."
                typed = await self._letter.app.push_screen_wait(InputDialog(f"{{{field}}} of the template", "", hint))
                if typed is None:
                    return None
                if typed:
                    values[field] = typed
        return values

    async def edit(self) -> None:
        """Edit the message in the user's own editor: $VISUAL, $EDITOR, or else vi or notepad."""
        letter = self._letter
        check_terminal_is_free(letter.app)
        command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ("notepad" if os.name == "nt" else "vi")
        draft = letter.as_written()
        file = EditedFile(self._mailbox.paths.state)
        path = file.path
        try:
            arguments = [*shlex.split(command), str(path)]
            file.write(to_text(draft))
        except ValueError as error:
            # A quote that is not closed.
            letter.show_error(f"Cannot run the editor {command}: {error}. Set $VISUAL or $EDITOR to another one.")
            return
        except OSError as error:
            letter.show_error(f"Cannot write {path}: {error.strerror}.")
            return
        try:
            await run_program(letter.app, arguments)
        except OSError as error:
            letter.show_error(
                f"Cannot run the editor {command}: {error.strerror}. Set $VISUAL or $EDITOR to another one."
            )
        try:
            expand = self._mailbox.contacts.expand
            # In a thread: it reads the files that the user attached.
            edited = await asyncio.to_thread(lambda: from_text(file.read(), draft, Path.cwd(), expand=expand))
        except (ComposeError, AccountError) as error:
            letter.show_error(f"Your text is kept in {path}. {error}")
            return
        except OSError as error:
            letter.show_error(f"The editor left no text in {path}: {error.strerror}. The message is as it was before.")
            return
        if to_text(letter.as_written()) != to_text(draft):
            letter.show_error(f"The message was changed while files were read. The editor's text is kept in {path}.")
            return
        letter.show(edited)
        if await letter.save_if_changed():
            file.remove()
        else:
            letter.show_error(f"Your text is kept in {path}.")

"""Composer screen: write one message, which is saved as a draft every few seconds."""

from __future__ import annotations

import asyncio
import os
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Checkbox, Footer, Input, Label, OptionList, Select, Static, TextArea
from textual.widgets.option_list import Option
from typing_extensions import override

from emailsys.client.accounts.values import Account, AccountError, Encrypt
from emailsys.client.archive.values import NoSuchMessage
from emailsys.client.base.edited_file import EditedFile
from emailsys.client.compose.attachments import attach
from emailsys.client.compose.draft import Attachment, ComposeError, Draft
from emailsys.client.compose.editor_text import from_text, to_text
from emailsys.client.compose.warnings import warnings
from emailsys.client.display.list_text import size_text
from emailsys.client.mailbox import UserMailbox, identities, sender_mailbox
from emailsys.client.screen.address_fields import AddressField
from emailsys.client.screen.dialogs import ConfirmDialog, InputDialog
from emailsys.client.screen.keys import ATTACHED, COMPOSING
from emailsys.client.screen.marked_checkbox import MarkedCheckbox
from emailsys.client.screen.own_terminal import check_terminal_is_free, run_program
from emailsys.client.screen.protection_line import ProtectionLine, may_send
from emailsys.client.screen.survival import Surviving
from emailsys.client.screen.text_fields import SafeInput, SafeTextArea
from emailsys.client.text.terminal import safe_line
from emailsys.mail.address import AddressSyntaxError
from emailsys.mail.message.mailboxes import Mailbox, parse_mailboxes

# Seconds between two automatic saves.
SAVE_EVERY: Final = 5.0
_PEOPLE: Final = ("to", "cc", "bcc")


class AttachmentList(Surviving, OptionList):
    """The list of attachments."""

    BINDINGS: ClassVar[list[BindingType]] = [key.binding() for key in ATTACHED]

    def action_detach(self) -> None:
        """Remove the highlighted attachment."""
        screen = self.screen
        if isinstance(screen, Composer) and self.highlighted is not None:
            screen.detach(self.highlighted)


class Composer(Surviving, Screen[tuple[Account, Draft, str] | None]):
    """Write one message. The result is account, draft and the draft's key to send it, or None to leave."""

    BINDINGS: ClassVar[list[BindingType]] = [key.binding(priority=True) for key in COMPOSING]

    def __init__(
        self, mailbox: UserMailbox, accounts: Sequence[Account], account: Account, draft: Draft, key: str | None
    ) -> None:
        """@param key: the saved draft to continue; None for a new message."""
        super().__init__()
        self._mailbox = mailbox
        self._draft = draft
        #: What From can be: each account with each of its addresses, and first what the draft has.
        self._senders = [(one, sender) for one in accounts for sender in identities(one)]
        own = draft.sender or sender_mailbox(account)
        if (account, own) not in self._senders:
            self._senders.insert(0, (account, own))
        self._first_sender = self._senders.index((account, own))
        self._key = key
        # Text and attachments as they were last saved.
        self._saved: tuple[str, Sequence[Attachment]] | None = None
        self._saving = asyncio.Lock()

    @override
    def compose(self) -> ComposeResult:
        draft = self._draft
        yield Static("New message", classes="bar")
        with Vertical(id="fields"):
            senders = self._sender_lines()
            with Horizontal(classes="field"):
                yield Label("From")
                yield Select(senders, value=self._first_sender, allow_blank=False, id="from", compact=True)
            for name in _PEOPLE:
                with Horizontal(classes="field"):
                    yield Label(name.capitalize())
                    yield AddressField(name, draft.typed(name), self._mailbox.people)
            with Horizontal(classes="field"):
                yield Label("Subject")
                yield SafeInput(draft.subject, id="subject", compact=True)
        yield Static(id="unusable", markup=False)
        yield AttachmentList(id="attachments", markup=False)
        yield SafeTextArea(draft.body, id="body", soft_wrap=True)
        yield MarkedCheckbox("Markdown: send as text and HTML", draft.markdown is not None, id="markdown", compact=True)
        yield ProtectionLine()
        yield Footer()

    def on_mount(self) -> None:
        """Focus the first empty field."""
        self._show_attachments()
        self._show_unusable()
        first = "#to" if not self._draft.to else "#subject" if not self._draft.subject else "#body"
        self.query_one(first).focus()
        self._saved = self._content()
        self.show_protection()
        self.set_interval(SAVE_EVERY, self.guarded(self.save_if_changed))

    # Content

    def _as_text(self) -> str:
        return to_text(self._read(lenient=True))

    def _read(self, lenient: bool = False) -> Draft:
        """Return the draft with the content of the fields.

        @param lenient: keep a field with an invalid or unfinished address as it was typed.
        @raise ComposeError: an address is invalid.
        """
        people: dict[str, list[Mailbox]] = {}
        as_typed = self._unusable()
        for name in _PEOPLE:
            text = self.query_one(f"#{name}", Input).value
            try:
                people[name] = parse_mailboxes(self._mailbox.contacts.expand(text))
            except (AddressSyntaxError, AccountError) as error:
                if not lenient:
                    raise ComposeError(f"{name.capitalize()}: {error}") from None
                people[name] = []
                as_typed.append((name.capitalize(), text))
        body = self.query_one("#body", TextArea).text
        old = self._draft
        draft = replace(
            old,
            sender=self._chosen_sender()[1],
            to=people["to"],
            cc=people["cc"],
            bcc=people["bcc"],
            subject=self.query_one("#subject", Input).value,
            as_typed=as_typed,
        )
        draft.text, draft.html, draft.markdown = None, None, None
        if self.query_one("#markdown", Checkbox).value:
            draft.markdown = body
        elif old.html is not None and old.text is None and old.markdown is None:
            draft.html = body
        else:
            draft.text = body
        return draft

    def _chosen_sender(self) -> tuple[Account, Mailbox]:
        number = self.query_one("#from", Select).value
        return self._senders[number if isinstance(number, int) else self._first_sender]

    def _sender_lines(self) -> list[tuple[Content, int]]:
        return [(Content(safe_line(str(sender))), number) for number, (_, sender) in enumerate(self._senders)]

    def _choose_sender(self, sender: Mailbox) -> None:
        """Choose what the user wrote in From with an editor."""
        account, chosen = self._chosen_sender()
        if sender == chosen:
            return
        select = self.query_one("#from", Select)
        if sender not in [one for _, one in self._senders]:
            self._senders.append((account, sender))
            select.set_options(self._sender_lines())
        select.value = [one for _, one in self._senders].index(sender)

    def _content(self) -> tuple[str, Sequence[Attachment]]:
        return self._as_text(), tuple(self._draft.attachments)

    def _unusable(self) -> list[tuple[str, str]]:
        """Return the lines of the draft that have no field here: those that an editor or a link left unusable."""
        return [one for one in self._draft.as_typed if one[0].lower() not in (*_PEOPLE, "from")]

    def _show_unusable(self) -> None:
        shown = self.query_one("#unusable", Static)
        lines = [f"{name}: {text}" if name else text for name, text in self._unusable()]
        shown.update(Text("\n".join(["Lines that cannot be used; F4 corrects them:", *map(safe_line, lines)])))
        shown.display = bool(lines)

    def _show_attachments(self) -> None:
        shown = self.query_one("#attachments", AttachmentList)
        shown.clear_options()
        for one in self._draft.attachments:
            shown.add_option(Option(Text(f"{safe_line(one.name)}  {one.content_type}, {size_text(len(one.octets))}")))
        shown.display = bool(self._draft.attachments)

    def detach(self, number: int) -> None:
        """Remove an attachment by its index from 0."""
        self._draft.attachments = [one for at, one in enumerate(self._draft.attachments) if at != number]
        self._show_attachments()

    # Saving

    async def save_if_changed(self) -> bool:
        """Save what was typed since the last save. Return False, and show why, if it cannot be saved."""
        return self._content() == self._saved or await self._save()

    async def _save(self) -> bool:
        draft, account = self._read(lenient=True), self._chosen_sender()[0]
        async with self._saving:
            saved = to_text(draft), tuple(draft.attachments)
            try:
                self._key = await asyncio.to_thread(self._save_draft, account, draft)
            except Exception as error:
                self.handler_failed(error)
                return False
            self._saved = saved
            return True

    def _save_draft(self, account: Account, draft: Draft) -> str:
        """Save the draft, as a new one if another program has removed the old one. Runs in a thread."""
        try:
            return self._mailbox.save_draft(account, draft, self._key)
        except NoSuchMessage:
            return self._mailbox.save_draft(account, draft)

    async def keep(self) -> None:
        """Save what was typed before the program ends, as a draft or else in a file."""
        with suppress(Exception):
            if await self.save_if_changed():
                return
        await asyncio.to_thread(self._keep_in, EditedFile(self._mailbox.paths.state), self._as_text())

    def keep_at_once(self) -> str:
        """Do the same in the event loop, which ends by an exception. Return a text for the user."""
        try:
            self._key = self._save_draft(self._chosen_sender()[0], self._read(lenient=True))
        except Exception:
            return self._keep_in(EditedFile(self._mailbox.paths.state), self._as_text())
        return "What you were writing is in the folder Drafts."

    def _keep_in(self, file: EditedFile, words: str) -> str:
        try:
            file.write(words)
        except OSError as error:
            return f"The text cannot be kept in {file.path} either: {error.strerror}."
        return f"The text is kept in {file.path}."

    def ask_to_leave(self) -> None:
        """Keep the text of a draft that cannot be saved in a file, and ask whether to leave without saving it."""

        async def ask() -> None:
            file = EditedFile(self._mailbox.paths.state)
            kept = await asyncio.to_thread(self._keep_in, file, self._as_text())
            question = f"The draft cannot be saved. {kept} Leave without saving?"
            if not await self.app.push_screen_wait(ConfirmDialog(safe_line(question), is_risky=True)):
                await asyncio.to_thread(file.remove)
            elif self.is_current:
                self.dismiss(None)

        self.run_worker(self.guarded(ask), exclusive=True, group="leave")

    # Keys

    async def action_save(self) -> None:
        """Save the draft."""
        if await self._save():
            self.notify("Draft saved.", markup=False)

    async def action_close(self) -> None:
        """Close an open list, or else leave the screen. Changes are saved as a draft."""
        sender = self.query_one("#from", Select)
        if sender.expanded:
            sender.expanded = False
            return
        offering = [one for one in self.query(AddressField) if one.is_offering]
        if offering:
            offering[0].dismiss()
            return
        if self._content() != self._saved:
            if not await self._save():
                self.ask_to_leave()
                return
            self.app.notify("Draft saved in the folder Drafts.", markup=False)
        self.dismiss(None)

    def action_send(self) -> None:
        """Send the message. If it has warnings, ask first."""
        self.run_worker(self.guarded(self._send), exclusive=True, group="send")

    async def _send(self) -> None:
        try:
            draft = self._read()
            if not (draft.to or draft.cc or draft.bcc):
                raise ComposeError("The message has no recipient. Add one to To, Cc or Bcc.")
            if self._unusable():
                raise ComposeError("The lines above the text cannot be used. Press F4 to correct or remove them.")
            if not await may_send(self.app, self._mailbox, self._chosen_sender()[0], draft):
                return
        except ComposeError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        found = warnings(draft)
        if found and not await self.app.push_screen_wait(ConfirmDialog(f"Warning: {'; '.join(found)}. Send anyway?")):
            return
        if await self._save() and self._key is not None:
            self.dismiss((self._chosen_sender()[0], draft, self._key))

    def action_sign(self) -> None:
        """Sign the message, or do not."""
        self._draft.sign = not self._draft.sign
        self.show_protection()

    def action_encrypt(self) -> None:
        """Encrypt the message: never, if there are keys for all recipients, or always."""
        kinds = [*Encrypt]
        self._draft.encrypt = kinds[(kinds.index(self._draft.encrypt) + 1) % len(kinds)]
        self.show_protection()

    def show_protection(self) -> None:
        """Show whether the message will be signed and encrypted."""
        self.query_one(ProtectionLine).start(self._mailbox, self._chosen_sender()[0], self._read(lenient=True))

    def on_descendant_blur(self) -> None:
        """Look the keys of new recipients up."""
        self.show_protection()

    def action_attach(self) -> None:
        """Ask for a file, and attach it."""
        self.run_worker(self.guarded(self._ask_file), exclusive=True, group="attach")

    async def _ask_file(self) -> None:
        name = await self.app.push_screen_wait(
            InputDialog("File to attach", hint="Enter a path. ~ is your home folder.")
        )
        if not name:
            return
        try:
            one = await asyncio.to_thread(attach, Path(name))
        except ComposeError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self._draft.attachments = [*self._draft.attachments, one]
        self._show_attachments()

    async def action_editor(self) -> None:
        """Edit the message in the user's own editor: $VISUAL, $EDITOR, or else vi or notepad."""
        check_terminal_is_free(self.app)
        command = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ("notepad" if os.name == "nt" else "vi")
        draft = self._read(lenient=True)
        file = EditedFile(self._mailbox.paths.state)
        path = file.path
        try:
            arguments = [*shlex.split(command), str(path)]
            file.write(to_text(draft))
        except ValueError as error:
            # A quote that is not closed.
            self._show_error(f"Cannot run the editor {command}: {error}. Set $VISUAL or $EDITOR to another one.")
            return
        except OSError as error:
            self._show_error(f"Cannot write {path}: {error.strerror}.")
            return
        try:
            await run_program(self.app, arguments)
        except OSError as error:
            self._show_error(
                f"Cannot run the editor {command}: {error.strerror}. Set $VISUAL or $EDITOR to another one."
            )
        try:
            edited = from_text(file.read(), draft, Path.cwd(), expand=self._mailbox.contacts.expand)
        except (ComposeError, AccountError) as error:
            self._show_error(f"Your text is kept in {path}. {error}")
            return
        except OSError as error:
            self._show_error(f"The editor left no text in {path}: {error.strerror}. The message is as it was before.")
            return
        self._show(edited)
        if await self.save_if_changed():
            file.remove()
        else:
            self._show_error(f"Your text is kept in {path}.")

    def _show_error(self, words: str) -> None:
        self.notify(words, severity="error", markup=False, timeout=20)

    def _show(self, draft: Draft) -> None:
        self._draft = draft
        if draft.sender is not None:
            self._choose_sender(draft.sender)
        for name in _PEOPLE:
            self.query_one(f"#{name}", Input).value = draft.typed(name)
        self.query_one("#subject", Input).value = draft.subject
        self.query_one("#body", TextArea).text = draft.body
        self.query_one("#markdown", Checkbox).value = draft.markdown is not None
        self._show_attachments()
        self._show_unusable()
        self.show_protection()

"""Composer screen: write one message, which is saved as a draft every few seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Checkbox, Input, Label, Static, TextArea
from textual.widgets.option_list import Option
from typing_extensions import override

from emailsys.client.accounts.values import Account, AccountError, Encrypt
from emailsys.client.archive.values import NoSuchMessage
from emailsys.client.base.edited_file import EditedFile
from emailsys.client.compose.draft import Attachment, ComposeError, Draft
from emailsys.client.compose.editor_text import to_text
from emailsys.client.compose.signature import above_signature, signed_instead
from emailsys.client.compose.warnings import not_attached, warnings
from emailsys.client.display.list_text import size_text
from emailsys.client.mailbox import UserMailbox, sender_mailbox
from emailsys.client.screen.address_fields import AddressField
from emailsys.client.screen.attachment_list import AttachmentList
from emailsys.client.screen.composing_actions import ComposingActions
from emailsys.client.screen.dialogs import ConfirmDialog
from emailsys.client.screen.key_line import KeyLine
from emailsys.client.screen.key_order import KeyOrder, keys_handled
from emailsys.client.screen.keys import COMPOSING
from emailsys.client.screen.marked_checkbox import MarkedCheckbox
from emailsys.client.screen.protection_line import ProtectionLine, may_send
from emailsys.client.screen.sender_field import SenderField
from emailsys.client.screen.survival import Surviving
from emailsys.client.screen.text_fields import SafeInput, SafeTextArea
from emailsys.client.screen.unsaved_text import keep_in
from emailsys.client.text.terminal import safe_line
from emailsys.mail.address import AddressSyntaxError
from emailsys.mail.message.mailboxes import Mailbox, parse_mailboxes

# Seconds between two automatic saves.
SAVE_EVERY: Final = 5.0
_PEOPLE: Final = ("to", "cc", "bcc")


class Composer(Surviving, Screen[tuple[Account, Draft, str, datetime | None] | None]):
    """Write one message. The result is None to leave, or else what to send.

    That is the account, the draft, its key, and the moment of sending, or None for at once.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        *(key.binding(priority=True) for key in COMPOSING),
        # With priority: the field with the focus gets its keys before these, and the next field those after them.
        Binding("tab", "next_field", show=False, priority=True),
        Binding("enter", "next_field(True)", show=False, priority=True),
        Binding("shift+tab", "previous_field", show=False, priority=True),
    ]

    def __init__(
        self, mailbox: UserMailbox, accounts: Sequence[Account], account: Account, draft: Draft, key: str | None
    ) -> None:
        """@param key: the saved draft to continue; None for a new message."""
        super().__init__()
        self._mailbox = mailbox
        self._draft = draft
        self._sender = SenderField(accounts, account, draft.sender or sender_mailbox(account))
        # The account that the protection and the signature of the draft follow.
        self._followed = account
        self._key = key
        # Text and attachments as they were last saved.
        self._saved: tuple[str, Sequence[Attachment]] | None = None
        self._saving = asyncio.Lock()
        self._at: datetime | None = None
        self._actions = ComposingActions(mailbox, self)
        #: Actions that open a dialog, or leave the screen.
        self.key_order = KeyOrder(self)

    @override
    def compose(self) -> ComposeResult:
        draft = self._draft
        yield Static("New message", id="title", classes="bar")
        with Vertical(id="fields"):
            with Horizontal(classes="field"):
                yield Label("From")
                yield self._sender
            for name in _PEOPLE:
                with Horizontal(classes="field"):
                    yield Label(name.capitalize())
                    yield AddressField(name, draft.typed(name), self._mailbox.people)
            with Horizontal(classes="field"):
                yield Label("Subject")
                yield SafeInput(draft.subject, id="subject", compact=True)
        yield Static(id="unusable", markup=False)
        yield AttachmentList(self._remove_attachment)
        yield SafeTextArea(draft.body, id="body", soft_wrap=True)
        yield MarkedCheckbox("Markdown: send as text and HTML", draft.markdown is not None, id="markdown", compact=True)
        yield ProtectionLine()
        yield KeyLine()

    def on_mount(self) -> None:
        """Focus the first empty field."""
        self._show_attachments()
        self._show_unusable()
        first = "#to" if not self._draft.to else "#subject" if not self._draft.subject else "#body"
        # Not its focus(), which comes after keys that the program has got already.
        self.set_focus(self.query_one(first))
        if self._draft.in_reply_to:
            self.query_one(SafeTextArea).go_to_end_of(above_signature(self._draft.body, self._followed.signature))
        self._saved = self._content()
        for words in not_attached(self._draft):
            self.notify(f"Warning: {words}.", severity="warning", markup=False, timeout=20)
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
            sender=self._sender.chosen[1],
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

    def _remove_attachment(self, number: int) -> None:
        """Remove an attachment by its index from 0."""
        self._draft.attachments = [one for at, one in enumerate(self._draft.attachments) if at != number]
        self._show_attachments()

    # Saving

    async def save_if_changed(self) -> bool:
        """Save what was typed since the last save. Return False, and show why, if it cannot be saved."""
        await keys_handled(self.focused)
        return self._content() == self._saved or await self._save()

    async def _save(self) -> bool:
        draft, account = self._read(lenient=True), self._sender.chosen[0]
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
        await asyncio.to_thread(keep_in, EditedFile(self._mailbox.paths.state), self._as_text())

    def keep_at_once(self) -> str:
        """Do the same in the event loop, which ends by an exception. Return a text for the user."""
        try:
            self._key = self._save_draft(self._sender.chosen[0], self._read(lenient=True))
        except Exception:
            return keep_in(EditedFile(self._mailbox.paths.state), self._as_text())
        return "What you were writing is in the folder Drafts."

    def ask_to_leave(self) -> None:
        """Keep the text of a draft that cannot be saved in a file, and ask whether to leave without saving it."""

        async def ask() -> None:
            file = EditedFile(self._mailbox.paths.state)
            kept = await asyncio.to_thread(keep_in, file, self._as_text())
            question = f"The draft cannot be saved. {kept} Leave without saving?"
            if not await self.app.push_screen_wait(ConfirmDialog(safe_line(question), is_risky=True)):
                await asyncio.to_thread(file.remove)
            elif self.is_current:
                self.dismiss(None)

        self.run_worker(self.guarded(ask), exclusive=True, group="leave")

    # Keys

    @override
    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether a key may act: Enter goes to the next field only from a field of one line."""
        return isinstance(self.focused, Input) or action != "next_field" or not parameters

    async def action_next_field(self, from_line: bool = False) -> None:
        """Accept the suggestion if one is highlighted, or else go to the next field. @param from_line: by Enter."""
        await keys_handled(self.focused)
        field = self.focused.parent if self.focused is not None else None
        if not (isinstance(field, AddressField) and field.take_offer()):
            self.focus_next()

    async def action_previous_field(self) -> None:
        """Go to the previous field."""
        await keys_handled(self.focused)
        self.focus_previous()

    async def action_save(self) -> None:
        """Save the draft."""
        await keys_handled(self.focused)
        if await self._save():
            self.notify("Draft saved.", markup=False)

    async def action_close(self) -> None:
        """Close an open list, or else leave the screen. Changes are saved as a draft."""
        await keys_handled(self.focused)
        if self._sender.expanded:
            self._sender.expanded = False
            return
        offering = [one for one in self.query(AddressField) if one.is_offering]
        if offering:
            offering[0].dismiss()
            return
        if self._content() != self._saved:
            if not await self._save():
                self.ask_to_leave()
                return
            lost = " The moment of sending is not kept." if self._at is not None else ""
            self.app.notify(f"Draft saved in the folder Drafts.{lost}", markup=False)
        self.dismiss(None)

    def action_send(self) -> None:
        """Send the message. If it has warnings, ask first."""
        self.key_order.start(self.guarded(self._send), "send", exclusive=True)

    async def _send(self) -> None:
        await keys_handled(self.focused)
        self.on_select_changed()
        sender, written = self._sender.chosen[0], self._content()
        try:
            draft = self._read()
            if not (draft.to or draft.cc or draft.bcc):
                raise ComposeError("The message has no recipient. Add one to To, Cc or Bcc.")
            if self._unusable():
                raise ComposeError("The lines above the text cannot be used. Press F4 to correct or remove them.")
            if not await may_send(self.app, self._mailbox, sender, draft):
                return
        except ComposeError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        found = warnings(draft)
        if found and not await self.app.push_screen_wait(ConfirmDialog(f"Warning: {'; '.join(found)}. Send anyway?")):
            return
        if not await self._save() or self._key is None:
            return
        if (self._sender.chosen[0], self._content()) != (sender, written):
            self.notify("The message has changed since it was checked. Send it once more.", severity="warning")
            return
        self.dismiss((sender, draft, self._key, self._at))

    def on_select_changed(self) -> None:
        """Follow the account that was chosen in From: its signature, and its protection, but never less than before."""
        account, before = self._sender.chosen[0], self._followed
        if account.name != before.name:
            self._followed = account
            if self._read(lenient=True).html is None:
                area = self.query_one(SafeTextArea)
                area.change(signed_instead(area.text, before.signature, account.signature))
            self._draft.sign = self._draft.sign or account.sign
            self._draft.encrypt = max(self._draft.encrypt, account.encrypt, key=[*Encrypt].index)
            self.show_protection()

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
        self.query_one(ProtectionLine).start(self._mailbox, self._sender.chosen[0], self._read(lenient=True))

    def on_descendant_blur(self) -> None:
        """Look the keys of new recipients up."""
        self.show_protection()

    async def action_attach(self) -> None:
        """Ask for a file, and attach it."""
        await self._start_dialog(self._actions.attach, "attach")

    async def action_editor(self) -> None:
        """Edit the message in the user's own editor."""
        await keys_handled(self.focused)
        await self._actions.edit()

    async def action_template(self) -> None:
        """Put a template above the text."""
        await self._start_dialog(self._actions.insert_template, "template")

    async def action_moment(self) -> None:
        """Ask when the message is to be sent."""
        await self._start_dialog(self._actions.choose_moment, "moment")

    async def _start_dialog(self, action: Callable[[], Coroutine[Any, Any, None]], group: str) -> None:
        """Run an action that opens dialogs, after the keys before it. The next keys are for these dialogs."""
        await keys_handled(self.focused)
        self.key_order.start(self.guarded(action), group, exclusive=True)

    def send_at(self, moment: datetime | None) -> None:
        """Choose when the message is sent; None for at once."""
        self._at = moment
        words = f"New message, to be sent on {moment.astimezone():%a %Y-%m-%d %H:%M}" if moment else "New message"
        self.query_one("#title", Static).update(words)

    def add(self, attachment: Attachment) -> None:
        """Attach a file."""
        self._draft.attachments = [*self._draft.attachments, attachment]
        self._show_attachments()

    def as_written(self) -> Draft:
        """Return the draft with the content of the fields, also unfinished ones."""
        return self._read(lenient=True)

    def show_error(self, words: str) -> None:
        """Tell what went wrong."""
        self.notify(words, severity="error", markup=False, timeout=20)

    def show(self, draft: Draft) -> None:
        """Put a draft into the fields."""
        self._draft = draft
        if draft.sender is not None:
            self._sender.choose(draft.sender)
        for name in _PEOPLE:
            self.query_one(f"#{name}", Input).value = draft.typed(name)
        self.query_one("#subject", Input).value = draft.subject
        self.query_one("#body", TextArea).text = draft.body
        self.query_one("#markdown", Checkbox).value = draft.markdown is not None
        self._show_attachments()
        self._show_unusable()
        self.show_protection()

"""Main screen: the panes, and the action of each key on the current message or the selection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final

from textual.binding import BindingType

from emailsys.client.archive.query import unknown_field_warning
from emailsys.client.archive.values import DRAFTS, OUTBOX, BadQuery, Flag, Summary
from emailsys.client.display.list_text import size_text
from emailsys.client.display.message import ReceivedAttachment, attachments, find_part, save_attachment
from emailsys.client.display.readable import readable_headers, readable_structure, readable_view
from emailsys.client.mailbox import UserMailbox
from emailsys.client.screen.dialogs import ChoiceDialog, ConfirmDialog, InputDialog, TextDialog, help_text
from emailsys.client.screen.fetch import FetchAction
from emailsys.client.screen.folder_pane import FolderPane
from emailsys.client.screen.keys import MAIN
from emailsys.client.screen.list_sources import ConversationList, SearchList
from emailsys.client.screen.message_actions import MessageActions
from emailsys.client.screen.outbox_actions import OutboxActions
from emailsys.client.screen.panes import Panes
from emailsys.client.screen.parts_text import parts_text, view_text
from emailsys.client.screen.program import MailProgram
from emailsys.client.screen.selection_actions import SelectionActions

#: An action on messages: the current one, or all that are selected.
MessageAction = Callable[[Sequence[Summary]], Coroutine[Any, Any, None]]

# Octets of a message that are shown at once. The rest is read behind: 1 MB of HTML takes half a second.
_BEGINNING: Final = 100_000
_LOADING: Final = "the rest of the message is being read"

_SEARCH_HINT: Final = 'words, "phrases", from:, subject:, has:attachment, is:unread, tag:, before:2026-03, newer:7d'


class MainScreen(Panes):
    """The panes with the actions of all keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        key.binding(priority=key.keys in ("tab", "enter", "space")) for key in MAIN
    ]

    def __init__(self, mailbox: UserMailbox, app: MailProgram) -> None:
        super().__init__(mailbox, app)
        self._html = self._every_header = False
        # Counts the messages that were opened.
        self._reading = 0
        self._outbox_actions = OutboxActions(mailbox, app, self)
        self._fetch_action = FetchAction(mailbox, app, self)
        self._message_actions = MessageActions(mailbox, self)
        self._selection_actions = SelectionActions(mailbox, self)

    def on_message_pane_chosen(self) -> None:
        """Open the message that was clicked."""
        self.action_open()

    # Reading

    def action_open(self) -> None:
        """Open the current message, or the current folder if the folder pane has the focus."""
        pane = self.query_one(FolderPane)
        if self.focused is pane:
            pane.action_select_cursor()
        else:
            self.act_on_current(self._open)

    async def _open(self, summary: Summary) -> None:
        if summary.folder.name == DRAFTS:
            await self._outbox_actions.edit(summary)
            return
        self._html = self._every_header = False
        await self._read(summary)
        self.set_focus(self.reader)
        if summary.is_unread:
            await asyncio.to_thread(self.mailbox.archive.set_flags, [summary.key], Flag.SEEN)
            await self.redraw([summary.key])

    async def _read(self, summary: Summary) -> None:
        octets = await asyncio.to_thread(self.mailbox.archive.octets, summary.key)
        root, key, html = self.mailbox.archive.root, summary.key, self._html
        self._reading = reading = self._reading + 1
        is_long = len(octets) > _BEGINNING
        if is_long:
            begins = await asyncio.to_thread(readable_view, root, key, octets[:_BEGINNING], html)
            if reading != self._reading:
                return
            self.reader.show(key, replace(begins, attachments=(), defects=(_LOADING,)), begins.headers)
            self.set_focus(self.reader)
            # Reading the rest competes with the drawing for the interpreter's lock.
            drawn = asyncio.Event()
            self.call_after_refresh(drawn.set)
            await drawn.wait()
        seen = await asyncio.to_thread(readable_view, root, key, octets, html)
        headers = seen.headers
        if self._every_header:
            headers = tuple(await asyncio.to_thread(readable_headers, root, key, octets))
        # Another message may have been opened meanwhile, or this one closed.
        if reading == self._reading and (not is_long or self.reader.key == key):
            self.reader.show(key, seen, headers, keep_position=is_long)

    def action_headers(self) -> None:
        """Switch between all header fields and the usual ones."""
        self._every_header = not self._every_header
        self.act_on_current(self._read)

    def action_html(self) -> None:
        """Switch between the HTML part, as text, and the plain text."""
        self._html = not self._html
        self.act_on_current(self._read)

    def action_structure(self) -> None:
        """Show the MIME structure of the message."""

        async def show(summary: Summary) -> None:
            octets = await asyncio.to_thread(self.mailbox.archive.octets, summary.key)
            rows = await asyncio.to_thread(readable_structure, self.mailbox.archive.root, summary.key, octets)
            view = await asyncio.to_thread(readable_view, self.mailbox.archive.root, summary.key, octets)
            self.app.push_screen(TextDialog("Structure", parts_text(rows, view.defects)))

        self.act_on_current(show)

    def action_attachments(self) -> None:
        """Let the user choose an attachment, and save it."""

        async def choose(summary: Summary) -> None:
            octets = await asyncio.to_thread(self.mailbox.archive.octets, summary.key)
            found = await asyncio.to_thread(attachments, octets)
            if not found:
                self.show_status("The message has no attachments.")
                return
            lines = [f"{one.number}  {one.name}  {one.content_type}, {size_text(one.octets)}" for one in found]
            number = await self.app.push_screen_wait(ChoiceDialog("Attachments", lines, "Press Enter to save."))
            if number is not None:
                await self._ask_and_save(found[number])

        self.act_on_current(choose)

    def action_parts(self) -> None:
        """Let the user choose any part of the message, and show or save it."""

        async def choose(summary: Summary) -> None:
            root = self.mailbox.archive.root
            octets = await asyncio.to_thread(self.mailbox.archive.octets, summary.key)
            rows = await asyncio.to_thread(readable_structure, root, summary.key, octets)
            lines = [
                f"{'  ' * min(row.level, 20)}{row.number}  {row.content_type}  {row.name or size_text(row.raw_octets)}"
                for row in rows
            ]
            chosen = await self.app.push_screen_wait(ChoiceDialog("Parts", lines, "Press Enter to show or save."))
            if chosen is None:
                return
            number = rows[chosen].number
            what = await self.app.push_screen_wait(ChoiceDialog(f"Part {number}", ["Show it", "Save it"]))
            part = await asyncio.to_thread(find_part, octets, number)
            if what == 0:
                view = await asyncio.to_thread(readable_view, root, summary.key, octets, False, number)
                if view is not None:
                    self.app.push_screen(TextDialog(f"Part {number}", view_text(view)))
            elif what == 1 and part is not None:
                await self._ask_and_save(part)

        self.act_on_current(choose)

    async def _ask_and_save(self, attached: ReceivedAttachment) -> None:
        downloads = Path.home() / "Downloads"
        folder = str(downloads if downloads.is_dir() else Path.cwd())
        where = await self.app.push_screen_wait(InputDialog(f"Folder to save {attached.name} in", folder))
        if where:
            self.show_status(f"Saved as {await asyncio.to_thread(_save, attached, where)}.")

    def action_conversation(self) -> None:
        """List the conversation of the current message."""
        self.act_on_current(lambda summary: self.show(ConversationList(summary.key), summary.key))

    def action_search(self) -> None:
        """Ask for a query, and list the messages that match it."""

        async def search() -> None:
            before = self.source.query if isinstance(self.source, SearchList) else ""
            query = await self.app.push_screen_wait(InputDialog("Search", before, _SEARCH_HINT))
            if not query:
                return
            try:
                await self.show(SearchList(query))
                self.show_status(unknown_field_warning(query), error=bool(unknown_field_warning(query)))
            except BadQuery as error:
                self.show_status(str(error), error=True)
            self.set_focus(self.messages)

        self.start_action(search)

    # Writing

    def action_compose(self) -> None:
        """Write a new message."""
        self.start_action(self._outbox_actions.compose, "writing")

    def action_reply(self) -> None:
        """Reply to the sender."""
        self.act_on_current(lambda summary: self._outbox_actions.answer(summary, False))

    def action_reply_all(self) -> None:
        """Reply to the sender and all recipients."""
        self.act_on_current(lambda summary: self._outbox_actions.answer(summary, True))

    def action_forward(self) -> None:
        """Forward the message."""
        self._act_on_one(self._outbox_actions.forward)

    def action_edit(self) -> None:
        """Write a new message from this one, or continue a draft."""
        self.act_on_current(self._outbox_actions.edit)

    def action_flush(self) -> None:
        """Send the messages in the outbox."""
        self.start_action(self._outbox_actions.flush, "sending")

    def action_stop(self) -> None:
        """Stop the message that is on hold."""
        self.start_action(self._outbox_actions.stop)

    # Handling

    def _act_on_one(self, action: MessageAction) -> None:
        """Apply an action for several messages to the current one."""
        self.act_on_current(lambda summary: action([summary]))

    def action_delete(self) -> None:
        """Move the message to Trash. In the outbox, stop it; in Trash, delete it for good."""
        self._act_on_one(self._delete)

    async def _delete(self, summaries: Sequence[Summary]) -> None:
        for one in summaries:
            if one.folder.name == OUTBOX:
                await self._outbox_actions.stop(one.key)
        await self._message_actions.delete([one for one in summaries if one.folder.name != OUTBOX])

    def action_undelete(self) -> None:
        """Restore the message from Trash, or undo the last delete or move."""
        current = self.messages.current
        self.start_action(lambda: self._message_actions.undelete([current] if current is not None else []))

    def action_move(self) -> None:
        """Move the message to another folder."""
        self._act_on_one(self._message_actions.move)

    def action_archive(self) -> None:
        """Move the message to the folder Archive."""
        self._act_on_one(self._message_actions.archive)

    def action_flag(self) -> None:
        """Flag or unflag the message."""
        self._act_on_one(self._toggle_flag)

    async def _toggle_flag(self, summaries: Sequence[Summary]) -> None:
        await self._message_actions.toggle(summaries, Flag.FLAGGED)

    def action_unread(self) -> None:
        """Mark the message as unread or read."""
        self._act_on_one(self._toggle_read)

    async def _toggle_read(self, summaries: Sequence[Summary]) -> None:
        await self._message_actions.toggle(summaries, Flag.SEEN)

    def action_tag(self) -> None:
        """Change the tags of the message."""
        self._act_on_one(self._message_actions.tag)

    # Several messages at once

    def action_select(self) -> None:
        """Select or unselect the message, and go to the next one, as mutt does."""
        if self.messages.current is None:
            self.show_status("The list is empty.")
            return
        self._act_on_one(self._selection_actions.toggle)
        if self.messages.cursor_row + 1 < len(self.messages.summaries):
            self.move_by(1)

    def action_select_found(self) -> None:
        """Select the messages that match a search."""
        self.start_action(lambda: self._selection_actions.by_search(True))

    def action_unselect_found(self) -> None:
        """Unselect the messages that match a search."""
        self.start_action(lambda: self._selection_actions.by_search(False))

    def action_for_all(self) -> None:
        """Apply the action of the next key to all selected messages."""
        actions: dict[str, MessageAction] = {
            "delete": self._delete,
            "undelete": self._message_actions.undelete,
            "move": self._message_actions.move,
            "archive": self._message_actions.archive,
            "flag": self._toggle_flag,
            "unread": self._toggle_read,
            "tag": self._message_actions.tag,
            "forward": self._outbox_actions.forward,
            "select": self._selection_actions.toggle,
        }

        self._selection_actions.ask_action(lambda action, summaries: actions[action](summaries))

    # Program

    def action_fetch(self) -> None:
        """Fetch new mail."""
        self.start_action(self._fetch_action.fetch, "fetching")

    def action_theme(self) -> None:
        """Switch between the dark and the light theme."""
        self.mail_app.change_theme()

    def action_help(self) -> None:
        """Show all keys."""
        self.app.push_screen(TextDialog("Keys", help_text()))

    def action_quit(self) -> None:
        """Go back to the list; from the list, leave the program."""
        if self.focused is not self.messages:
            self.set_focus(self.messages)
            return

        async def leave() -> None:
            held = self._outbox_actions.unsent_key
            if held is not None and not await self.app.push_screen_wait(
                ConfirmDialog("A message is not sent yet. It stays in the outbox if you leave. Leave?")
            ):
                return
            self.app.exit()

        self.start_action(leave)


def _save(attached: ReceivedAttachment, folder: str) -> Path:
    target = Path(folder).expanduser()
    target.mkdir(parents=True, exist_ok=True)
    return save_attachment(attached, target)

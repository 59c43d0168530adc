"""Main screen: the panes, and the action of each key on the current message or the selection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, ClassVar, Final

from textual.binding import Binding, BindingType
from typing_extensions import override

from emailsys.client.archive.query import unknown_field_warning
from emailsys.client.archive.values import DRAFTS, OUTBOX, Flag, Summary
from emailsys.client.mailbox import UserMailbox
from emailsys.client.opening import private_files
from emailsys.client.screen.dialogs import InputDialog, TextDialog, help_text
from emailsys.client.screen.fetch import LOOK_EVERY, FetchAction
from emailsys.client.screen.folder_pane import FolderPane
from emailsys.client.screen.keys import MAIN
from emailsys.client.screen.late_actions import LateActions
from emailsys.client.screen.leaving import leave_is_safe, unknown_outcome
from emailsys.client.screen.list_actions import ListActions
from emailsys.client.screen.list_sources import ConversationList, SearchList
from emailsys.client.screen.moving import CURSOR_KEYS, MovingPanes
from emailsys.client.screen.outbox_actions import OutboxActions
from emailsys.client.screen.program import MailProgram

#: An action on messages: the current one, or all that are selected.
MessageAction = Callable[[Sequence[Summary]], None]

# Seconds between two looks for messages whose time has come.
_SCHEDULED_EVERY: Final = 20.0
# Seconds between two looks for files that were opened a day ago.
_SWEPT_EVERY: Final = 3_600.0
_SEARCH_HINT: Final = 'words, "phrases", from:, subject:, has:attachment, is:unread, tag:, before:2026-03, newer:7d'


class MainScreen(MovingPanes):
    """The panes with the actions of all keys."""

    # All keys have priority, or none would: Enter must not overtake a key before it that a pane still has to handle.
    BINDINGS: ClassVar[list[BindingType]] = [
        *(key.binding(priority=True) for key in MAIN),
        *(Binding(key, f"in_pane({names!r})", show=False, priority=True) for key, names in CURSOR_KEYS.items()),
    ]

    def __init__(self, mailbox: UserMailbox, app: MailProgram) -> None:
        super().__init__(mailbox, app)
        self._is_leaving = False
        self._outbox_actions = OutboxActions(mailbox, app, self)
        self._fetch_action = FetchAction(mailbox, app, self)
        self._list_actions = ListActions(mailbox, self)
        self._late = LateActions(mailbox, self, self._outbox_actions)

    def on_mount(self) -> None:
        """Look now and then for accounts and messages that are due, and for files that were opened a day ago."""
        self.set_interval(LOOK_EVERY, lambda: self.start_action(self._fetch_action.fetch_due, "fetching"))
        self.set_interval(
            _SCHEDULED_EVERY, lambda: self.start_action(self._outbox_actions.send_scheduled, "scheduled messages")
        )
        self.call_after_refresh(self.start_action, self._remove_old)
        self.set_interval(_SWEPT_EVERY, lambda: self.start_action(self._remove_old))

    async def _remove_old(self) -> None:
        await asyncio.to_thread(private_files.sweep, self.mailbox.paths.state)

    def on_message_pane_chosen(self) -> None:
        """Open the message that was clicked."""
        if (clicked := self.messages.current) is not None:
            self._open(clicked)

    # Reading

    def action_open(self) -> None:
        """Open the current message, or the current folder if the folder pane has the focus."""
        pane = self.query_one(FolderPane)
        if self.focused is pane:
            if (chosen := pane.under_cursor) is not None:
                self.go_to_list(chosen)
            else:
                pane.action_select_cursor()
        elif (current := self.find_current()) is not None:
            self._open(current)

    def _open(self, summary: Summary) -> None:
        if summary.folder.name == DRAFTS:
            self.start_dialog(lambda: self._outbox_actions.edit(summary))
        else:
            self.open_message(summary)

    @override
    def open_message(self, summary: Summary) -> None:
        """Open a message in the reader."""
        self.attempt(lambda: self._late.reading.open(summary))

    def action_headers(self) -> None:
        """Switch between all header fields and the usual ones."""
        if (current := self.find_current()) is not None:
            self._late.reading.switch_headers(current)

    def action_html(self) -> None:
        """Switch between the HTML part, as text, and the plain text."""
        if (current := self.find_current()) is not None:
            self._late.reading.switch_html(current)

    def action_unlock(self) -> None:
        """Let gpg ask for the passphrase that opens the message."""
        self._start_with_current(self._late.reading.unlock)

    def action_structure(self) -> None:
        """Show the MIME structure of the message."""
        self._start_with_current(self._late.reading.structure)

    def action_attachments(self) -> None:
        """Let the user choose an attachment or all of them, and save, open or pipe it."""
        self._start_with_current(self._late.attachments.choose)

    def action_links(self) -> None:
        """Let the user choose a link of the message, and open it."""
        self._start_with_current(lambda summary: self._late.opening.link(summary, self._late.reading.is_html))

    def action_browser(self) -> None:
        """Open the HTML of the message in a browser."""
        self._start_with_current(self._late.opening.html)

    def action_pipe(self) -> None:
        """Pipe the message to a command."""
        self._start_with_current(self._late.opening.pipe)

    def action_print(self) -> None:
        """Print the message."""
        self._start_with_current(self._late.opening.print)

    def action_parts(self) -> None:
        """Let the user choose any part of the message, and show or save it."""
        self._start_with_current(self._late.reading.choose_part)

    def action_conversation(self) -> None:
        """List the conversation of the current message."""
        if (current := self.find_current()) is not None:
            self.start_dialog(lambda: self.show(ConversationList(current.key, current.thread), current.key))

    def action_search(self) -> None:
        """Ask for a query, and list the messages that match it."""

        async def search() -> None:
            before = self.source.query if isinstance(self.source, SearchList) else ""

            def read(typed: str) -> str:
                archive = self.mailbox.archive
                # Raises what cannot be searched for.
                archive.query(typed).selection([(one.folder.account, one.folder.name) for one in archive.folders()])
                return typed.strip()

            # Without a term, a search finds everything: an empty line cancels.
            query = await self.app.push_screen_wait(
                InputDialog("Search", before, _SEARCH_HINT, is_selected=True, read=read)
            )
            if query is None:
                return
            await self.show(SearchList(query))
            self.show_status(unknown_field_warning(query), error=bool(unknown_field_warning(query)))
            self.set_focus(self.messages)

        self.start_dialog(search)

    # The list

    def action_sort(self) -> None:
        """Choose the order of the list, and whether conversations are trees."""
        self.start_dialog(self._list_actions.sort)

    def action_collapse(self) -> None:
        """Collapse the conversation, or expand it."""
        self.attempt(self._list_actions.collapse)

    def action_collapse_all(self) -> None:
        """Collapse all conversations, or expand them."""
        self.attempt(self._list_actions.collapse_all)

    def action_save_search(self) -> None:
        """Save the search as a virtual folder, rename it, or remove it."""
        self.start_dialog(self._list_actions.save_search)

    # Writing

    def action_compose(self) -> None:
        """Write a new message."""
        self.start_dialog(self._outbox_actions.compose, "writing")

    def action_reply(self) -> None:
        """Reply to the sender."""
        self._start_with_current(lambda summary: self._outbox_actions.answer(summary, "sender"))

    def action_reply_all(self) -> None:
        """Reply to the sender and all recipients."""
        self._start_with_current(lambda summary: self._outbox_actions.answer(summary, "all"))

    def action_reply_list(self) -> None:
        """Reply to the mailing list."""
        self._start_with_current(lambda summary: self._outbox_actions.answer(summary, "list"))

    def action_invitation(self) -> None:
        """Answer the invitation of the message."""
        self._start_with_current(self._late.invitations.answer)

    def action_forward(self) -> None:
        """Forward the message."""
        if (current := self.find_current()) is not None:
            self.attempt(lambda: self._forward([current]))

    def action_bounce(self) -> None:
        """Send the message on to others, unchanged."""
        if (current := self.find_current()) is not None:
            self.attempt(lambda: self._bounce([current]))

    def action_unsubscribe(self) -> None:
        """Leave the mailing list of the message."""
        self._start_with_current(lambda summary: self._late.sending_on.unsubscribe(summary))

    def action_contacts(self) -> None:
        """Show the contact book."""
        current = self.current
        self.start_dialog(lambda: self._late.contacts.open(current))

    def action_edit(self) -> None:
        """Write a new message from this one, or continue a draft."""
        self._start_with_current(self._outbox_actions.edit)

    def action_flush(self) -> None:
        """Send the messages in the outbox."""
        self.start_dialog(self._outbox_actions.flush, "sending")

    def action_stop(self) -> None:
        """Stop the message that is on hold."""
        self.start_action(self._outbox_actions.stop)

    # Handling

    def _start_with_current(self, action: Callable[[Summary], Coroutine[Any, Any, None]]) -> None:
        """Run an action on the current message that opens a dialog or another screen."""
        if (current := self.find_current()) is not None:
            self.start_dialog(lambda: action(current))

    def _act_on_one(self, action: MessageAction) -> None:
        """Apply an action for several messages to the current one, or to all of a collapsed conversation."""
        if self.focused is self.query_one(FolderPane):
            # Whoever types the name of a folder there must not move and delete messages.
            self.show_status("This key acts on messages. Press i to go to their list.")
        elif (current := self.find_current()) is not None:
            self.attempt(lambda: action(self._list_actions.objects(current)))

    def _forward(self, summaries: Sequence[Summary]) -> None:
        self.start_dialog(lambda: self._outbox_actions.forward(summaries))

    def _bounce(self, summaries: Sequence[Summary]) -> None:
        self.start_dialog(lambda: self._late.sending_on.bounce(summaries))

    def action_delete(self) -> None:
        """Move the message to Trash. In the outbox, stop it; in Trash, delete it for good."""
        self._act_on_one(self._delete)

    def _delete(self, summaries: Sequence[Summary]) -> None:
        for one in summaries:
            if one.folder.name == OUTBOX:
                self.start_action(partial(self._outbox_actions.stop, one.key))
        self._late.messages.delete([one for one in summaries if one.folder.name != OUTBOX])

    def action_undelete(self) -> None:
        """Restore the message from Trash, or undo the last delete or move."""
        current = self.current
        self.attempt(lambda: self._late.messages.undelete([current] if current is not None else []))

    def action_move(self) -> None:
        """Move the message to another folder."""
        self._act_on_one(self._late.messages.move)

    def action_archive(self) -> None:
        """Move the message to the folder Archive."""
        self._act_on_one(self._late.messages.archive)

    def action_spam(self) -> None:
        """Move the message to the folder Spam."""
        self._act_on_one(self._late.messages.spam)

    def action_spam_rule(self) -> None:
        """Move the message to the folder Spam, and later ones of its senders, too."""
        self._act_on_one(self._late.messages.spam_with_rule)

    def action_snooze(self) -> None:
        """Put the message out of sight until a moment."""
        self._act_on_one(self._late.messages.snooze)

    def action_flag(self) -> None:
        """Flag or unflag the message."""
        self._act_on_one(self._toggle_flag)

    def _toggle_flag(self, summaries: Sequence[Summary]) -> None:
        self._late.messages.toggle(summaries, Flag.FLAGGED)

    def action_unread(self) -> None:
        """Mark the message as unread or read."""
        self._act_on_one(self._toggle_read)

    def _toggle_read(self, summaries: Sequence[Summary]) -> None:
        self._late.messages.toggle(summaries, Flag.SEEN)

    def action_tag(self) -> None:
        """Change the tags of the message."""
        self._act_on_one(self._late.messages.tag)

    # Several messages at once

    def action_select(self) -> None:
        """Select or unselect the message, and go to the next one, as mutt does."""
        self._act_on_one(self._late.selection.toggle)
        if self.messages.cursor_row + 1 < len(self.messages.lines):
            self.move_by(1)

    def action_select_found(self) -> None:
        """Select the messages that match a search."""
        self.start_dialog(lambda: self._late.selection.by_search(True))

    def action_unselect_found(self) -> None:
        """Unselect the messages that match a search."""
        self.start_dialog(lambda: self._late.selection.by_search(False))

    def action_for_all(self) -> None:
        """Apply the action of the next key to all selected messages."""
        actions: dict[str, MessageAction] = {
            "delete": self._delete,
            "undelete": self._late.messages.undelete,
            "move": self._late.messages.move,
            "archive": self._late.messages.archive,
            "spam": self._late.messages.spam,
            "spam_rule": self._late.messages.spam_with_rule,
            "snooze": self._late.messages.snooze,
            "flag": self._toggle_flag,
            "unread": self._toggle_read,
            "tag": self._late.messages.tag,
            "forward": self._forward,
            "bounce": self._bounce,
            "select": self._late.selection.toggle,
        }

        self._late.selection.ask_action(lambda action, summaries: actions[action](summaries))

    # Program

    def action_fetch(self) -> None:
        """Fetch new mail."""
        self.start_action(self._fetch_action.fetch, "fetching")

    def action_manage(self) -> None:
        """Change folders, try and apply rules, import and export."""
        pane = self.query_one(FolderPane)
        source = pane.under_cursor if self.focused is pane else self.source
        self.start_dialog(lambda: self._late.managing.choose(source))

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

        self.leave()

    def leave(self) -> None:
        """Leave the program when the changes of earlier keys are saved, and mail is no longer being sent."""
        if not self._is_leaving:
            self._is_leaving = True
            self.start_dialog(self._leave)

    async def _leave(self) -> None:
        try:
            if await leave_is_safe(self.mail_app, self._outbox_actions) and await self.finish_changes():
                self.app.exit(message=unknown_outcome(self._outbox_actions))
        finally:
            self._is_leaving = False

    async def finish_changes(self) -> bool:
        """Wait for the changes of earlier keys. Return False if one failed: its error is on the screen."""
        self.show_status("Saving changes ...")
        return await self._pending.wait()

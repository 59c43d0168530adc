"""Panes of the main screen: folders, list and reader, with the keys that move among them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Label, ProgressBar, Static
from typing_extensions import override

from emailsys.client.archive.listing import Arrangement
from emailsys.client.archive.unreadable import record
from emailsys.client.archive.values import INBOX, ArchiveError, Folder, FolderCount, Summary
from emailsys.client.display.list_text import message_count
from emailsys.client.mailbox import UserMailbox
from emailsys.client.screen.archive_check import ArchiveCheck
from emailsys.client.screen.arrangements import Arrangements
from emailsys.client.screen.folder_pane import FolderPane
from emailsys.client.screen.key_line import KeyLine
from emailsys.client.screen.key_order import KeyOrder
from emailsys.client.screen.list_reader import ListReader
from emailsys.client.screen.list_rows import Folds
from emailsys.client.screen.list_sources import FolderList, InboxList, ListSource, SearchList
from emailsys.client.screen.loaded_pages import LoadedPages
from emailsys.client.screen.message_pane import MessagePane
from emailsys.client.screen.pending_changes import PendingChanges
from emailsys.client.screen.program import MailProgram
from emailsys.client.screen.reader_pane import ReaderPane
from emailsys.client.screen.selection import Selection
from emailsys.client.screen.survival import Surviving
from emailsys.client.text.terminal import safe_line, safe_text

T = TypeVar("T")

# Seconds between two checks for changes that other programs made in the archive.
_CHECK_EVERY: Final = 15.0
# Words of the status line about a list with messages, and about one without.
_HINT: Final = "Press Enter to open a message, ? for all keys."
_NO_MESSAGES: Final = "There are no messages here."
_IS_EMPTY: Final = "The list is empty."


class Panes(Surviving, Screen[None]):
    """Folders on the left, the list on the right, and the open message below the list."""

    def __init__(self, mailbox: UserMailbox, app: MailProgram) -> None:
        super().__init__()
        self.mailbox = mailbox
        self.mail_app = app
        self.source: ListSource | None = None
        self.folder: Folder | None = None
        #: The list that `i` goes back to from a search.
        self.home: ListSource | None = None
        self.selection = Selection()
        #: The order of each list, and which of its conversations are collapsed.
        self.arrangements = Arrangements(mailbox.paths.state)
        self.arrangement = Arrangement()
        self.folds: dict[ListSource, Folds] = {}
        self._loaded = LoadedPages()
        self._unread = self._total = 0
        self._told: set[str] = set()
        # The text of the status line.
        self._said = ""
        self._pending = PendingChanges()
        self._list_reader = ListReader(mailbox.archive, self._pending)
        #: Brings the list up to date with changes of other programs.
        self.archive_check = ArchiveCheck(mailbox, self.reload, self.show_status)
        # Count the lists and the counts that were asked for.
        self._listed = self._counted = 0
        #: Actions that open a dialog, or show another list.
        self.key_order = KeyOrder(self)

    @override
    def compose(self) -> ComposeResult:
        yield Static("emailsys mail", classes="bar", id="bar", markup=False)
        with Horizontal(id="panes"):
            yield FolderPane()
            with Vertical(id="right"):
                yield MessagePane(self.record)
                yield ReaderPane()
        with Horizontal(id="status"):
            yield Label("", markup=False, id="status-text")
            yield ProgressBar(show_eta=False)
        yield KeyLine()

    # Content

    @property
    def messages(self) -> MessagePane:
        """The list of messages."""
        return self.query_one(MessagePane)

    @property
    def reader(self) -> ReaderPane:
        """The pane of the open message."""
        return self.query_one(ReaderPane)

    @property
    def current(self) -> Summary | None:
        """The message that keys act on: the one that the reader shows, or else the one under the cursor."""
        current, shown = self.messages.current, self.reader.key
        if shown is None or (current is not None and current.key == shown):
            return current
        return next((one for one in self.messages.summaries if one.key == shown), None)

    @property
    def loaded_from_end(self) -> bool:
        """Whether the list was read from its end, so that its first messages may not be loaded."""
        return self._loaded.from_end

    @property
    def account_name(self) -> str | None:
        """The account of the current folder; None at the start."""
        return self.folder.account if self.folder is not None else None

    def on_mount(self) -> None:
        """Open the Inbox of the default account."""
        self.set_focus(self.messages)
        self.start_dialog(self._show_first_list)
        self.set_interval(_CHECK_EVERY, lambda: self.start_action(self.archive_check.run))

    async def _show_first_list(self) -> None:
        def first() -> Folder:
            for one in self.mailbox.accounts():
                self.mailbox.archive.add_account(one.name)
            return Folder(self.mailbox.account().name, INBOX)

        try:
            await self.show(FolderList(await asyncio.to_thread(first)))
        finally:
            self.mail_app.key_gate.open()

    async def show(self, source: ListSource, key: str | None = None, from_end: bool = False) -> None:
        """Show another list.

        @param key: the message that gets the cursor.
        @param from_end: show the end of the list, with the cursor on the last line.
        """
        self._listed = listed = self._listed + 1
        arrangement = self.arrangements.of(source)
        loaded = await self._list_reader.first_pages(source, arrangement, from_end, 1)
        if listed != self._listed:
            # Another list was asked for after this one.
            return
        self._list_reader.begin()
        self.source, self.arrangement, self._loaded = source, arrangement, loaded
        if isinstance(source, FolderList):
            self.folder = source.folder
        if isinstance(source, FolderList | InboxList):
            self.home = source
        self.messages.show(
            loaded.rows,
            loaded.is_end,
            self.mailbox.now(),
            key,
            len(loaded.rows) if from_end else 0,
            self.selection.of(source),
            self.folds.setdefault(source, Folds()),
            source.place_of,
            from_end,
        )
        self.reader.close()
        self._show_hint()
        await self.update_counts()

    async def reload(self) -> None:
        """Read the list again, and keep the cursor where it is."""
        source, listed, pane = self.source, self._listed, self.messages
        if source is None:
            return
        before, read = self._loaded, self._list_reader.first_pages
        loaded = await read(source, self.arrangement, before.from_end, before.pages, self._in_use)
        if listed == self._listed:
            self._loaded = loaded
            current = pane.current
            key, selected = current.key if current else None, self.selection.of(source)
            pane.replace(loaded.rows, loaded.is_end, self.mailbox.now(), key, selected)
            if self.reader.key is not None and self.reader.key not in {one.key for one in pane.summaries}:
                self.close_message()
            if self._said in (_HINT, _NO_MESSAGES, _IS_EMPTY):
                # New mail has come, or another program has moved the last message.
                self._show_hint()
        await self.update_counts()

    def _show_hint(self) -> None:
        self.show_status(_HINT if self.messages.summaries else _NO_MESSAGES)

    def _in_use(self) -> tuple[Summary, ...]:
        """Return the message under the cursor and the one in the reader."""
        return tuple(one for one in (self.messages.current, self.current) if one is not None)

    async def update_counts(self) -> None:
        """Update the counts of all folders."""
        self._counted = counted = self._counted + 1
        source = self.source

        def count() -> tuple[Sequence[FolderCount], int, Mapping[str, str]]:
            archive = self.mailbox.archive
            found = archive.count(source.scope(archive)) if isinstance(source, SearchList) else 0
            return archive.folders(), found, self._saved_searches()

        counts, found, saved = await asyncio.to_thread(count)
        if counted != self._counted:
            return
        self.query_one(FolderPane).show(counts, saved, self.source if self.is_saved_search else self.home)
        self._unread = sum(one.unread for one in counts if source is not None and source.has(one.folder))
        self._total = found
        self.show_title()

    def _saved_searches(self) -> Mapping[str, str]:
        """Return the saved searches. If their file is damaged, say so once, and go on without them."""
        try:
            return self.mailbox.saved_searches.load()
        except ArchiveError as error:
            if str(error) not in self._told:
                self._told.add(str(error))
                self.mailbox.archive.reports.append(str(error))
            return {}

    @property
    def is_saved_search(self) -> bool:
        """Whether the list is a saved search."""
        return isinstance(self.source, SearchList) and bool(self.source.saved)

    def show_title(self) -> None:
        """Show the name of the list, with the numbers of unread and selected messages."""
        if self.source is None:
            return
        selected = len(self.selection.of(self.source))
        words = [
            self.source.title,
            *([message_count(self._total)] if isinstance(self.source, SearchList) else []),
            *([f"{self._unread:,} unread"] if self._unread and isinstance(self.source, FolderList | InboxList) else []),
            *([f"{selected:,} selected"] if selected else []),
        ]
        self.query_one("#bar", Static).update(Text(safe_line(" · ".join(words))))

    async def on_message_pane_page_needed(self) -> None:
        """Load the next page."""
        source, listed, before = self.source, self._listed, self._loaded
        if source is not None:
            page = await self._list_reader.next_page(source, self.arrangement, before)
            if listed == self._listed and before.place == self._loaded.place:
                self._loaded = before.followed_by(page)
                self.messages.append(page.rows, page.is_end, self.mailbox.now())

    # Changes

    async def change(self, work: Callable[[], T], leaving: Sequence[Summary] = (), marked: Sequence[Summary] = ()) -> T:
        """Change messages in a thread, after all changes of earlier keys. If it fails, the list is read again.

        @param leaving: the messages that leave their folders. `remove_rows` has removed them from the list.
        @param marked: the messages with their new flags and tags. `redraw` has shown them.
        """
        try:
            return await self._pending.run(work, leaving, marked)
        except Exception:
            self.bring_back(one.key for one in leaving)
            self.start_action(self.reload)
            raise

    async def run_to_its_end(self, work: Callable[[], T]) -> T:
        """Run long work in a thread, beside the changes of keys. Leaving the program waits for it."""
        return await self._pending.run_beside(work)

    def bring_back(self, keys: Iterable[str]) -> None:
        """Let messages into the list again whose move was undone. The next reload shows them."""
        self._list_reader.bring_back(keys)

    def after_changes(self, summaries: Sequence[Summary]) -> list[Summary]:
        """Return messages as they are after the changes of earlier keys, without those that left their folders."""
        return self._pending.applied_to(summaries)

    def remove_rows(self, summaries: Sequence[Summary]) -> None:
        """Remove messages from the list that are about to leave it. The next key acts on the next message."""
        keys = {one.key for one in summaries}
        self._pending.add(leaving=summaries)
        self._list_reader.move_out(self.source, keys)
        if self.source is not None and (selected := self.selection.of(self.source)) & keys:
            selected -= keys
            self.show_title()
        self.messages.drop(keys)
        if self.reader.key in keys:
            self.close_message()

    def redraw(self, summaries: Sequence[Summary]) -> None:
        """Show messages with new flags or tags, before these are on disk."""
        self._pending.add(marked=summaries)
        self.messages.update(summaries, self.mailbox.now())

    def open_message(self, summary: Summary) -> None:
        """Open the message under the cursor, as a click does. The main screen does it at once."""
        self.messages.post_message(MessagePane.Chosen())

    def close_message(self) -> None:
        """Close the reader, and go to the list if the reader has the focus."""
        if self.focused is self.reader:
            self.set_focus(self.messages)
        self.reader.close()

    def on_data_table_row_highlighted(self) -> None:
        """Close the reader if the cursor has left its message: keys act on what is shown."""
        current = self.messages.current
        if self.reader.key is not None and (current is None or current.key != self.reader.key):
            self.close_message()

    def on_folder_pane_chosen(self, event: FolderPane.Chosen) -> None:
        """Show the folder that was clicked."""
        self.go_to_list(event.source)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """Hide the folder pane of a narrow screen when it is left: keys act on messages that are seen."""
        pane = self.query_one(FolderPane)
        if event.widget is not pane:
            pane.remove_class("asked")

    def go_to_list(self, source: ListSource) -> None:
        """Show the list that was chosen in the folder pane. The next keys act on its messages."""
        self.set_focus(self.messages)
        self.start_dialog(lambda: self.show(source))

    def show_status(self, words: str, error: bool = False) -> None:
        """Show text in the status line, and an error also as a notification."""
        self._said = words
        self.query_one("#status-text", Label).update(Text(safe_line(words)))
        if error:
            self.notify(safe_text(words), severity="error", markup=False, timeout=10)

    def record(self, step: str, key: str, error: Exception) -> str:
        """Record an unexpected exception at a message. Return its text."""
        return record(self.mailbox.archive.root, step, key, error)

    def progress(self, done: float | None, of: float | None) -> None:
        """Show the progress bar. @param done: None hides the bar. @param of: None if the total is unknown."""
        bar = self.query_one(ProgressBar)
        bar.set_class(done is not None, "busy")
        bar.update(total=of or None, progress=done or 0)

    def start_action(self, action: Callable[[], Coroutine[Any, Any, None]], group: str = "actions") -> None:
        """Run an action in a worker, and show its errors."""
        work: Callable[[], Any] = self._reported(action)
        self.run_worker(work, group=group)

    def start_dialog(self, action: Callable[[], Coroutine[Any, Any, None]], group: str = "actions") -> None:
        """Run an action that opens a dialog, or shows another list. The next keys are for what it shows.

        They wait. Those that come when it takes long are dropped.
        """
        self.key_order.start(self._reported(action), group)

    def _reported(self, action: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], Coroutine[Any, Any, None]]:
        async def run() -> None:
            try:
                await action()
            except Exception as error:
                self._report(error)

        return run

    def attempt(self, action: Callable[[], None]) -> None:
        """Run the part of an action that changes the screen at once, and show its errors."""
        try:
            action()
        except Exception as error:
            self._report(error)

    def _report(self, error: Exception) -> None:
        """Show the error of an action. Whatever one message or one action raises, the program goes on."""
        if not self.query(MessagePane) or not self.query("#status-text"):
            # The program ends, and its panes are gone.
            return
        key = self.current.key if self.current is not None else "-"
        self.show_status(self.mail_app.failure_words(error, key), error=True)

    @override
    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Whether a key may act: not while a dialog is about to open, which the user may already type into."""
        return None if self.key_order.is_busy else super().check_action(action, parameters)

    def find_current(self) -> Summary | None:
        """Return the message that keys act on, or say that there is none."""
        if self.current is None:
            self.show_status(_IS_EMPTY)
        return self.current

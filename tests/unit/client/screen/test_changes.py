"""Lists and undo stay right while changes are under way, and after a change that failed half-way."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from emailsys.client.archive.listing import Arrangement, Page
from emailsys.client.archive.values import ArchiveFull, Flag, Folder
from emailsys.client.screen import list_reader, list_sources
from emailsys.client.screen.list_sources import FolderList
from emailsys.client.screen.loaded_pages import LoadedPages
from tests.fakes.client.telling_loop import telling_loop
from tests.unit.client.screen.screen_case import PATIENCE, Driver, ScreenCase


class ChangeTests(ScreenCase):
    def test_messages_that_moved_before_a_failure_can_be_restored(self) -> None:
        """The disk is full after the first of two messages; then it is full at the first step of undo."""
        move = self.mailbox.archive.move
        full = "The disk is full."

        def half(keys: Sequence[str], folder: Folder) -> None:
            move(keys[:1], folder)
            raise ArchiveFull(full)

        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            self.patch(self.mailbox.archive, "move", half)
            await driver.press("t", "t", "semicolon", "a")
            await driver.until(lambda: full in driver.said)
            self.assertEqual(len(self.subjects("Archive")), 1)

            def refuse(keys: Sequence[str], folder: Folder) -> None:
                raise ArchiveFull(full)

            self.patch(self.mailbox.archive, "move", refuse)
            await driver.app.workers.wait_for_complete()
            driver.toasts.clear()
            screen.action_undelete()
            await driver.until(lambda: full in "".join(driver.toasts))
            self.patch(self.mailbox.archive, "move", move)
            screen.action_undelete()
            await driver.until(lambda: len(self.subjects("Inbox")) == 3)
            await driver.until(lambda: driver.messages.row_count == 3)

        self.drive(steps)

    def test_an_archived_message_leaves_a_search_and_returns_only_by_undo(self) -> None:
        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            await driver.press("slash")
            await driver.until_screen("InputDialog")
            await driver.type("subject:third OR subject:second")
            await driver.press("enter")
            await driver.until(lambda: driver.messages.row_count == 2)
            await driver.press("a")
            await driver.until(lambda: self.subjects("Archive"))
            await driver.app.workers.wait_for_complete()
            await screen.reload()
            self.assertEqual([one.subject for one in driver.messages.summaries], ["Second"])
            await driver.press("u")
            await driver.until(lambda: driver.messages.row_count == 2)

        self.drive(steps)

    def test_the_same_key_twice_on_a_selection_toggles_back(self) -> None:
        """The second key comes before the first one's flags are on disk."""
        set_flags = self.mailbox.archive.set_flags
        both = threading.Event()

        def slow(*arguments: Any) -> None:
            both.wait(PATIENCE)
            set_flags(*arguments)

        self.patch(self.mailbox.archive, "set_flags", slow)

        async def steps(driver: Driver) -> None:
            telling_loop().patience_with_threads = 0.05
            await driver.press("t", "semicolon", "F")
            await driver.until(lambda: "!" in str(driver.messages.get_row(self.third)[0]))
            await driver.press("semicolon", "F")
            both.set()
            await driver.until(lambda: "!" not in str(driver.messages.get_row(self.third)[0]))
            await driver.app.workers.wait_for_complete()

        self.drive(steps)
        self.assertFalse(self.mailbox.archive.get(self.third).flags & Flag.FLAGGED)

    def test_the_next_page_has_no_message_that_left_while_it_was_read(self) -> None:
        source = FolderList(Folder("alice", "Inbox"))

        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            pending, reader = screen._pending, screen._list_reader
            second = self.mailbox.archive.get(self.second)
            read_page = list_sources.read_page
            is_first = True

            def read(*arguments: Any) -> Page:
                nonlocal is_first
                page = read_page(*arguments)
                if is_first:
                    is_first = False
                    self.mailbox.delete([second])
                    pending.number += 1
                return page

            self.patch(list_reader, "read_page", read)
            page = await reader.next_page(source, Arrangement(), LoadedPages())
            self.assertEqual([row.summary.subject for row in page.rows], ["Third", "First"])

        self.drive(steps)

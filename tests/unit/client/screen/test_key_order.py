"""Keys that are typed faster than the screen works."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from textual.widgets import Input

from emailsys.client.archive.values import Folder
from emailsys.client.screen import key_order
from tests.unit.client.screen.screen_case import Driver, ScreenCase


class KeyOrderTests(ScreenCase):
    def test_each_key_of_one_burst_acts_on_what_the_keys_before_it_show(self) -> None:
        """A search, what it finds, a folder, its message and the end: one write of the terminal has all these keys."""

        self.mailbox.archive.move([self.first], Folder("alice", "Sent"))

        async def steps(driver: Driver) -> None:
            driver.burst("slash", "subject:second", "enter", "a", "c", "jjj", "enter", "d", "q")
            await driver.until(lambda: driver.app.return_code == 0)

        self.drive(steps)
        folders = [self.folder_of(one) for one in (self.first, self.second, self.third)]
        self.assertEqual(folders, ["Trash", "Archive", "Inbox"])

    def test_a_selection_is_moved_and_a_file_is_saved_by_keys_of_one_burst(self) -> None:
        target = self.folder / "saved"

        async def steps(driver: Driver) -> None:
            driver.burst("jv", "enter", "enter", "ctrl+u", f"{target}", "enter", "tt", "semicolon", "s", "j", "enter")
            await driver.until(lambda: self.subjects("Sent") == ["Second", "First"])

        self.drive(steps)
        self.assertEqual((target / "plan.txt").read_bytes(), b"a plan")

    def test_a_letter_is_begun_written_and_left_by_keys_of_one_burst(self) -> None:
        async def steps(driver: Driver) -> None:
            driver.burst(
                "m", "dora@x.example", "tab", "tab", "tab", "Plax", "backspace", "n", "tab", "text", "escape", "d"
            )
            await driver.until(lambda: self.subjects("Trash") == ["Third"])

        self.drive(steps)
        (draft,) = self.mailbox.archive.list(Folder("alice", "Drafts"))
        self.assertEqual((draft.subject, self.mailbox.open_draft(draft.key).text), ("Plan", "text\n"))

    def test_keys_before_a_dialog_that_takes_long_are_dropped(self) -> None:
        """The first one waits for a time, and the others do not wait as long again."""
        work = asyncio.Event()

        async def steps(driver: Driver) -> None:
            self.patch(key_order, "_PATIENCE", 0.05)
            screen: Any = driver.app.screen
            slow: Callable[..., Any] = driver.app.push_screen_wait

            async def wait(dialog: Any) -> Any:
                await work.wait()
                return await slow(dialog)

            self.patch(driver.app, "push_screen_wait", wait)
            driver.burst("slash", "ddd")
            await driver.until(lambda: screen.key_order._is_slow)
            await driver.pilot.pause()
            work.set()
            await driver.until_screen("InputDialog")
            self.assertEqual(driver.app.screen.query_one(Input).value, "")

        self.drive(steps)
        self.assertEqual(self.subjects("Inbox"), ["Third", "Second", "First"])

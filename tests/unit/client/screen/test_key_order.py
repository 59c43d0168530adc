"""Keys that are typed faster than the screen works."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from textual import events
from textual.widgets import Input, TextArea

from emailsys.client.archive.values import Flag, Folder
from emailsys.client.display.readable import readable_view
from emailsys.client.screen import key_order, reading
from emailsys.client.screen.app import MailApp
from tests.fakes.client.telling_loop import telling_loop
from tests.unit.client.screen.screen_case import PATIENCE, Driver, ScreenCase, tries


class KeyOrderTests(ScreenCase):
    def test_each_key_of_one_burst_acts_on_what_the_keys_before_it_show(self) -> None:
        """A search, what it finds, a folder, its message and the end: one write of the terminal has all these keys.

        A key behind the end does nothing: it was typed for the shell.
        """
        self.mailbox.archive.move([self.first], Folder("alice", "Sent"))

        async def steps(driver: Driver) -> None:
            theme = driver.app.theme
            driver.burst("slash", "subject:second", "enter", "a", "c", "jjj", "enter", "d", "q", "f3")
            await driver.until(lambda: driver.app.return_code == 0)
            self.assertEqual(driver.app.theme, theme)

        self.drive(steps)
        folders = [self.folder_of(one) for one in (self.first, self.second, self.third)]
        self.assertEqual(folders, ["Trash", "Archive", "Inbox"])

    def test_keys_typed_before_the_first_list_act_on_it(self) -> None:
        """Enter is Ctrl-J there: the terminal makes a line feed of it before the program takes it."""
        may_go_on = threading.Event()
        self.addCleanup(may_go_on.set)
        accounts = self.mailbox.accounts

        def slow_accounts() -> Any:
            may_go_on.wait(PATIENCE)
            return accounts()

        async def run() -> None:
            app = MailApp(self.mailbox, lambda _: self.network)
            as_typed = app.key_gate.as_typed

            def came(key: events.Key) -> events.Key:
                may_go_on.set()
                return as_typed(key)

            self.patch(app.key_gate, "as_typed", came)
            self.patch(self.mailbox, "accounts", slow_accounts)

            async def early() -> None:
                for key in ("c", "ctrl+j", "ctrl+j", "q", "q"):
                    app.post_message(events.Key(key, None))

            await asyncio.gather(app.run_async(headless=True), early())

        self.patch(key_order, "_PATIENCE", PATIENCE)
        self.patch(key_order, "_PATIENCE_AT_START", PATIENCE)
        asyncio.run(run())
        self.assertEqual(self.mailbox.archive.get(self.third).flags, Flag.SEEN)

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

    def test_keys_behind_the_one_that_sends_are_for_the_list(self) -> None:
        async def steps(driver: Driver) -> None:
            await driver.compose("dora@x.example", "Plan", "text")
            driver.app.screen.set_focus(driver.app.screen.query_one("#body"))
            driver.burst("ctrl+t", "d")
            await driver.until(lambda: self.subjects("Trash") == ["Third"] and self.subjects("Sent") == ["Plan"])

        self.drive(steps)
        self.assertEqual((self.mailbox.open_draft(self.network.sent[0]).text or "").strip(), "text")

    def test_a_key_brings_the_focus_back(self) -> None:
        """A terminal may tell that it has lost the focus, and never that it has got it back."""

        async def steps(driver: Driver) -> None:
            await driver.compose("dora@x.example")
            screen = driver.app.screen
            screen.set_focus(screen.query_one("#subject"))
            driver.app.post_message(events.AppBlur())
            driver.burst("tab", "text")
            await driver.until(lambda: screen.query_one("#body", TextArea).text == "text")

        self.drive(steps)

    def test_a_dialog_that_opens_while_the_terminal_has_no_focus_gets_the_keys(self) -> None:
        async def steps(driver: Driver) -> None:
            driver.burst("slash")
            driver.app.post_message(events.AppBlur())
            await driver.until_screen("InputDialog")
            driver.app.post_message(events.AppFocus())
            driver.burst("subject:second", "enter")
            await driver.until(lambda: [one.key for one in driver.messages.summaries] == [self.second])
            self.assertIs(driver.app.focused, driver.messages)

        self.drive(steps)

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

    def reading_waits(self) -> threading.Event:
        """Let no message be read before the event is set."""
        may_go_on = threading.Event()
        self.addCleanup(may_go_on.set)

        def slow_view(*of: Any, **how: Any) -> Any:
            may_go_on.wait(PATIENCE)
            return readable_view(*of, **how)

        self.patch(reading, "readable_view", slow_view)
        return may_go_on

    @tries("page_down", "page_up")
    def test_keys_pressed_before_the_text_is_there_are_for_it(self) -> None:
        """Space waits for a text that is being read, once for each press, and then scrolls it."""
        may_go_on = self.reading_waits()

        async def steps(driver: Driver) -> None:
            telling_loop().patience_with_threads = 0.05
            await driver.press("enter", "space", "space", "minus", "space")
            await driver.until(lambda: driver.reader.size.height > 0 and len(driver.reader._waiting) == 4)
            self.assertEqual((driver.reader.key, driver.reader.scroll_offset.y), (self.third, 0))
            may_go_on.set()
            await driver.until(
                lambda: driver.reader.scroll_offset.y == 2 * driver.reader.scrollable_content_region.height > 0
            )
            await driver.press("end", "space", "space")
            await driver.until(lambda: driver.reader.key == self.second and driver.reader.scroll_offset.y > 0)

        self.drive(steps)

    def test_keys_that_wait_for_a_text_are_dropped_with_its_message(self) -> None:
        """Space would go on from a message that is no longer open, past the one under the cursor."""
        may_go_on = self.reading_waits()

        async def steps(driver: Driver) -> None:
            telling_loop().patience_with_threads = 0.05
            await driver.press("enter", "space")
            await driver.until(lambda: len(driver.reader._waiting) == 1)
            await driver.press("d")
            await driver.until(lambda: driver.reader.key is None)
            self.assertEqual(driver.reader._waiting, [])
            may_go_on.set()

        self.drive(steps)

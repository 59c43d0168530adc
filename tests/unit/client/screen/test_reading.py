"""The full screen, moving and reading: each key has its effect on disk or on the sent mail."""

from __future__ import annotations

import re
from typing import Any

from textual.containers import VerticalScroll
from textual.widgets import Input, Label, Static

from emailsys.client.archive.values import INBOX, Addition, Flag, Folder
from emailsys.client.display.readable import readable_view
from emailsys.client.screen import reading
from emailsys.client.screen.key_line import KeyLine
from tests.unit.client.screen.screen_case import Driver, ScreenCase, tries


class MovingTests(ScreenCase):
    """The keys that choose a message."""

    @tries("next", "previous", "first", "last")
    def test_mutts_keys_move_the_cursor_and_delete_takes_what_is_under_it(self) -> None:
        """After j, k, = and *, d moves the message under the cursor to Trash."""

        async def steps(driver: Driver) -> None:
            await driver.press("asterisk", "k", "d")
            await driver.until(lambda: self.folder_of(self.second) == "Trash")
            await driver.until(lambda: len(driver.messages.summaries) == 2)
            await driver.press("equals_sign", "j", "d")
            await driver.until(lambda: self.folder_of(self.first) == "Trash")

        self.drive(steps)
        self.assertEqual(self.folder_of(self.third), "Inbox")

    @tries("next_unread")
    def test_tab_goes_to_the_next_unread_message(self) -> None:
        """From the last message, Tab goes to the unread first one."""

        async def steps(driver: Driver) -> None:
            await driver.press("asterisk", "tab", "enter")
            await driver.until(lambda: driver.reader.key == self.third)
            await driver.until(lambda: not self.mailbox.archive.get(self.third).is_unread)

        self.drive(steps)

    def test_the_list_has_all_the_room_until_a_message_is_open(self) -> None:
        """The reader pane opens and closes with the message. The title of a search has its number."""

        async def steps(driver: Driver) -> None:
            await driver.until(lambda: "1 unread" in str(driver.app.screen.query_one("#bar", Static).visual))
            height = driver.messages.size.height
            self.assertFalse(driver.reader.display)
            await driver.press("enter")
            await driver.until(lambda: driver.reader.display and driver.messages.size.height < height)
            await driver.press("d")
            await driver.until(lambda: not driver.reader.display and driver.messages.size.height == height)
            self.mailbox.archive.set_flags([self.second], Flag.NONE, Flag.SEEN)
            await driver.press("slash")
            await driver.until_screen("InputDialog")
            driver.app.screen.query_one(Input).value = "subject:first"
            await driver.press("enter")
            await driver.until(lambda: [one.subject for one in driver.messages.summaries] == ["First"])
            title = "Search: subject:first · 1 message"
            await driver.until(lambda: str(driver.app.screen.query_one("#bar", Static).visual) == title)

        self.drive(steps)

    @tries("open", "to_list")
    def test_opening_marks_as_read_on_disk(self) -> None:
        """Enter shows the text and marks it as read; i goes back to the list."""

        async def steps(driver: Driver) -> None:
            await driver.press("enter")
            await driver.until(lambda: "the text of Third" in driver.read)
            await driver.until(lambda: not self.mailbox.archive.get(self.third).is_unread)
            self.assertIs(driver.app.screen.focused, driver.reader)
            await driver.press("i")
            self.assertIs(driver.app.screen.focused, driver.messages)

        self.drive(steps)

    @tries("page_down", "page_up")
    def test_space_reads_on_into_the_next_message(self) -> None:
        """Space scrolls to the end and opens the next message; - scrolls back."""

        async def steps(driver: Driver) -> None:
            await driver.press("enter")
            await driver.until(lambda: driver.reader.key == self.third)
            await driver.press("space")
            await driver.until(lambda: driver.reader.scroll_offset.y > 0)
            await driver.press("minus")
            await driver.until(lambda: driver.reader.scroll_offset.y == 0)
            for _ in range(30):
                await driver.press("space")
            await driver.until(lambda: driver.reader.key in (self.first, self.second))

        self.drive(steps)

    def test_space_goes_on_from_a_message_that_cannot_be_read(self) -> None:
        """What waits for a text that never comes opens the next message."""

        def refuse(root: Any, key: str, *of: Any, **how: Any) -> Any:
            if key == self.third:
                raise OSError("the disk has gone")
            return readable_view(root, key, *of, **how)

        self.patch(reading, "readable_view", refuse)

        async def steps(driver: Driver) -> None:
            await driver.press("enter", "space")
            await driver.until(lambda: driver.reader.key == self.second)

        self.drive(steps)

    @tries("to_folders")
    def test_another_folder_is_chosen_with_the_keyboard(self) -> None:
        """After c, the cursor keys and Enter, d deletes a message of Archive."""
        self.mailbox.archive.move([self.first], Folder("alice", "Archive"))

        async def steps(driver: Driver) -> None:
            await driver.press("c", *"jjjj", "enter")
            await driver.until(lambda: [one.subject for one in driver.messages.summaries] == ["First"])
            await driver.press("d")
            await driver.until(lambda: self.folder_of(self.first) == "Trash")

        self.drive(steps)

    @tries("next_pane")
    def test_f6_moves_through_the_panes(self) -> None:
        """F6 goes from the message to the folders, where Enter opens a folder."""
        self.mailbox.archive.move([self.first], Folder("alice", "Drafts"))

        async def steps(driver: Driver) -> None:
            await driver.press("enter")
            await driver.until(lambda: driver.reader.key == self.third)
            await driver.press("f6", "j", "enter")
            await driver.until(lambda: [one.subject for one in driver.messages.summaries] == ["First"])

        self.drive(steps)

    def test_a_folder_and_a_message_are_chosen_with_the_mouse(self) -> None:
        """A click on a message opens it, and a click on a folder lists it."""

        async def steps(driver: Driver) -> None:
            await driver.pilot.click("#messages", offset=(10, 1))
            await driver.until(lambda: driver.reader.key == self.third)
            await driver.pilot.click("#folders", offset=(4, 6))
            await driver.until(lambda: "Archive" in str(driver.app.screen.query_one("#bar").visual))  # type: ignore[attr-defined]
            await driver.until(lambda: not self.mailbox.archive.get(self.third).is_unread)

        self.drive(steps)

    def test_a_long_folder_comes_page_by_page(self) -> None:
        """The second page is loaded when the cursor comes near the end of the first."""
        for number in range(230):
            self.arrive(f"Number {number}", 5 + number, Flag.SEEN)

        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            self.assertEqual(len(driver.messages.summaries), 200)
            screen.go_to_row(199)
            await driver.until(lambda: len(driver.messages.summaries) == 233)

        self.drive(steps)

    def test_a_narrow_screen_shows_the_folders_when_they_are_asked_for(self) -> None:
        """On 60 columns the list has the whole width until c is pressed."""

        async def steps(driver: Driver) -> None:
            folders = driver.app.screen.query_one("#folders")
            await driver.until(lambda: not folders.display)
            await driver.press("c")
            await driver.until(lambda: folders.display)

        self.drive(steps, size=(60, 24))


class ReadingTests(ScreenCase):
    """The keys that show a message."""

    @tries("headers", "html")
    def test_headers_and_html_are_shown_and_hidden(self) -> None:
        """h shows Message-ID, and H shows the HTML part. A second press goes back."""

        async def steps(driver: Driver) -> None:
            await driver.press("j", "enter")
            await driver.until(lambda: "the text of Second" in driver.read)
            self.assertNotIn("Message-ID", driver.read)
            await driver.press("h")
            await driver.until(lambda: "Message-ID" in driver.read)
            await driver.press("h", "H")
            await driver.until(lambda: "the HTML form" in driver.read and "Message-ID" not in driver.read)
            await driver.press("H")
            await driver.until(lambda: "the text of Second" in driver.read)

        self.drive(steps)

    @tries("structure")
    def test_the_structure_names_every_part(self) -> None:
        """V shows types, sizes and the overhead of the encoding."""

        async def steps(driver: Driver) -> None:
            await driver.press("j", "V")
            await driver.until_screen("TextDialog")
            shown = " ".join(str(one.visual) for one in driver.app.screen.query("Static"))  # type: ignore[attr-defined]
            for word in ("multipart/mixed", "multipart/alternative", "text/html", "plan.txt"):
                self.assertIn(word, shown)
            await driver.press("escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)

    @tries("attachments")
    def test_an_attachment_is_saved_where_the_person_says(self) -> None:
        """v, Enter and a folder save a file with the octets that were sent."""
        target = self.folder / "saved"

        async def steps(driver: Driver) -> None:
            await driver.press("j", "v")
            await driver.until_screen("ChoiceDialog")
            await driver.press("enter")
            await driver.until(lambda: "plan.txt" in str(driver.app.screen.query(".title").first(Label).render()))
            await driver.press("enter")
            await driver.until_screen("PathDialog")
            driver.app.screen.query_one(Input).value = str(target)
            await driver.press("enter")
            await driver.until(lambda: (target / "plan.txt").is_file() and "Saved" in driver.said)

        self.drive(steps)
        self.assertEqual((target / "plan.txt").read_bytes(), b"a plan")

    @tries("parts")
    def test_any_part_is_shown_or_saved_by_its_number(self) -> None:
        """P lists the parts. The text is shown, and the multipart around it is saved with its octets."""
        target = self.folder / "saved"

        async def steps(driver: Driver) -> None:
            await driver.press("j", "P")
            await driver.until_screen("ChoiceDialog")
            await driver.press("j", "enter")
            await driver.until(lambda: "Part 1.1" in str(driver.app.screen.query_one(".title", Label).render()))
            await driver.press("enter")
            await driver.until_screen("TextDialog")
            await driver.press("escape", "P")
            await driver.until_screen("ChoiceDialog")
            await driver.press("enter")
            await driver.until(lambda: "Part 1" in str(driver.app.screen.query_one(".title", Label).render()))
            await driver.press("j", "enter")
            await driver.until_screen("PathDialog")
            driver.app.screen.query_one(Input).value = str(target)
            await driver.press("enter")
            await driver.until(lambda: "Saved" in driver.said)

        self.drive(steps)
        (saved,) = target.iterdir()
        self.assertIn(b"plan.txt", saved.read_bytes())

    @tries("conversation")
    def test_a_conversation_is_listed_over_its_folders(self) -> None:
        """C lists the message and its answer in Sent; i goes back to the folder."""
        summary = self.mailbox.archive.get(self.third)
        key = self.mailbox.queue(self.mailbox.account("alice"), self.mailbox.reply(summary))
        self.mailbox.archive.move([key], Folder("alice", "Sent"))

        async def steps(driver: Driver) -> None:
            await driver.press("C")
            await driver.until(lambda: [one.key for one in driver.messages.summaries] == [self.third, key])
            await driver.press("i")
            await driver.until(lambda: len(driver.messages.summaries) == 3)

        self.drive(steps)

    def test_the_help_is_read_a_page_at_a_time_and_left(self) -> None:
        """Space and - scroll by pages, j and k by lines. All of the help can be reached on 80 x 24."""

        async def steps(driver: Driver) -> None:
            await driver.press("question_mark")
            await driver.until_screen("TextDialog")
            text = driver.app.screen.query_one(VerticalScroll)
            await driver.until(lambda: text.max_scroll_y > text.size.height)
            await driver.press("space")
            await driver.until(lambda: text.scroll_offset.y == text.size.height)
            await driver.press("j")
            await driver.until(lambda: text.scroll_offset.y == text.size.height + 1)

            async def scroll(key: str) -> None:
                before = text.scroll_offset.y
                await driver.press(key)
                await driver.until(lambda: text.scroll_offset.y != before)

            for key, end in (("space", text.max_scroll_y), ("minus", 0)):
                for _ in range(20):
                    if text.scroll_offset.y != end:
                        await scroll(key)
                self.assertEqual(text.scroll_offset.y, end)
            await driver.press("q")
            await driver.until_screen("MainScreen")

        self.drive(steps, size=(80, 24))

    def test_a_key_in_the_bottom_line_can_be_clicked(self) -> None:
        """A click on Write opens a new message, as the help says."""

        async def steps(driver: Driver) -> None:
            line = driver.app.screen.query_one(KeyLine)
            await driver.pilot.click(line, offset=(str(line.render()).index("Write"), 0))
            await driver.until_screen("Composer")
            await driver.press("escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)

    @tries("search")
    def test_a_search_finds_and_what_is_found_can_be_handled(self) -> None:
        """After the search has:attachment, a moves the message to Archive. The next search replaces this one."""

        async def steps(driver: Driver) -> None:
            await driver.press("slash")
            await driver.until_screen("InputDialog")
            await driver.type("has:attachment")
            await driver.press("enter")
            await driver.until(lambda: [one.key for one in driver.messages.summaries] == [self.second])
            await driver.press("a")
            await driver.until(lambda: self.folder_of(self.second) == "Archive")
            await driver.press("slash")
            await driver.until_screen("InputDialog")
            for query, words in (("before:never", "a date is written"), ("folder:nope", "nope")):
                driver.app.screen.query_one(Input).value = query
                await driver.press("enter")
                await driver.until(lambda words=words: words in driver.refusal.partition(": ")[2])  # type: ignore[misc]
            await driver.press("escape", "slash")
            await driver.until_screen("InputDialog")
            self.assertEqual(driver.app.screen.query_one(Input).value, "has:attachment")
            driver.burst("fron:bob", "enter")
            await driver.until(lambda: "did you mean from:?" in driver.said)
            self.assertEqual(driver.app.screen.source.query, "fron:bob")  # type: ignore[attr-defined]

        self.drive(steps)

    def test_nothing_a_stranger_wrote_is_taken_for_markup_or_reaches_the_terminal(self) -> None:
        """Brackets stay brackets, and an escape sequence becomes visible characters."""
        octets = (
            b"From: x@example.org\r\nSubject: [bold]not[/bold] \x1b[2J\r\nDate: Mon, 9 Mar 2026 12:30:00 +0000\r\n\r\n"
            b"[link=file:///etc/passwd]here[/link] \x1b]0;title\x07\r\n"
        )
        key = self.mailbox.archive.add(Addition(octets, Folder("alice", INBOX)))

        async def steps(driver: Driver) -> str:
            await driver.press("equals_sign", "enter")
            await driver.until(lambda: driver.reader.key == key and "title" in driver.read)
            await driver.pilot.pause()
            return driver.app.export_screenshot()

        svg = self.drive(steps)
        self.assertNotIn("\x1b", svg)
        text = re.sub(r"<[^>]+>|&#160;", " ", svg)
        self.assertIn("[link=file:///etc/passwd]here", text.replace("\xa0", " "))
        self.assertIn("[bold]not[/bold]", text.replace("\xa0", " "))

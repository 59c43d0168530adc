"""The full screen, selections: the next key applies to all selected messages."""

from __future__ import annotations

from typing import Any

from textual.widgets import Input, Static

from emailsys.client.archive.values import Flag, Folder
from tests.unit.client.screen.screen_case import Driver, ScreenCase, tries


class SelectingTests(ScreenCase):
    """The Inbox has Third (unread), Second and First, the newest first."""

    def marked(self, driver: Driver) -> list[str]:
        """Return the subjects of the lines that have a star."""
        return [
            one.subject
            for one in driver.messages.summaries
            if str(driver.messages.get_cell(one.key, "flags")).startswith("*")
        ]

    async def for_all(self, driver: Driver, key: str) -> None:
        await driver.press("semicolon")
        await driver.until_screen("SelectionDialog")
        await driver.press(key)

    @tries("select", "for_all")
    def test_selected_messages_are_deleted_and_restored_together(self) -> None:
        """t selects and moves the cursor on. ;d moves both files to Trash, and u restores both."""

        async def steps(driver: Driver) -> None:
            await driver.press("t", "t")
            await driver.until(lambda: self.marked(driver) == ["Third", "Second"])
            self.assertIn("2 selected", str(driver.app.screen.query_one("#bar", Static).visual))
            await self.for_all(driver, "d")
            await driver.until(lambda: self.subjects("Trash") == ["Third", "Second"])
            await driver.until(lambda: [one.subject for one in driver.messages.summaries] == ["First"])
            self.assertNotIn("selected", str(driver.app.screen.query_one("#bar", Static).visual))
            await driver.press("u")
            await driver.until(lambda: self.subjects("Inbox") == ["Third", "Second", "First"])
            await driver.until(lambda: len(driver.messages.summaries) == 3)

        self.drive(steps)
        self.assertEqual(self.subjects("Trash"), [])

    def test_selecting_again_takes_it_back(self) -> None:
        """A second t unselects. Without a selection, ; says so, and d applies to the current message."""

        async def steps(driver: Driver) -> None:
            await driver.press("t", "k")
            await driver.until(lambda: self.marked(driver) == ["Third"])
            await driver.press("t")
            await driver.until(lambda: self.marked(driver) == [])
            await driver.press("semicolon")
            await driver.until(lambda: "No message is selected" in driver.said)
            await driver.press("d")
            await driver.until(lambda: self.folder_of(self.second) == "Trash")

        self.drive(steps)
        self.assertEqual(self.subjects("Inbox"), ["Third", "First"])

    def test_the_selection_can_be_left_as_it_is(self) -> None:
        """Esc after ; changes nothing."""

        async def steps(driver: Driver) -> None:
            await driver.press("t")
            await driver.until(lambda: self.marked(driver) == ["Third"])
            await self.for_all(driver, "escape")
            await driver.until_screen("MainScreen")
            self.assertEqual(self.marked(driver), ["Third"])

        self.drive(steps)
        self.assertEqual(len(self.subjects("Inbox")), 3)

    def test_keys_typed_ahead_act_on_the_whole_selection(self) -> None:
        """In a fast ;d, d never applies to the current message alone."""

        async def steps(driver: Driver) -> None:
            await driver.press("t", "t")
            await driver.until(lambda: len(self.marked(driver)) == 2)
            main: Any = driver.app.screen
            main.action_for_all()
            # No await until here, so the next key goes to the dialog.
            self.assertEqual(type(driver.app.screen).__name__, "SelectionDialog")
            await driver.press("d")
            await driver.until(lambda: self.subjects("Trash") == ["Third", "Second"])

        self.drive(steps)
        self.assertEqual(self.subjects("Inbox"), ["First"])

    @tries("select_found", "unselect_found")
    def test_selecting_search_results_includes_pages_that_are_not_loaded(self) -> None:
        """T number, Ctrl-T subject:7 and ;a move the files of 229 messages, two pages, to Archive."""
        for number in range(230):
            self.arrive(f"Number {number}", 5 + number, Flag.SEEN)

        async def steps(driver: Driver) -> None:
            await self.ask(driver, "T", "number")
            await driver.until(lambda: "230 selected" in str(driver.app.screen.query_one("#bar", Static).visual))
            await self.ask(driver, "ctrl+t", "subject:7")
            await driver.until(lambda: driver.said == "1 message unselected.")
            await self.for_all(driver, "a")
            await driver.until(lambda: len(self.subjects("Inbox")) == 4)
            await driver.until(lambda: len(driver.messages.summaries) == 4)

        self.drive(steps)
        self.assertIn("Number 7", self.subjects("Inbox"))
        self.assertEqual(len(list((self.folder / "mail" / "alice" / "Archive").glob("*.eml"))), 229)

    async def ask(self, driver: Driver, key: str, words: str) -> None:
        await driver.press(key)
        await driver.until_screen("InputDialog")
        driver.app.screen.query_one(Input).value = words
        await driver.press("enter")
        await driver.until_screen("MainScreen")

    def test_a_dot_selects_all_of_the_list_and_nothing_elsewhere(self) -> None:
        """T . in the Inbox leaves Archive alone. An invalid search stays in its dialog."""
        self.mailbox.archive.move([self.first], Folder("alice", "Archive"))

        async def steps(driver: Driver) -> None:
            driver.burst("T", "before:never", "enter")
            await driver.until(lambda: "a date is written" in driver.refusal)
            await driver.press("escape")
            await driver.until_screen("MainScreen")
            await self.ask(driver, "T", " ")
            await driver.app.workers.wait_for_complete()
            self.assertEqual(self.marked(driver), [])
            await self.ask(driver, "T", ".")
            await driver.until(lambda: self.marked(driver) == ["Third", "Second"])
            await self.for_all(driver, "d")
            await driver.until(lambda: self.subjects("Inbox") == [])

        self.drive(steps)
        self.assertEqual(self.folder_of(self.first), "Archive")

    def test_flags_are_set_on_all_and_then_cleared_on_all(self) -> None:
        """;F flags all if one is unflagged, and a second ;F unflags all. ;N marks unread messages as read."""
        self.mailbox.archive.set_flags([self.second], Flag.FLAGGED)

        def flags(flag: Flag) -> list[bool]:
            return [bool(self.mailbox.archive.get(key).flags & flag) for key in (self.first, self.second, self.third)]

        async def steps(driver: Driver) -> None:
            await self.ask(driver, "T", ".")
            await driver.until(lambda: len(self.marked(driver)) == 3)
            await self.for_all(driver, "F")
            await driver.until(lambda: flags(Flag.FLAGGED) == [True] * 3)
            await driver.until(lambda: all(one.flags & Flag.FLAGGED for one in driver.messages.summaries))
            await self.for_all(driver, "F")
            await driver.until(lambda: flags(Flag.FLAGGED) == [False] * 3)
            self.assertEqual(len(self.marked(driver)), 3)
            await self.for_all(driver, "N")
            await driver.until(lambda: flags(Flag.SEEN) == [True] * 3)
            await driver.until(lambda: not any(one.is_unread for one in driver.messages.summaries))
            await self.for_all(driver, "N")
            await driver.until(lambda: flags(Flag.SEEN) == [False] * 3)

        self.drive(steps)

    def test_tags_that_all_have_are_shown_and_changed(self) -> None:
        """;Y shows the common tags. A tag that only one message has stays."""
        self.mailbox.archive.set_tags([self.second, self.third], ["common"])
        self.mailbox.archive.set_tags([self.third], ["own"])

        async def steps(driver: Driver) -> None:
            await driver.press("t", "t")
            await driver.until(lambda: len(self.marked(driver)) == 2)
            await self.for_all(driver, "Y")
            await driver.until_screen("InputDialog")
            self.assertEqual(driver.app.screen.query_one(Input).value, "common")
            driver.app.screen.query_one(Input).value = "+later"
            await driver.press("enter")
            await driver.until(lambda: self.mailbox.archive.get(self.third).tags == ("later", "own"))
            await driver.until(lambda: self.mailbox.archive.get(self.second).tags == ("later",))

        self.drive(steps)

    def test_messages_of_two_folders_are_moved_and_each_goes_back_to_its_own(self) -> None:
        """After a search, ;s moves to Projects, and u back to Inbox and Archive."""
        self.mailbox.archive.move([self.first], Folder("alice", "Archive"))
        self.mailbox.archive.add_folder(Folder("alice", "Projects"))

        async def steps(driver: Driver) -> None:
            await self.ask(driver, "slash", '"the text of')
            await driver.until(lambda: len(driver.messages.summaries) == 3)
            await self.ask(driver, "T", "-subject:Second")
            await driver.until(lambda: self.marked(driver) == ["Third", "First"])
            await self.for_all(driver, "s")
            await driver.until_screen("ChoiceDialog")
            options: Any = driver.app.screen.query_one("OptionList")
            lines = [str(options.get_option_at_index(at).prompt) for at in range(options.option_count)]
            await driver.press(*"j" * lines.index("alice · Projects"), "enter")
            await driver.until(lambda: self.subjects("Projects") == ["Third", "First"])
            await driver.press("u")
            await driver.until(lambda: self.subjects("Projects") == [])

        self.drive(steps)
        self.assertEqual([self.folder_of(key) for key in (self.third, self.first)], ["Inbox", "Archive"])

    def test_several_messages_are_forwarded_in_one(self) -> None:
        """;f attaches each whole message, and marks all as forwarded after sending."""

        async def steps(driver: Driver) -> None:
            await driver.press("t", "t")
            await driver.until(lambda: len(self.marked(driver)) == 2)
            await self.for_all(driver, "f")
            await driver.until_screen("Composer")
            await driver.type("dora@example.org")
            await driver.press("ctrl+t")
            await driver.until(lambda: self.network.sent)

        self.drive(steps)
        (key,) = self.network.sent
        attached = [one.octets for one in self.mailbox.open_draft(key).attachments]
        self.assertEqual(attached, [self.mailbox.archive.octets(one) for one in (self.third, self.second)])
        flags = [bool(self.mailbox.archive.get(one).flags & Flag.FORWARDED) for one in (self.third, self.second)]
        self.assertEqual(flags, [True, True])

    def test_each_list_keeps_its_own_selection(self) -> None:
        """The star is still there after a visit to Archive, and ;t removes all stars."""

        async def steps(driver: Driver) -> None:
            await driver.press("t")
            await driver.until(lambda: self.marked(driver) == ["Third"])
            await driver.press("c", *"jjjj", "enter")
            await driver.until(lambda: "Archive" in str(driver.app.screen.query_one("#bar", Static).visual))
            self.assertNotIn("selected", str(driver.app.screen.query_one("#bar", Static).visual))
            await driver.press("c", *"kkkk", "enter")
            await driver.until(lambda: self.marked(driver) == ["Third"])
            await self.for_all(driver, "t")
            await driver.until(lambda: self.marked(driver) == [])

        self.drive(steps)

    def test_selected_outbox_messages_are_stopped_together_and_never_moved(self) -> None:
        """In the outbox, ;a is rejected, and ;d makes both messages drafts."""
        for key in (self.third, self.second):
            draft = self.mailbox.reply(self.mailbox.archive.get(key))
            self.mailbox.queue(self.mailbox.account("alice"), draft, hold=3600.0)

        async def steps(driver: Driver) -> None:
            await driver.press("c", "j", "j", "enter")
            await driver.until(lambda: len(driver.messages.summaries) == 2)
            await self.ask(driver, "T", ".")
            await driver.until(lambda: len(self.marked(driver)) == 2)
            await self.for_all(driver, "a")
            await driver.until(lambda: "outbox cannot be moved" in driver.said)
            await self.for_all(driver, "d")
            await driver.until(lambda: len(self.subjects("Drafts")) == 2)

        self.drive(steps)
        self.assertEqual(self.subjects("Outbox"), [])

    def test_in_trash_all_come_back_or_go_for_good(self) -> None:
        """;u restores two messages. ;d asks once and removes two files."""
        self.mailbox.delete([self.mailbox.archive.get(key) for key in (self.first, self.second, self.third)])

        async def steps(driver: Driver) -> None:
            await driver.press("c", *"jjjjj", "enter")
            await driver.until(lambda: len(driver.messages.summaries) == 3)
            await driver.press("t")
            await driver.until(lambda: len(self.marked(driver)) == 1)
            await self.for_all(driver, "u")
            await driver.until(lambda: self.subjects("Inbox") == ["Third"])
            await self.ask(driver, "T", ".")
            await driver.until(lambda: len(self.marked(driver)) == 2)
            await self.for_all(driver, "d")
            await driver.until_screen("ConfirmDialog")
            await driver.press("y")
            await driver.until(lambda: self.subjects("Trash") == [])

        self.drive(steps)
        self.assertEqual(list((self.folder / "mail" / "alice" / "Trash").glob("*.eml")), [])

    def test_messages_removed_by_another_program_are_reported(self) -> None:
        """If another program deleted the messages for good, u says so."""

        async def steps(driver: Driver) -> None:
            await driver.press("t", "t")
            await driver.until(lambda: len(self.marked(driver)) == 2)
            await self.for_all(driver, "d")
            await driver.until(lambda: len(self.subjects("Trash")) == 2)
            self.mailbox.archive.delete([self.mailbox.archive.get(self.third)])
            await driver.press("u")
            await driver.until(lambda: self.folder_of(self.second) == "Inbox")
            await driver.until(lambda: "moved back to Inbox" in driver.said)
            await driver.press("u")
            await driver.until(lambda: "nothing to undo" in driver.said)

        self.drive(steps)

    def test_in_a_conversation_only_its_own_messages_are_selected(self) -> None:
        """After C and T, the search applies to the two messages of the conversation; a dot selects both."""
        answer = self.mailbox.reply(self.mailbox.archive.get(self.third))
        key = self.mailbox.queue(self.mailbox.account("alice"), answer)
        self.mailbox.archive.move([key], Folder("alice", "Sent"))

        async def steps(driver: Driver) -> None:
            await driver.press("C")
            await driver.until(lambda: len(driver.messages.summaries) == 2)
            await self.ask(driver, "T", "to:bob")
            await driver.until(lambda: self.marked(driver) == ["Re: Third"])
            await self.ask(driver, "T", ".")
            await driver.until(lambda: len(self.marked(driver)) == 2)
            await self.for_all(driver, "F")
            await driver.until(lambda: self.mailbox.archive.get(key).flags & Flag.FLAGGED)

        self.drive(steps)
        self.assertTrue(self.mailbox.archive.get(self.third).flags & Flag.FLAGGED)
        self.assertFalse(self.mailbox.archive.get(self.second).flags & Flag.FLAGGED)

"""The list: its order, conversations as trees, both ends of a long folder, all Inboxes, and saved searches."""

from __future__ import annotations

from typing import Any

from textual import events
from textual.widgets import Input, OptionList

from emailsys.client.archive.values import INBOX, Addition, Flag, Folder
from emailsys.client.screen.list_sources import PAGE
from emailsys.client.screen.message_pane import place_text
from tests.unit.client.screen.screen_case import Driver, ScreenCase, tries


class ListCase(ScreenCase):
    def keep(self, subject: str, number: str = "", refs: str = "", folder: str = INBOX, account: str = "alice") -> str:
        """Add a small message that is read."""
        fields = [f"Subject: {subject}", "From: zed@x.test", "Date: Mon, 2 Mar 2026 10:00:00 +0000"]
        fields += [f"Message-ID: <{number}>"] if number else []
        fields += ["References: " + " ".join(f"<{one}>" for one in refs.split())] if refs else []
        octets = ("\r\n".join(fields) + "\r\n\r\ntext\r\n").encode()
        return self.mailbox.archive.add(Addition(octets, Folder(account, folder), flags=Flag.SEEN))

    async def order(self, driver: Driver, line: int) -> None:
        """Choose a line of the dialog of `o`."""
        await driver.press("o")
        await driver.until_screen("ChoiceDialog")
        driver.app.screen.query_one(OptionList).highlighted = line
        await driver.press("enter")
        await driver.until_screen("MainScreen")

    def shown(self, driver: Driver) -> list[str]:
        """Return the subjects of the lines, with dots for the depth and the number of collapsed messages."""
        return [
            "." * line.depth + line.summary.subject + (f" +{len(line.hidden)}" if line.hidden else "")
            for line in driver.messages.lines
        ]


class OrderTests(ListCase):
    @tries("sort")
    def test_each_folder_keeps_its_own_order_until_the_next_start(self) -> None:
        self.keep("Zebra", folder="Archive")
        self.keep("Ape", folder="Archive")

        async def steps(driver: Driver) -> None:
            current = driver.current.key
            await self.order(driver, 5)
            await driver.until(lambda: self.shown(driver) == ["First", "Second", "Third"])
            self.assertEqual(driver.current.key, current)
            await self.order(driver, 6)
            await driver.until(lambda: self.shown(driver) == ["Third", "Second", "First"])
            await self.order(driver, 7)
            await driver.until(lambda: self.shown(driver)[0] == "Second")

        async def again(driver: Driver) -> None:
            self.assertEqual(self.shown(driver)[0], "Second")
            screen: Any = driver.app.screen
            self.assertFalse(screen.arrangement.is_ascending)

        self.drive(steps)
        self.drive(again)

    @tries("first", "last")
    def test_the_last_key_reaches_the_end_of_a_long_list_and_the_list_goes_on_from_there(self) -> None:
        octets = [b"From: b@x.test\r\nSubject: N%d\r\n\r\nx\r\n" % number for number in range(3 * PAGE)]
        self.mailbox.archive.add_many([Addition(one, Folder("alice", INBOX), flags=Flag.SEEN) for one in octets])
        inbox = [one.key for one in self.mailbox.archive.list(Folder("alice", INBOX), 10_000)]

        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            await driver.until(lambda: driver.messages.row_count == PAGE)
            await driver.press("asterisk")
            await driver.until(lambda: driver.current.key == inbox[-1])
            self.assertEqual([one.key for one in driver.messages.summaries], inbox[-PAGE:])
            self.mailbox.archive.delete([self.mailbox.archive.get(inbox[-2])])
            await screen.reload()
            self.assertEqual(driver.current.key, inbox[-1])
            screen.go_to_row(20)
            key = driver.current.key
            await driver.until(lambda: driver.messages.row_count == 2 * PAGE)
            self.assertEqual(driver.current.key, key)
            await driver.press("equals_sign")
            await driver.until(lambda: driver.current.key == inbox[0])
            self.assertEqual([one.key for one in driver.messages.summaries], inbox[:PAGE])

        self.drive(steps)

    def test_all_inboxes_are_one_list_and_each_line_names_its_account(self) -> None:
        at_work = self.keep("At work", account="work")
        self.mailbox.archive.set_flags([at_work], remove=Flag.SEEN)

        async def steps(driver: Driver) -> None:
            await driver.press("c", "home", "enter")
            await driver.until(lambda: "All inboxes · 2 unread" in str(driver.app.screen.query_one("#bar").visual))  # type: ignore[attr-defined]
            self.assertEqual(self.shown(driver), ["Third", "Second", "First", "At work"])
            self.assertIn("work At work", str(driver.messages.get_row_at(3)[3]))
            await driver.press("asterisk", "d")
            await driver.until(lambda: self.subjects("Trash", "work") == ["At work"])
            await driver.press("C")
            await driver.until(lambda: "Conversation" in str(driver.app.screen.query_one("#bar").visual))  # type: ignore[attr-defined]
            await driver.press("i")
            await driver.until(lambda: self.shown(driver) == ["Third", "Second", "First"])

        self.drive(steps)

    def test_the_folder_pane_opens_at_the_list_that_is_shown(self) -> None:
        async def steps(driver: Driver) -> None:
            folders: Any = driver.app.screen.query_one("#folders")
            await driver.press("c")
            await driver.until(lambda: driver.app.screen.focused is folders)
            here = folders.cursor_node.data
            await driver.press("j", "j", "i")
            self.assertNotEqual(folders.cursor_node.data, here)
            await driver.press("c")
            self.assertEqual(folders.cursor_node.data, here)

        for size in ((110, 34), (80, 24)):
            self.drive(steps, size=size)

    def test_a_name_typed_in_the_folder_pane_changes_no_message(self) -> None:
        async def steps(driver: Driver) -> None:
            await driver.until(lambda: len(self.shown(driver)) == 3)
            screen: Any = driver.app.screen
            flags = [one.flags for one in driver.messages.summaries]
            await driver.press("c", *"daFNst")
            await driver.until(lambda: "acts on messages" in driver.said)
            await driver.press("i")
            await driver.until(lambda: driver.app.screen.focused is driver.messages)
            self.assertEqual(self.subjects("Trash"), [])
            self.assertEqual(self.shown(driver), ["Third", "Second", "First"])
            self.assertEqual([one.flags for one in driver.messages.summaries], flags)
            self.assertFalse(screen.selection.of(screen.source))
            await driver.press("d")
            await driver.until(lambda: self.subjects("Trash") == ["Third"])

        self.drive(steps)

    def test_no_key_of_a_burst_overtakes_another(self) -> None:
        async def steps(driver: Driver) -> None:
            def burst(*keys: str) -> None:
                for key in keys:
                    driver.app.post_message(events.Key(key, key if len(key) == 1 else None))

            await driver.until(lambda: len(self.shown(driver)) == 3)
            for first in ("j", "down"):
                await driver.press("home")
                burst(first, first, "enter")
                await driver.until(lambda: driver.reader.display)
                self.assertEqual(driver.current.subject, "First")
                await driver.press("i", "home")
            burst("c", "down", "enter")
            await driver.until(lambda: "Drafts" in str(driver.app.screen.query_one("#bar").visual))  # type: ignore[attr-defined]

        for size in ((110, 34), (80, 24)):
            self.drive(steps, size=size)


class NarrowTests(ListCase):
    def test_the_folder_of_a_result_is_shown_before_its_account(self) -> None:
        for place, wide, narrow in (
            ("", "", ""),
            ("Inbox", "Inbox", "Inbox"),
            ("work/Inbox", "work/Inbox", "Inbox"),
            ("alice@example.test/Inbox", "alice@exa…/Inbox", "Inbox"),
            ("a@b.c/Projects of the year", "…/Projects of th", "Projec"),
            ("Projects of the year", "Projects of the ", "Projec"),
        ):
            self.assertEqual((place_text(place, False), place_text(place, True)), (wide, narrow))

    def test_the_current_line_stays_in_view_when_a_message_opens_and_nothing_scrolls_sideways(self) -> None:
        octets = [b"From: b@x.test\r\nSubject: N%d %s\r\n\r\nx\r\n" % (n, b"wide " * 40) for n in range(40)]
        self.mailbox.archive.add_many([Addition(one, Folder("alice", INBOX), flags=Flag.SEEN) for one in octets])

        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            pane = driver.messages
            await driver.until(lambda: pane.row_count == 43)
            # The last line in view, below which the message opens.
            screen.go_to_row(pane.size.height - 2)
            await driver.press("enter")
            await driver.until(lambda: driver.reader.display and pane.scroll_offset.y > 0)
            self.assertIn(pane.cursor_row - int(pane.scroll_offset.y), range(pane.size.height - 1))
            self.assertFalse(pane.show_horizontal_scrollbar)
            self.assertLessEqual(pane.virtual_size.width, pane.size.width)

        for size in ((80, 24), (40, 15)):
            self.drive(steps, size=size)

    def test_the_folders_have_the_whole_width_of_a_tiny_screen_and_give_it_back(self) -> None:
        async def steps(driver: Driver) -> None:
            current, columns = driver.current.key, [*driver.messages.columns]
            await driver.press("c")
            folders = driver.app.screen.query_one("#folders")
            await driver.until(lambda: folders.size.width >= 38)
            await driver.press("enter")
            await driver.until(lambda: driver.messages.size.width >= 38)
            self.assertEqual((driver.current.key, [*driver.messages.columns]), (current, columns))

        self.drive(steps, size=(40, 15))


class TreeTests(ListCase):
    def setUp(self) -> None:
        super().setUp()
        self.mailbox.archive.purge([self.first, self.second, self.third])
        self.root = self.keep("Root", "r")
        self.one = self.keep("One", "1", "r")
        self.two = self.keep("Two", "2", "r 1")
        self.other = self.keep("Other", "o")

    @tries("collapse", "collapse_all")
    def test_keys_act_on_all_messages_of_a_collapsed_conversation(self) -> None:
        """On all its messages; but only on the one that the reader shows. u brings all of them back."""

        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            await driver.press("x")
            self.assertIn("o shows conversations", driver.said)
            await self.order(driver, 0)
            await driver.until(lambda: {"Root", ".One", "..Two"} < {*self.shown(driver)})
            screen.go_to_row([one.key for one in driver.messages.summaries].index(self.two))
            await driver.press("x")
            self.assertEqual({*self.shown(driver)}, {"Root +2", "Other"})
            self.assertEqual(driver.current.key, self.root)
            self.assertIn("act on all 3 messages", driver.said)
            await driver.press("F", "t")
            everything = [self.root, self.one, self.two]
            flagged = lambda: [bool(self.mailbox.archive.get(key).flags & Flag.FLAGGED) for key in everything]  # noqa: E731
            await driver.until(lambda: all(flagged()))
            self.assertEqual(screen.selection.of(screen.source), {*everything})
            screen.go_to_row([one.key for one in driver.messages.summaries].index(self.root))
            await driver.press("t")
            screen.go_to_row([one.key for one in driver.messages.summaries].index(self.root))
            await driver.press("enter", "F")
            await driver.until(lambda: flagged() == [False, True, True])
            # While the reader is open, d acts on its message only. Moving closes it.
            await driver.press("i")
            row = [one.key for one in driver.messages.summaries].index(self.root)
            screen.go_to_row(1 - row)
            screen.go_to_row(row)
            await driver.press("d")
            await driver.until(lambda: len(self.subjects("Trash")) == 3)
            await driver.until(lambda: "3 messages moved" in driver.said)
            await driver.press("u")
            await driver.until(lambda: {*self.shown(driver)} == {"Root +2", "Other"})
            await driver.press("X")
            self.assertEqual({*self.shown(driver)}, {"Root +2", "Other"})
            await driver.press("X")
            self.assertEqual(len(driver.messages.lines), 4)

        self.drive(steps)

    def test_deleting_in_the_reader_leaves_the_rest_of_a_collapsed_conversation(self) -> None:
        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            await self.order(driver, 0)
            await driver.until(lambda: {"Root", ".One", "..Two"} < {*self.shown(driver)})
            screen.go_to_row([one.key for one in driver.messages.summaries].index(self.root))
            await driver.press("x", "enter")
            await driver.until(lambda: driver.reader.key == self.root)
            await driver.press("d")
            await driver.until(lambda: self.subjects("Trash") == ["Root"])
            self.assertEqual({*self.shown(driver)}, {"One", ".Two", "Other"})

        self.drive(steps)

    def test_tab_finds_an_unread_message_in_a_collapsed_conversation(self) -> None:
        self.mailbox.archive.set_flags([self.two], remove=Flag.SEEN)

        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            await self.order(driver, 0)
            await driver.until(lambda: {"Root", ".One", "..Two"} < {*self.shown(driver)})
            await driver.press("X")
            screen.go_to_row([one.key for one in driver.messages.summaries].index(self.other))
            await driver.press("tab")
            self.assertEqual(driver.current.key, self.root)

        self.drive(steps)

    def test_an_answer_that_arrives_is_in_its_conversation_and_rows_do_not_jump(self) -> None:
        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            await self.order(driver, 0)
            await driver.until(lambda: {"Root", ".One", "..Two"} < {*self.shown(driver)})
            screen.go_to_row([one.key for one in driver.messages.summaries].index(self.one))
            self.keep("Three", "3", "r 1 2")
            await screen.reload()
            self.assertIn("...Three", self.shown(driver))
            self.assertEqual(driver.current.key, self.one)

        self.drive(steps)


class SavedSearchTests(ListCase):
    @tries("save_search")
    def test_a_search_is_saved_renamed_and_removed(self) -> None:
        async def name_it(driver: Driver, name: str) -> None:
            await driver.press("plus")
            await driver.until_screen("InputDialog")
            driver.app.screen.query_one(Input).value = name
            await driver.press("enter")
            await driver.until_screen("MainScreen")

        async def steps(driver: Driver) -> None:
            await driver.press("plus")
            self.assertIn("Only searches", driver.said)
            await driver.press("slash")
            await driver.until_screen("InputDialog")
            await driver.press("space", "enter")
            await driver.until_screen("MainScreen")
            self.assertIn("Inbox", str(driver.app.screen.query_one("#bar").visual))  # type: ignore[attr-defined]
            await driver.press("slash")
            await driver.until_screen("InputDialog")
            await driver.type("subject:(first OR third)")
            await driver.press("enter")
            await driver.until(lambda: self.shown(driver) == ["Third", "First"])
            bar = lambda: str(driver.app.screen.query_one("#bar").visual)  # type: ignore[attr-defined]  # noqa: E731
            await driver.until(lambda: "2 messages" in bar())
            self.assertIn("alice/Inbox Third", str(driver.messages.get_row_at(0)[3]))
            await driver.press("plus")
            await driver.until_screen("InputDialog")
            driver.burst("x" * 101, "enter")
            await driver.until(lambda: "is not a valid name" in driver.refusal)
            await driver.press("escape")
            await driver.until_screen("MainScreen")
            await name_it(driver, "Both")
            await driver.until(lambda: "Both: subject:" in bar())
            self.assertEqual(self.mailbox.saved_searches.load(), {"Both": "subject:(first OR third)"})
            await name_it(driver, "Two of them")
            await driver.until(lambda: "Two of them: " in bar())
            await driver.press("i")
            await driver.until(lambda: "Inbox" in bar())
            await driver.press("c", "end", "enter")
            await driver.until(lambda: "Two of them: " in bar() and "2 messages" in bar())
            await name_it(driver, "")
            await driver.until(lambda: "is removed" in driver.said)
            self.assertEqual(self.mailbox.saved_searches.load(), {})

        self.drive(steps)
        self.assertEqual(self.folder_of(self.first), "Inbox")

    def test_a_saved_search_is_replaced_only_after_a_question(self) -> None:
        searches = self.mailbox.saved_searches
        searches.put("Bills", "subject:second")

        async def steps(driver: Driver) -> None:
            await driver.press("slash")
            await driver.until_screen("InputDialog")
            await driver.type("first")
            await driver.press("enter")
            await driver.until(lambda: self.shown(driver) == ["First"])
            for answer, query in (("enter", "subject:second"), ("y", "first")):
                await driver.press("plus")
                await driver.until_screen("InputDialog")
                await driver.type("bills")
                await driver.press("enter")
                await driver.until_screen("ConfirmDialog")
                await driver.press(answer)
                await driver.until_screen("MainScreen")
                await driver.until(lambda query=query: [*searches.load().values()] == [query])  # type: ignore[misc]
            await driver.until(lambda: [*searches.load()] == ["bills"])

        self.drive(steps)

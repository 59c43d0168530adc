"""The full screen, message actions and the program: each key has its effect on disk or on the sent mail."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

from textual.widgets import Input

from emailsys.client.archive.values import Flag, Folder
from emailsys.client.screen.app import MailApp
from emailsys.client.screen.keys import SECTIONS
from emailsys.client.screen.picture import picture
from tests.fakes.client.telling_loop import drive
from tests.unit.client.screen.screen_case import TRIED, Driver, ScreenCase, tries


class HandlingTests(ScreenCase):
    """The keys that move and mark messages."""

    @tries("delete", "undelete")
    def test_deleting_goes_to_trash_first(self) -> None:
        """d moves to Trash, and u restores. In Trash, d asks and then removes the file."""

        async def steps(driver: Driver) -> None:
            await driver.press("d")
            await driver.until(lambda: self.folder_of(self.third) == "Trash")
            await driver.press("u")
            await driver.until(lambda: self.folder_of(self.third) == "Inbox" and len(driver.messages.summaries) == 3)
            await driver.press("equals_sign", "d")
            await driver.until(lambda: self.folder_of(self.third) == "Trash")
            await driver.press("c", *"jjjjj", "enter")
            await driver.until(lambda: [one.key for one in driver.messages.summaries] == [self.third])
            await driver.press("d")
            await driver.until_screen("ConfirmDialog")
            await driver.press("y")
            await driver.until(lambda: self.subjects("Trash") == [])

        path = self.mailbox.archive.path(self.third)
        self.drive(steps)
        self.assertFalse(path.exists())
        self.assertEqual(list((self.folder / "mail" / "alice" / "Trash").glob("*.eml")), [])

    def test_u_restores_a_message_from_trash(self) -> None:
        """u restores a message that is in Trash."""
        self.mailbox.delete([self.mailbox.archive.get(self.first)])

        async def steps(driver: Driver) -> None:
            await driver.press("c", *"jjjjj", "enter")
            await driver.until(lambda: [one.key for one in driver.messages.summaries] == [self.first])
            await driver.press("u")
            await driver.until(lambda: self.folder_of(self.first) == "Inbox")

        self.drive(steps)

    @tries("move")
    def test_a_message_is_moved_to_a_folder_that_is_chosen_or_new(self) -> None:
        """s, the line of the folder and Enter move the message. The last line asks for the name of a new folder."""
        self.mailbox.archive.add_folder(Folder("alice", "Projects"))

        async def steps(driver: Driver) -> None:
            await driver.press("s")
            await driver.until_screen("ChoiceDialog")
            # Drafts, Sent, Archive, Trash and Projects: neither its own folder nor the outbox.
            await driver.press("j", "j", "j", "j", "enter")
            await driver.until(lambda: self.folder_of(self.third) == "Projects")
            driver.burst("sk", "enter", "a/b", "enter")
            await driver.until(lambda: "not a valid folder name" in driver.refusal)
            driver.burst("ctrl+u", "Trips", "enter")
            await driver.until(lambda: self.folder_of(self.second) == "Trips")

        self.drive(steps)

    @tries("archive", "spam", "snooze")
    def test_one_key_archives_another_snoozes_a_third_names_spam(self) -> None:
        """a moves the file into the folder Archive, Z into Snoozed and ! into Spam."""

        async def steps(driver: Driver) -> None:
            await driver.press("a")
            await driver.until(lambda: self.folder_of(self.third) == "Archive")
            await driver.press("Z")
            await driver.until_screen("InputDialog")
            await driver.type("soon")
            await driver.press("enter")
            # The keys behind what is no moment correct it: d deletes no message.
            await driver.press("d")
            await driver.until(lambda: driver.refusal.startswith("soond: ") and "not a time" in driver.refusal)
            driver.burst("ctrl+u", "+2h", "enter")
            await driver.until(lambda: self.folder_of(self.second) == "Snoozed")
            await driver.press("exclamation_mark")
            await driver.until(lambda: self.folder_of(self.first) == "Spam")
            await driver.press("u", "u", "u")
            await driver.until(lambda: len(self.subjects("Inbox")) == 3)
            await driver.until(lambda: len(driver.messages.summaries) == 3)
            await driver.press("a")
            await driver.until(lambda: self.subjects("Archive"))

        self.drive(steps)
        self.assertEqual(len(list((self.folder / "mail" / "alice" / "Archive").glob("*.eml"))), 1)

    @tries("flag", "unread")
    def test_marks_are_set_and_cleared(self) -> None:
        """F flags, and a second F unflags. N marks a read message as unread."""

        async def steps(driver: Driver) -> None:
            await driver.press("j", "F")
            await driver.until(lambda: self.mailbox.archive.get(self.second).flags & Flag.FLAGGED)
            await driver.until(lambda: driver.current.flags & Flag.FLAGGED)
            await driver.press("F")
            await driver.until(lambda: not self.mailbox.archive.get(self.second).flags & Flag.FLAGGED)
            await driver.press("N")
            await driver.until(lambda: self.mailbox.archive.get(self.second).is_unread)

        self.drive(steps)

    @tries("tag")
    def test_tags_are_added_and_taken_off(self) -> None:
        """Y shows the tags. Deleting a word removes the tag, and +word adds one."""
        self.mailbox.archive.set_tags([self.third], ["old"])

        async def steps(driver: Driver) -> None:
            await driver.press("Y")
            await driver.until_screen("InputDialog")
            self.assertEqual(driver.app.screen.query_one(Input).value, "old")
            long = "x" * 101
            driver.app.screen.query_one(Input).value = f"work, +{long}"
            await driver.press("enter")
            await driver.until(lambda: "is not a valid tag" in driver.refusal)
            driver.app.screen.query_one(Input).value = "work, +later"
            await driver.press("enter")
            await driver.until(lambda: self.mailbox.archive.get(self.third).tags == ("later", "work"))

        self.drive(steps)

    def test_deleting_in_the_outbox_makes_a_draft(self) -> None:
        """d stops a message in the outbox and makes it a draft."""
        draft = self.mailbox.reply(self.mailbox.archive.get(self.third))
        self.mailbox.queue(self.mailbox.account("alice"), draft, hold=3600.0)

        async def steps(driver: Driver) -> None:
            await driver.press("c", "j", "j", "enter")
            await driver.until(lambda: [one.subject for one in driver.messages.summaries] == ["Re: Third"])
            await driver.press("d")
            await driver.until(lambda: self.subjects("Drafts") == ["Re: Third"])

        self.drive(steps)
        self.assertEqual(self.subjects("Outbox"), [])


class ProgramTests(ScreenCase):
    """The program as a whole."""

    @tries("fetch")
    def test_fetching_brings_mail_into_the_list(self) -> None:
        """After G, waiting mail is on disk and in the list. A failure is shown with its reason."""
        self.network.waiting = [self.octets("Fresh")]
        self.network.problem = "the other half did not come"

        async def steps(driver: Driver) -> None:
            await driver.press("G")
            await driver.until(lambda: "Fresh" in [one.subject for one in driver.messages.summaries])
            await driver.until(lambda: "the other half did not come" in driver.said)

        self.drive(steps)
        self.assertIn("Fresh", self.subjects("Inbox"))

    @tries("theme")
    def test_the_theme_is_kept_for_next_time(self) -> None:
        """F3 switches to the light theme, also for the next start."""

        async def steps(driver: Driver) -> str:
            before = driver.app.theme
            await driver.press("f3")
            await driver.until(lambda: driver.app.theme != before)
            return driver.app.theme

        async def look(driver: Driver) -> str:
            return driver.app.theme

        self.assertEqual(self.drive(steps), "light")
        self.assertEqual(self.drive(look), "light")
        self.assertEqual((self.folder / "state" / "theme").read_text(), "light")

    @tries("help")
    def test_the_help_names_every_key(self) -> None:
        """? shows the key table from which the bindings are made."""

        async def steps(driver: Driver) -> str:
            await driver.press("question_mark")
            await driver.until_screen("TextDialog")
            shown = " ".join(str(one.visual) for one in driver.app.screen.query("Static"))  # type: ignore[attr-defined]
            await driver.press("q")
            await driver.until_screen("MainScreen")
            return shown

        shown = self.drive(steps)
        for _, keys in SECTIONS:
            for key in keys:
                self.assertIn(key.help, shown)
                self.assertIn(key.shown, shown)

    @tries("quit")
    def test_q_goes_back_and_then_leaves(self) -> None:
        """q goes from a message to the list, and from the list out. The network is closed."""

        async def steps(driver: Driver) -> None:
            await driver.compose("dora@example.org", "x", "x")
            await driver.press("ctrl+t")
            await driver.until(lambda: self.network.sent)
            await driver.press("enter")
            await driver.until(lambda: driver.reader.key is not None)
            await driver.press("q")
            self.assertIs(driver.app.screen.focused, driver.messages)
            await driver.press("q")
            await driver.until(lambda: driver.app.return_code is not None)

        self.drive(steps)
        self.assertTrue(self.network.closed)

    def test_a_picture_of_the_screen_loads_nothing(self) -> None:
        """The SVG shows the list and has no web address except its own namespace."""

        async def steps(driver: Driver) -> str:
            await driver.press("j", "enter")
            await driver.until(lambda: "plan.txt" in driver.read)
            await driver.pilot.pause()
            return picture(driver.app)

        svg = self.drive(steps)
        self.assertEqual(set(re.findall(r"https?://[^\s\"')]+", svg)), {"http://www.w3.org/2000/svg"})
        self.assertNotIn("@font-face", svg)
        text = re.sub(r"<[^>]+>", " ", svg).replace("&#160;", " ")
        for word in ("Second", "plan.txt", "Inbox", "Reply"):
            self.assertIn(word, text)

    def test_without_an_account_it_says_how_to_add_one(self) -> None:
        """The screen opens, and the status line shows the command."""
        for name in ("alice", "work"):
            self.mailbox.accounts_file.remove(name)

        async def run() -> None:
            app = MailApp(self.mailbox, lambda _: self.network)
            async with app.run_test() as pilot:
                driver = Driver(self, app, pilot)
                await driver.until(lambda: "emailsys mail account add" in driver.said)

        drive(self, run())

    def test_every_key_of_the_help_is_tried(self) -> None:
        """A key without a test fails here."""
        # Not only those that this process ran.
        for path in Path(__file__).parent.glob("test_*.py"):
            import_module(f"{__package__}.{path.stem}")
        self.assertEqual({key.action for _, keys in SECTIONS for key in keys} - TRIED, set())

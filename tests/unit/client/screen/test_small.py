"""A terminal of five lines shows the text of each dialog, and of a message."""

from __future__ import annotations

from emailsys.client.screen.folder_pane import FolderPane
from tests.unit.client.screen.screen_case import Driver, ScreenCase
from tests.unit.client.screen.test_pictures import drawn


class SmallTests(ScreenCase):
    def test_dialogs_in_twenty_columns_and_five_lines(self) -> None:
        async def steps(driver: Driver) -> None:
            async def see(*words: str) -> None:
                await driver.until(lambda: all(word in drawn(driver.app) for word in words))

            await driver.press("question_mark")
            await driver.until_screen("TextDialog")
            await see("Move around", "j         next")
            await driver.press("space")
            await see("=         first")
            await driver.press("q", "slash")
            await driver.until_screen("InputDialog")
            await driver.type("subject:x")
            await see("Search", "subject:x")
            await driver.press("escape", "d")
            await driver.until(lambda: self.subjects("Trash"))
            await driver.press("slash")
            await driver.until_screen("InputDialog")
            await driver.type("folder:Trash")
            await driver.press("enter")
            await driver.until(lambda: driver.messages.row_count == 1)
            await driver.press("d")
            await driver.until_screen("ConfirmDialog")
            await see("Delete", "Yes", "No")
            await driver.press("n")

        self.drive(steps, size=(20, 5))

    def test_notifications_do_not_cover_a_question(self) -> None:
        async def steps(driver: Driver) -> None:
            await driver.press("d")
            await driver.until(lambda: self.subjects("Trash"))
            await driver.press("slash")
            await driver.until_screen("InputDialog")
            await driver.type("folder:Trash")
            await driver.press("enter")
            await driver.until(lambda: driver.messages.row_count == 1)
            for number in range(6):
                driver.app.notify(f"word{number} A server has been wrong for a long time. " * 2, timeout=600)
            await driver.until(lambda: "word5" in drawn(driver.app))
            await driver.press("d")
            await driver.until_screen("ConfirmDialog")
            await driver.until(lambda: all(word in drawn(driver.app) for word in ("Yes (y)", "No (n)")))
            lines = [line for line in drawn(driver.app).splitlines() if "│" in line]
            self.assertTrue(lines)
            self.assertTrue(all(line.count("│") == 2 for line in lines), lines)
            await driver.until(lambda: "word5" in drawn(driver.app))
            await driver.press("n")

        self.drive(steps, size=(80, 24), notifications=True)

    def test_a_notification_leaves_most_of_a_low_list_in_sight(self) -> None:
        async def steps(driver: Driver) -> None:
            words = "mal: 3 messages were not fetched, such as u13: gone; they are still on the server. Next at 03:19."
            driver.app.notify(words, timeout=600)
            await driver.until(lambda: "03:19." in drawn(driver.app))
            shown = [line for line in drawn(driver.app).splitlines() if line.strip()]
            first = next(number for number, line in enumerate(shown) if "mal:" in line)
            last = next(number for number, line in enumerate(shown) if "03:19." in line)
            self.assertLess(last - first, 3, shown)

        self.drive(steps, size=(40, 15), notifications=True)

    def test_a_message_in_twenty_columns_and_five_lines(self) -> None:
        """The message takes the place of the list until it is left."""

        async def steps(driver: Driver) -> None:
            async def see(*words: str) -> None:
                await driver.until(lambda: all(word in drawn(driver.app) for word in words))

            await see("Date    From")
            await driver.press("enter")
            await see("From: ")
            self.assertNotIn("Date    From", drawn(driver.app))
            await driver.press("i")
            await see("Date    From")

        self.drive(steps, size=(20, 5))

    def test_the_folder_pane_of_a_narrow_screen_goes_when_it_is_left(self) -> None:
        """Otherwise keys would act on a message that the pane covers."""

        async def steps(driver: Driver) -> None:
            pane = driver.app.screen.query_one(FolderPane)
            for key in ("escape", "i", "f6"):
                await driver.press("c")
                await driver.until(lambda: pane.has_focus and pane.display)
                await driver.press(key)
                await driver.until(lambda: driver.messages.has_focus and not pane.display)

        self.drive(steps, size=(50, 15))

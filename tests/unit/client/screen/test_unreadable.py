"""Whatever one message raises, the full screen goes on and shows it as a defect of that message."""

from __future__ import annotations

from typing import Any

from emailsys.client.archive.values import INBOX, Addition, Folder
from emailsys.client.display import list_text, message
from emailsys.client.screen import attachment_actions, message_pane
from emailsys.client.screen.message_actions import MessageActions
from tests.unit.client.screen.screen_case import Driver, ScreenCase


class Planted(AttributeError):
    """An exception that nobody expected."""


def planted(*arguments: Any, **named: Any) -> Any:
    raise Planted("a secret " + "word")


class UnreadableTests(ScreenCase):
    def test_a_message_that_cannot_be_shown_is_shown_as_it_is(self) -> None:
        self.patch(message, "view", planted)

        async def steps(driver: Driver) -> None:
            await driver.press("enter")
            await driver.until(lambda: "showing the message failed with Planted" in driver.read)
            self.assertIn("the text of Third", driver.read)

        self.drive(steps)

    def test_a_line_that_cannot_be_listed_leaves_the_others(self) -> None:
        stock = list_text.correspondent
        self.patch(message_pane, "correspondent", lambda one: planted() if one.key == self.second else stock(one))

        async def steps(driver: Driver) -> None:
            await driver.until(lambda: driver.messages.row_count == 3)
            shown = [[str(cell) for cell in driver.messages.get_row_at(row)] for row in range(3)]
            self.assertIn("listing the message failed with Planted", shown[1][3])
            self.assertEqual([row[3] for row in (shown[0], shown[2])], ["Third", "First"])

        self.drive(steps)

    def test_an_action_that_fails_is_told_and_the_screen_stays(self) -> None:
        self.patch(MessageActions, "archive", planted)
        self.patch(attachment_actions, "attachments", planted)

        async def steps(driver: Driver) -> None:
            for key in ("v", "a"):
                driver.toasts.clear()
                await driver.press(key)
                await driver.until(lambda: any("this action failed with Planted" in one for one in driver.toasts))
            self.assertNotIn("secret", "".join(driver.toasts))
            await driver.press("j")
            self.assertEqual(driver.current.key, self.second)

        self.drive(steps)

    def test_a_codec_that_is_no_charset_does_not_end_the_screen(self) -> None:
        """`xtext` is a name in Python's registry of codecs that is no codec: the screen died at each fetch."""
        self.network.waiting = [b"Subject: =?xtext?q?odd?=\r\nFrom: a@example.org\r\n\r\nx\r\n"]

        async def steps(driver: Driver) -> None:
            await driver.press("G")
            await driver.until(lambda: any(one.subject == "odd" for one in driver.messages.summaries))

        self.drive(steps)

    def test_the_traceback_of_a_crash_prints_no_values(self) -> None:
        """The stock traceback of Textual prints local variables, with passwords and mail among them."""

        async def steps(driver: Driver) -> str:
            text = driver.app.failure_text(self.error())
            return str(text)

        printed = self.drive(steps)
        self.assertIn("unexpected Planted", printed)
        self.assertIn("in error", printed)
        self.assertNotIn("hunter2", printed)
        self.assertNotIn("a secret word", printed)

    def error(self) -> Planted:
        password = "".join(("hun", "ter2"))
        try:
            planted(password)
        except Planted as error:
            return error
        raise AssertionError

    def test_an_outsider_adds_mail_that_is_read_later(self) -> None:
        self.mailbox.archive.add(Addition(b"\xff\xfe\x00", Folder("alice", INBOX)))

        async def steps(driver: Driver) -> None:
            await driver.until(lambda: driver.messages.row_count == 4)

        self.drive(steps)

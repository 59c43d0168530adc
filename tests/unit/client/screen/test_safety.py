"""A hostile message in the full screen: none of its control characters reaches the terminal."""

from __future__ import annotations

import re
from base64 import b64encode

from textual.widgets import Input, TextArea

from emailsys.client.archive.values import DRAFTS, Addition, Flag, Folder
from tests.unit.client.screen.screen_case import Driver, ScreenCase

# Window title, colour, device control string, reset, C1, backspace, bidirectional override, tag character.
ATTACK = "\x1b]0;taken\x07\x1b[31mred\x9b31m\x1bPq\x9c\x08\x7f\x1bc\u202e\U000e0041"
WORD = b"=?utf-8?b?" + b64encode(ATTACK.encode()) + b"?="
RAW = ATTACK.encode()
PEOPLE = b'"N' + RAW + b'" <eve@example.org>, ' + WORD + b" <mallory@example.org>"
MESSAGE = b"\r\n".join(
    [
        *(name + b": " + PEOPLE for name in (b"From", b"To", b"Cc", b"Reply-To")),
        b"Subject: about " + RAW + WORD,
        b"Message-ID: <a" + RAW + b"@example.org>",
        b"List-Id: " + RAW,
        b'Content-Type: multipart/mixed; boundary="b"',
        b"",
        b'--b\r\nContent-Type: text/plain; charset="utf-8"\r\n\r\nfirst ' + RAW + b" last\r\n",
        b'--b\r\nContent-Type: text/html; charset="utf-8' + RAW + b'"\r\nContent-ID: <c' + RAW + b">\r\n",
        b'<p>&#27;]0;taken&#7; <img src="cid:' + RAW + b'" alt="' + RAW + b'"></p>\r\n',
        b'--b\r\nContent-Type: application/x; name="' + RAW + b'"\r\nContent-Transfer-Encoding: ' + RAW + b"\r\n\r\nx",
        b"--b--",
    ]
)
# Characters that must not be on the screen.
ACTED_ON = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\U000e0041]")


class SafetyTests(ScreenCase):
    """Each screen is examined as it is drawn."""

    def setUp(self) -> None:
        super().setUp()
        folder = Folder("alice", "Inbox")
        self.key = self.mailbox.archive.add(Addition(MESSAGE, folder, flags=Flag.SEEN))
        self.draft = self.mailbox.archive.add(Addition(MESSAGE, Folder("alice", DRAFTS), flags=Flag.SEEN))
        self.seen: list[str] = []

    async def look(self, driver: Driver) -> None:
        """Record the text on the screen."""
        await driver.pilot.pause()
        self.seen.append(driver.app.export_screenshot())

    def assert_nothing_was_done(self, screens: int) -> None:
        self.assertEqual(len(self.seen), screens)
        self.assertEqual([ACTED_ON.findall(one) for one in self.seen], [[]] * screens)
        # Each screen showed the attack as text.
        self.assertEqual([one for one in self.seen if "taken" not in one], [])

    def test_reading_a_hostile_message_is_safe_for_the_terminal(self) -> None:
        """List, text, headers, HTML, structure, attachments, conversation and move show it safely."""

        async def steps(driver: Driver) -> None:
            await driver.press("slash")
            await driver.until_screen("InputDialog")
            await driver.type("subject:about folder:Inbox")
            await driver.press("enter")
            await driver.until(lambda: [one.key for one in driver.messages.summaries] == [self.key])
            await self.look(driver)
            await driver.press("enter")
            await driver.until(lambda: "first" in driver.read)
            for key in ("h", "H"):
                await driver.press(key)
                await self.look(driver)
            for key, name in (("V", "TextDialog"), ("v", "ChoiceDialog"), ("s", "ChoiceDialog"), ("Y", "InputDialog")):
                await driver.press(key)
                await driver.until_screen(name)
                await self.look(driver)
                await driver.press("escape")
                await driver.until_screen("MainScreen")
            await driver.press("C")
            await driver.until(lambda: "Conversation" in str(driver.app.screen.query_one("#bar").render()))
            await self.look(driver)
            await driver.press("d")
            await driver.until(lambda: self.folder_of(self.key) == "Trash")

        self.drive(steps)
        self.assert_nothing_was_done(8)

    def test_answering_or_rewriting_a_hostile_message_is_safe(self) -> None:
        """After r, g, f and e, and in a foreign draft, the fields show control characters as text."""

        async def steps(driver: Driver) -> None:
            await driver.until(lambda: self.key in [one.key for one in driver.messages.summaries])
            row = [one.key for one in driver.messages.summaries].index(self.key)
            driver.messages.move_cursor(row=row)
            await driver.pilot.pause()
            for key in "rgfe":
                await driver.press(key)
                await driver.until_screen("Composer")
                await self.look(driver)
                await driver.press("escape")
                await driver.until_screen("MainScreen")
            await driver.press("c", "j", "enter")
            await driver.until(lambda: [one.key for one in driver.messages.summaries] == [self.draft])
            await driver.press("enter")
            await driver.until_screen("Composer")
            await self.look(driver)
            self.assertIn("about", driver.app.screen.query_one("#subject", Input).value)
            self.assertIn("first \x1b]0;taken", driver.app.screen.query_one("#body", TextArea).text)
            await driver.press("escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)
        self.assert_nothing_was_done(5)

    def test_pasted_control_characters_are_made_visible(self) -> None:
        """Control characters pasted into a line or into the text are made visible."""

        async def steps(driver: Driver) -> None:
            await driver.press("m")
            await driver.until_screen("Composer")
            for name in ("subject", "to", "body"):
                driver.app.screen.query_one(f"#{name}").focus()
                await driver.type(ATTACK.replace("\u202e", "").replace("\U000e0041", ""))
            await self.look(driver)
            await driver.press("escape")
            await driver.until_screen("MainScreen")

        self.drive(steps)
        self.assert_nothing_was_done(1)

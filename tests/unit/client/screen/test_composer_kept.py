"""What is being written outlives Ctrl-Q and editors that fail."""

from __future__ import annotations

import os
from functools import partial

from textual.widgets import TextArea

from emailsys.client.screen import composer
from tests.unit.client.screen.screen_case import Driver, ScreenCase


class ComposerTests(ScreenCase):
    def test_ctrl_q_saves_what_was_typed_a_moment_ago(self) -> None:
        self.patch(composer, "SAVE_EVERY", 3600.0)

        async def steps(driver: Driver) -> None:
            await driver.compose(subject="Unsaved", body="typed just now")
            await driver.app.action_quit()

        self.drive(steps)
        self.assertEqual(self.subjects("Drafts"), ["Unsaved"])

    def has_toast(self, driver: Driver, words: str) -> bool:
        return any(words in one for one in driver.toasts)

    def test_an_editor_that_fails_leaves_the_message_and_the_program(self) -> None:
        async def steps(driver: Driver) -> None:
            await driver.compose(subject="Mine", body="my text")
            for command, words in (("vi 'x", "No closing quotation"), ("rm", "left no text")):
                self.patch(os, "environ", {**os.environ, "VISUAL": command})
                driver.toasts.clear()
                await driver.press("f4")
                await driver.until(partial(self.has_toast, driver, words))
                self.assertEqual(type(driver.app.screen).__name__, "Composer")
                self.assertEqual(driver.app.screen.query_one("#body", TextArea).text, "my text")
            await driver.press("escape")

        self.drive(steps)

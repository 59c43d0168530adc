"""No exception ends the full screen, wherever one is raised: the error is shown, and what is typed stays."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from textual.app import App
from textual.widgets import TextArea

from emailsys.client.screen import (
    composer,
    composing_actions,
    fetch,
    message_actions,
    outbox_actions,
    reading,
    selection_actions,
)
from emailsys.client.screen.keys import COMPOSING, MAIN, OFFERED, Key
from emailsys.client.screen.main_screen import MainScreen
from tests.unit.client.screen.screen_case import Driver, ScreenCase

#: Keys that leave the program, or hide it.
_LEAVING = ("quit", "suspend_process")


class Planted(Exception):
    """An exception that nothing expects."""


def fail(*arguments: object, **named: object) -> Any:
    raise Planted("planted")


class SurvivalTests(ScreenCase):
    def break_methods(self, thing: Any) -> None:
        """Let each public method of an object, or of a class, raise an exception."""
        owner = thing if inspect.isclass(thing) else type(thing)
        for name, found in inspect.getmembers(owner, inspect.isfunction):
            if not name.startswith("_") and name != "close" and found.__qualname__.startswith(owner.__name__):
                self.patch(thing, name, fail)

    async def press_all(self, driver: Driver, keys: tuple[Key, ...], home: str) -> None:
        """Press each key. After each one, the program runs, and Esc leads home."""
        for key in keys:
            if key.action in _LEAVING:
                continue
            for one in key.keys.split(","):
                await driver.press(one)
                await driver.pilot.pause()
                for _ in range(5):
                    if type(driver.app.screen).__name__ == home:
                        break
                    await driver.press("escape")
                self.alive(driver, key)
                self.assertEqual(type(driver.app.screen).__name__, home, key)

    def alive(self, driver: Driver, key: Key | None = None) -> None:
        self.assertTrue(driver.app.is_running, key)
        self.assertIsNone(driver.app.return_code, key)

    def test_each_key_if_all_behind_the_screen_fails(self) -> None:
        """The store, the outbox, the network and the accounts raise whatever is called."""

        async def steps(driver: Driver) -> None:
            await driver.press("j", "enter")
            await driver.until(lambda: driver.reader.key == self.second)
            for thing in (self.mailbox, self.mailbox.archive, self.mailbox.outbox, self.network):
                self.break_methods(thing)
            await self.press_all(driver, MAIN, "MainScreen")
            driver.messages.post_message(driver.messages.PageNeeded())
            await driver.pilot.pause()
            self.alive(driver)
            self.assertTrue(driver.toasts)

        self.drive(steps)

    def test_each_key_if_its_action_fails(self) -> None:
        """The action itself raises, before any worker of its own begins."""

        async def steps(driver: Driver) -> None:
            for key in MAIN:
                if hasattr(MainScreen, f"action_{key.action}"):
                    self.patch(MainScreen, f"action_{key.action}", fail)
            self.patch(MainScreen, "on_data_table_row_highlighted", fail)
            await self.press_all(driver, MAIN, "MainScreen")

        self.drive(steps)

    def test_each_worker_of_a_key_that_fails(self) -> None:
        """The coroutines and methods of the actions raise."""
        kinds = (
            fetch.FetchAction,
            message_actions.MessageActions,
            outbox_actions.OutboxActions,
            reading.ReadingActions,
            selection_actions.SelectionActions,
        )

        async def steps(driver: Driver) -> None:
            for kind in kinds:
                self.break_methods(kind)
            await self.press_all(driver, MAIN, "MainScreen")

        self.drive(steps)

    def composed(self, plant: Callable[[], None]) -> None:
        """Write, plant, press all keys of the composer. The text is still there."""
        self.patch(composer, "SAVE_EVERY", 0.05)
        self.patch(App, "suspend", fail)

        async def steps(driver: Driver) -> None:
            await driver.compose("d@example.org", "Mine", "my text")
            plant()
            keys = tuple(key for key in COMPOSING + OFFERED if key.action != "close")
            await driver.press("x")
            await self.press_composing(driver, keys)
            self.assertEqual(driver.app.screen.query_one("#body", TextArea).text, "my text")
            self.assertTrue(driver.toasts)
            driver.app.exit()

        self.drive(steps)

    async def press_composing(self, driver: Driver, keys: tuple[Key, ...]) -> None:
        for key in keys:
            await driver.press(key.keys)
            await driver.pilot.pause()
            while type(driver.app.screen).__name__ != "Composer":
                await driver.press("escape")
            self.alive(driver, key)

    def test_the_composer_if_all_behind_it_fails(self) -> None:
        def plant() -> None:
            for thing in (self.mailbox, self.mailbox.archive):
                self.break_methods(thing)

        self.composed(plant)

    def test_the_composer_if_its_own_steps_fail(self) -> None:
        def plant() -> None:
            for name in ("_send", "_save", "action_save", "action_editor"):
                self.patch(composer.Composer, name, fail)
            for name in ("attach", "insert_template", "choose_moment"):
                self.patch(composing_actions.ComposingActions, name, fail)

        self.composed(plant)

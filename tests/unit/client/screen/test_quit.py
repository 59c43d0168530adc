"""Leaving the full screen loses no change of an earlier key."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from unittest import SkipTest

from emailsys.client.archive.values import ArchiveError, Summary
from emailsys.client.screen import composer
from tests.fakes.client.telling_loop import telling_loop
from tests.unit.client.screen.screen_case import PATIENCE, Driver, ScreenCase, tries


class QuitTests(ScreenCase):
    def setUp(self) -> None:
        super().setUp()
        #: Set when deletions may end.
        self.deleted = threading.Event()

    def delay_deletes(self, delete: Callable[[Sequence[Summary]], Any]) -> None:
        """Let no deletion end before the program waits for it."""

        def slow(summaries: Sequence[Summary]) -> Any:
            self.deleted.wait(PATIENCE)
            return delete(summaries)

        self.patch(self.mailbox, "delete", slow)

    async def let_deletions_end(self, driver: Driver) -> None:
        """Let them end when the program waits for them."""
        await driver.until(lambda: driver.said == "Saving changes ...")
        self.assertIsNone(driver.app.return_code)
        self.deleted.set()

    def leave_after_deletes(self, leave: Callable[[Driver], Awaitable[object]]) -> None:
        self.delay_deletes(self.mailbox.delete)

        async def steps(driver: Driver) -> None:
            telling_loop().patience_with_threads = 0.05
            screen: Any = driver.app.screen
            for _ in range(3):
                screen.action_delete()
            await leave(driver)
            await self.let_deletions_end(driver)
            await driver.until(lambda: driver.app.return_code is not None)

        self.drive(steps)
        self.assertEqual(self.subjects("Trash"), ["Third", "Second", "First"])

    def test_q_waits_for_all_deletions(self) -> None:
        async def leave(driver: Driver) -> None:
            await driver.press("q")

        self.leave_after_deletes(leave)

    def test_ctrl_q_waits_for_all_deletions(self) -> None:
        async def leave(driver: Driver) -> None:
            await driver.app.action_quit()

        self.leave_after_deletes(leave)

    async def send_slowly(self, driver: Driver) -> None:
        """Begin to send a message whose last reply comes when the gate opens."""
        self.network.gate = asyncio.Event()
        await driver.compose("dora@example.org", "On its way", "text")
        await driver.press("ctrl+t")
        await driver.until(lambda: driver.said == "Sending ...")

    def gate(self) -> asyncio.Event:
        assert self.network.gate is not None
        return self.network.gate

    @tries("quit")
    def test_q_and_ctrl_q_wait_for_the_last_reply_of_the_server(self) -> None:
        async def steps(driver: Driver) -> None:
            await self.send_slowly(driver)
            for key, answer in (("q", "escape"), ("ctrl+q", "escape"), ("q", "")):
                await driver.press(key)
                await driver.until_screen("SendingDialog")
                # The list is seen behind it.
                self.assertLess(driver.app.screen.styles.background.a, 1)
                if answer:
                    await driver.press(answer)
                    await driver.until_screen("MainScreen")
            self.assertIsNone(driver.app.return_code)
            self.gate().set()
            await driver.until(lambda: driver.app.return_code == 0)

        self.drive(steps)
        self.assertEqual(self.subjects("Sent"), ["On its way"])

    def test_a_message_that_was_not_sent_keeps_the_program(self) -> None:
        async def steps(driver: Driver) -> None:
            await self.send_slowly(driver)
            await driver.press("q")
            await driver.until_screen("SendingDialog")
            self.network.problem = "the server is down"
            self.gate().set()
            await driver.until_screen("MainScreen")
            self.assertIn("the server is down", driver.said)
            self.assertIsNone(driver.app.return_code)

        self.drive(steps)

    def test_quitting_during_a_send_says_that_the_outcome_is_unknown(self) -> None:
        words: list[str] = []

        async def steps(driver: Driver) -> None:
            leave = driver.app.exit

            def left(message: str) -> None:
                words.append(message)
                leave()

            self.patch(driver.app, "exit", left)
            await self.send_slowly(driver)
            await driver.press("q")
            await driver.until_screen("SendingDialog")
            await driver.press("ctrl+q")
            await driver.until(lambda: driver.app.return_code == 0)

        self.drive(steps)
        self.assertIn("may have arrived", words[0])

    @tries("suspend_process")
    def test_ctrl_z_suspends_the_program(self) -> None:
        suspended: list[bool] = []

        async def steps(driver: Driver) -> None:
            self.patch(driver.app, "action_suspend_process", lambda: suspended.append(True))
            await driver.press("ctrl+z", "question_mark", "ctrl+z", "q")
            await driver.compose(body="text")
            await driver.press("tab", "tab", "tab", "tab", "ctrl+z")

        self.drive(steps)
        self.assertEqual(suspended, [True, True])

    def signalled(self, number: int, is_full: bool = False) -> None:
        """Type a letter, move a message, and send the process a signal at once."""
        if os.name == "nt":
            raise SkipTest("Windows has no signals that a program can handle")
        self.patch(composer, "SAVE_EVERY", 3600.0)
        if is_full:
            self.patch(self.mailbox, "save_draft", self.fail_to_save)
        self.delay_deletes(self.mailbox.delete)

        async def steps(driver: Driver) -> None:
            telling_loop().patience_with_threads = 0.05
            screen: Any = driver.app.screen
            screen.action_delete()
            await driver.compose(subject="Unsaved", body="my last words")
            with driver.app.signals_handled(asyncio.get_running_loop()):
                os.kill(os.getpid(), number)
                await self.let_deletions_end(driver)
                await driver.until(lambda: driver.app.return_code == 128 + number)

        self.drive(steps)
        self.assertEqual(self.subjects("Trash"), ["Third"])

    def fail_to_save(self, *arguments: object) -> str:
        raise RuntimeError("a fault of ours")

    def test_a_signal_loses_nothing_that_was_typed(self) -> None:
        self.signalled(signal.SIGTERM)
        self.assertEqual(self.subjects("Drafts"), ["Unsaved"])

    def test_a_letter_that_cannot_be_saved_at_a_signal_is_in_a_file(self) -> None:
        self.signalled(getattr(signal, "SIGHUP", signal.SIGTERM), is_full=True)
        (kept,) = (self.folder / "state" / "editing").iterdir()
        self.assertIn("my last words", kept.read_text("utf-8"))

    def test_an_unexpected_exception_of_the_screen_loses_nothing_that_was_typed(self) -> None:
        self.patch(composer, "SAVE_EVERY", 3600.0)

        async def steps(driver: Driver) -> None:
            await driver.compose(subject="Unsaved", body="my last words")
            words = driver.app.failure_text(ValueError("x")).plain
            self.assertIn("is in the folder Drafts", words)

        self.drive(steps)
        self.assertEqual(self.subjects("Drafts"), ["Unsaved"])

    def test_a_change_that_fails_keeps_the_program(self) -> None:
        def fail(summaries: Sequence[Summary]) -> None:
            raise ArchiveError("the disk is full")

        self.delay_deletes(fail)

        async def steps(driver: Driver) -> None:
            telling_loop().patience_with_threads = 0.05
            screen: Any = driver.app.screen
            screen.action_delete()
            screen.action_quit()
            await self.let_deletions_end(driver)
            await driver.until(lambda: any("the disk is full" in one for one in driver.toasts))
            await driver.app.workers.wait_for_complete()
            self.assertEqual(type(driver.app.screen).__name__, "MainScreen")
            self.assertIsNone(driver.app.return_code)

        self.drive(steps)

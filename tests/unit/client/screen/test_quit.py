"""Leaving the full screen loses no change of an earlier key."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from emailsys.client.archive.values import ArchiveError, Summary
from tests.unit.client.screen.screen_case import Driver, ScreenCase


class QuitTests(ScreenCase):
    def delay_deletes(self) -> None:
        """Let each deletion take so long that the keys after it come before its end."""
        delete = self.mailbox.delete

        def slow(summaries: Sequence[Summary]) -> Any:
            time.sleep(0.2)
            return delete(summaries)

        self.patch(self.mailbox, "delete", slow)

    def leave_after_deletes(self, leave: Callable[[Driver], Awaitable[object]]) -> None:
        self.delay_deletes()

        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            for _ in range(3):
                screen.action_delete()
            await leave(driver)
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

    def test_a_change_that_fails_keeps_the_program(self) -> None:
        def fail(summaries: Sequence[Summary]) -> None:
            time.sleep(0.2)
            raise ArchiveError("the disk is full")

        self.patch(self.mailbox, "delete", fail)

        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            screen.action_delete()
            screen.action_quit()
            await driver.until(lambda: any("the disk is full" in one for one in driver.toasts))
            await driver.app.workers.wait_for_complete()
            self.assertEqual(type(driver.app.screen).__name__, "MainScreen")
            self.assertIsNone(driver.app.return_code)

        self.drive(steps)

"""What is in the outbox is never called unsent."""

from __future__ import annotations

from typing import Any

from emailsys.client.archive.archive import Archive
from emailsys.client.archive.values import ArchiveError
from tests.unit.client.screen.screen_case import Driver, ScreenCase


class QueuedTests(ScreenCase):
    def test_a_draft_that_cannot_be_removed_is_named_and_the_message_is_sent(self) -> None:
        def purge(_archive: Archive, _keys: Any) -> None:
            raise ArchiveError("No space left on device")

        async def steps(driver: Driver) -> None:
            await driver.compose("dora@example.org", "Kept", "text\n")
            self.patch(Archive, "purge", purge)
            await driver.press("ctrl+t")
            await driver.until(lambda: self.network.sent and "no longer be stopped" in driver.said)
            self.assertTrue(any("could not be removed: No space left" in one for one in driver.toasts), driver.toasts)
            self.assertFalse(any("not sent" in one for one in driver.toasts), driver.toasts)

        self.drive(steps)
        self.assertEqual((self.subjects("Sent"), self.subjects("Drafts")), (["Kept"], ["Kept"]))

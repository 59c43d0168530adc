"""What is in the outbox is never called unsent."""

from __future__ import annotations

from typing import Any

from emailsys.client.accounts.values import Account
from emailsys.client.archive.archive import Archive
from emailsys.client.archive.values import ArchiveError
from emailsys.client.send.note import Refusal
from emailsys.client.send.sender import SendResult
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

    def test_a_refused_message_is_not_said_to_be_tried_again(self) -> None:
        """`$` never sends it again."""

        async def refuse(account: Account, key: str, _report: Any) -> SendResult:
            refusals = (Refusal("dora@example.org", "550 no such user", True),)
            return SendResult(key, account.name, refusals=refusals, problem="550 no such user")

        self.patch(self.network, "send", refuse)

        async def steps(driver: Driver) -> None:
            await driver.compose("dora@example.org", "Refused", "text\n")
            await driver.press("ctrl+t")
            await driver.until(lambda: "no such user" in driver.said)
            self.assertIn("It stays in the outbox; d makes it a draft.", driver.said)
            self.assertNotIn("$", driver.said)

        self.drive(steps)

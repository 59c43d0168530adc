"""Messages that may have arrived are sent again only after a yes that was meant for the question."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from textual.widgets import Button

from emailsys.client.compose.draft import Draft
from emailsys.client.compose.message_builder import build
from tests.unit.client.screen.screen_case import ALICE, BOB, NOW, Driver, ScreenCase


class FlushTests(ScreenCase):
    def in_doubt(self, subject: str) -> str:
        """Put a message into the outbox whose attempt ended before the final reply."""
        outbox = self.mailbox.outbox
        key = self.mailbox.queue(self.mailbox.account("alice"), Draft(ALICE, [BOB], subject=subject, text="text\n"))
        job = outbox.begin(key)
        assert job is not None
        outbox.record_last_octets(job)
        outbox.end(job)
        return key

    def test_keys_typed_early_do_no_harm_and_a_message_that_is_gone_ends_nothing(self) -> None:
        self.in_doubt("One")
        self.in_doubt("Two")
        asked, gone = (one.key for one in self.mailbox.outbox.in_doubt(["alice"]))
        retried: list[str] = []
        retry = self.mailbox.outbox.retry

        def recorded(key: str) -> Any:
            retried.append(key)
            return retry(key)

        self.patch(self.mailbox.outbox, "retry", recorded)

        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            for action in ("flush", "delete", "archive"):
                await driver.app.run_action(action, screen)
            await driver.until_screen("ConfirmDialog")
            self.assertEqual(self.subjects("Inbox"), ["Third", "Second", "First"])
            first = driver.app.screen
            await driver.press("enter")
            await driver.until(lambda: driver.app.screen is not first and driver.app.screen is not screen)
            self.mailbox.archive.purge([gone])
            await driver.press("y")
            await driver.until(lambda: self.network.sent)

        self.drive(steps)
        # The fake network sends all messages, also those that may have arrived.
        self.assertEqual((retried, self.network.sent), ([gone], [asked]))

    def test_a_yes_typed_before_the_question_is_no_answer(self) -> None:
        key = self.in_doubt("One")

        async def steps(driver: Driver) -> None:
            driver.burst("dollar_sign", "yy")
            await driver.until_screen("ConfirmDialog")
            # Each y is handled before this key, which the question has.
            await driver.press("enter")
            await driver.until(lambda: self.network.sent)

        retried: list[str] = []
        self.patch(self.mailbox.outbox, "retry", retried.append)
        self.drive(steps)
        self.assertEqual((retried, self.network.sent), ([], [key]))

    def test_a_message_is_sent_when_its_time_has_come(self) -> None:
        """It is tried once. A message that waits for other reasons is not sent without `$`."""
        account = self.mailbox.account("alice")
        for at in (NOW - timedelta(minutes=1), NOW + timedelta(minutes=1), None):
            message = build(Draft(ALICE, [BOB], subject=str(at), text="text\n"), NOW)
            self.mailbox.put(account, message, at=at)
        due = [one.key for one in self.mailbox.outbox.scheduled(["alice"])]

        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            await screen._outbox_actions.send_scheduled()
            await screen._outbox_actions.send_scheduled()

        self.drive(steps)
        self.assertEqual((len(due), self.network.sent), (1, due))

    def test_a_yes_in_the_same_burst_as_d_deletes_nothing_for_good(self) -> None:
        """The question opens at once, but both keys were typed before that. No has its focus from the first key on."""
        self.mailbox.delete([self.mailbox.archive.get(self.third)])

        async def steps(driver: Driver) -> None:
            driver.burst("slash", "folder:Trash", "enter", "dy")
            await driver.until_screen("ConfirmDialog")
            driver.burst("enter", "q")
            await driver.until(lambda: driver.app.return_code == 0)

        self.drive(steps)
        self.assertEqual(self.folder_of(self.third), "Trash")

    def test_enter_deletes_nothing_for_good(self) -> None:
        self.mailbox.delete([self.mailbox.archive.get(self.third)])

        async def steps(driver: Driver) -> None:
            screen: Any = driver.app.screen
            await driver.press("slash")
            await driver.until_screen("InputDialog")
            await driver.type("folder:Trash")
            await driver.press("enter")
            await driver.until(lambda: [one.key for one in driver.messages.summaries] == [self.third])
            screen.action_delete()
            await driver.until_screen("ConfirmDialog")
            focused = driver.app.screen.focused
            assert isinstance(focused, Button)
            self.assertEqual(focused.id, "no")
            await driver.press("enter")
            await driver.until_screen("MainScreen")
            self.assertEqual(self.folder_of(self.third), "Trash")

        self.drive(steps)

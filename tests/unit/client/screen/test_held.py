"""Messages on hold beside others that are being sent: keys act on the right ones."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from emailsys.client.accounts.values import Account
from emailsys.client.compose.draft import ComposeError, Draft
from emailsys.client.compose.message_builder import build
from emailsys.client.screen import composing_actions, main_screen
from emailsys.client.screen.leaving import unknown_outcome
from emailsys.client.screen.own_terminal import with_terminal
from emailsys.client.send.sender import SendProgress, SendResult
from tests.unit.client.screen.screen_case import ALICE, BOB, NOW, Driver, ScreenCase


class HeldTests(ScreenCase):
    """Each message is sent when its gate opens. One was scheduled, and its time has come."""

    def setUp(self) -> None:
        super().setUp()
        # On a slow machine, the program itself would begin to send the message, before the other one is on hold.
        self.patch(main_screen, "_SCHEDULED_EVERY", 3600.0)
        self.gates: dict[str, asyncio.Event] = {}
        send = self.network.send

        async def gated(account: Account, key: str, report: Callable[[SendProgress], None]) -> SendResult:
            await self.gates.setdefault(key, asyncio.Event()).wait()
            return await send(account, key, report)

        self.patch(self.network, "send", gated)
        message = build(Draft(ALICE, [BOB], subject="Scheduled", text="text\n"), NOW)
        self.scheduled = self.mailbox.put(self.mailbox.account("alice"), message, at=NOW - timedelta(minutes=1))

    async def hold_one_and_send_another(self, driver: Driver) -> Any:
        """Put a message on hold, and begin to send the one that was scheduled. Return the outbox actions."""
        screen: Any = driver.app.screen
        await driver.compose("dora@example.org", "Held", "text")
        await driver.press("ctrl+t")
        await driver.until(lambda: "on hold for 3600 seconds" in driver.said)
        screen.start_action(screen._outbox_actions.send_scheduled, "sending")
        await driver.until(lambda: driver.said == "Sending ...")
        return screen._outbox_actions

    def test_z_stops_the_message_on_hold_and_not_the_one_being_sent(self) -> None:
        """Leaving does not wait for a message that was stopped."""

        async def steps(driver: Driver) -> None:
            await self.hold_one_and_send_another(driver)
            await driver.press("z")
            await driver.until(lambda: self.subjects("Drafts") == ["Held"] and "it is in Drafts" in driver.said)
            self.gates[self.scheduled].set()
            await driver.until(lambda: self.subjects("Sent") == ["Scheduled"])
            await driver.until(lambda: "no longer be stopped" in driver.said)
            await driver.press("z")
            await driver.until(lambda: driver.said == "No message is on hold.")
            await driver.press("q")
            await driver.until(lambda: driver.app.return_code == 0)

        self.drive(steps, hold=3600.0)

    def test_q_asks_about_the_message_on_hold_and_waits_for_the_other_one(self) -> None:
        async def steps(driver: Driver) -> None:
            actions = await self.hold_one_and_send_another(driver)
            self.assertIn("may have arrived", unknown_outcome(actions) or "")
            await driver.press("q")
            await driver.until_screen("ConfirmDialog")
            await driver.press("y")
            await driver.until_screen("SendingDialog")
            self.assertIsNone(driver.app.return_code)
            self.gates[self.scheduled].set()
            await driver.until(lambda: driver.app.return_code == 0)

        self.drive(steps, hold=3600.0)
        self.assertEqual((self.subjects("Sent"), self.subjects("Outbox")), (["Scheduled"], ["Held"]))

    def test_no_other_program_gets_the_terminal_while_a_message_is_sent(self) -> None:
        """The program would stop the transmission until it ends. A message on hold is no reason to refuse."""
        self.patch(os, "environ", {**os.environ, "VISUAL": f"{sys.executable} -c pass"})

        async def steps(driver: Driver) -> None:
            await self.hold_one_and_send_another(driver)
            await driver.compose(subject="Next")
            ran: list[int] = []
            self.patch(composing_actions, "run_program", lambda *_: with_terminal(driver.app, lambda: ran.append(1)))
            await driver.press("f4")
            self.assertTrue(any("is being sent" in one for one in driver.toasts), driver.toasts)
            error = await self.refusal(with_terminal(driver.app, lambda: ran.append(2)))
            self.assertIn("is being sent", error)
            self.assertEqual(ran, [])
            self.gates[self.scheduled].set()
            await driver.until(lambda: not driver.app.is_transmitting())
            await driver.press("f4")
            await driver.until(lambda: ran == [1])

        self.drive(steps, hold=3600.0)

    async def refusal(self, work: Awaitable[object]) -> str:
        try:
            await work
        except ComposeError as error:
            return str(error)
        return ""

"""The full screen fetches mail by itself."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from emailsys.client.accounts.values import AccountError, SecretKind, SecretSource
from emailsys.client.fetch.schedule import FetchSchedule
from emailsys.client.screen import main_screen
from tests.unit.client.screen.screen_case import Driver, ScreenCase, account


class AutomaticFetchTests(ScreenCase):
    """An account whose password the program can get."""

    def setUp(self) -> None:
        super().setUp()
        alice = account("alice")
        assert alice.pop3 is not None
        known = SecretSource(SecretKind.COMMAND, ("true",))
        self.mailbox.accounts_file.put(replace(alice, pop3=replace(alice.pop3, secret=known), fetch_every=10))
        self.seconds = 0.0
        # The test looks itself whether the account is due.
        self.patch(main_screen, "LOOK_EVERY", 3600.0)

    def test_mail_comes_without_a_key_and_a_failure_is_reported_once(self) -> None:
        """The status line tells when mail was fetched, and when it will be."""
        self.network.waiting = [self.octets("Fresh")]

        async def steps(driver: Driver) -> None:
            screen = driver.app.screen_stack[1]
            assert isinstance(screen, main_screen.MainScreen)
            action = screen._fetch_action
            action.schedule = FetchSchedule(lambda: self.seconds)
            await action.fetch_due()
            self.assertIn("Fresh", [one.subject for one in driver.messages.summaries])
            self.assertIn("1 new message, at 12:00. Next fetch at 12:10.", driver.said)
            self.network.waiting = [self.octets("Too early")]
            self.seconds = 599
            await action.fetch_due()
            self.assertNotIn("Too early", [one.subject for one in driver.messages.summaries])
            self.seconds, self.network.problem, self.network.waiting = 601, "no connection", []
            await action.fetch_due()
            self.assertIn("no connection", driver.said)
            told = len(driver.toasts)
            self.seconds = 6000
            await action.fetch_due()
            self.assertEqual(len(driver.toasts), told)
            # A fetch that the user asks for meanwhile waits, and shows the progress of this one.
            self.seconds, self.network.problem, self.network.waiting = 20_000, None, [self.octets("Slow")]
            self.network.fetch_gate, self.network.is_fetching = asyncio.Event(), False
            said: list[str] = []
            self.patch(screen.query_one("#status-text"), "update", lambda text: said.append(str(text)))
            background = asyncio.create_task(action.fetch_due())
            await driver.until(lambda: self.network.is_fetching)
            await driver.press("G")
            await driver.until(lambda: "Fetching mail ..." in said)
            self.network.fetch_gate.set()
            await background
            await driver.until(lambda: any("No new mail" in one for one in said))
            self.assertIn("fetching: 1 of 1 message", said)

        self.drive(steps)

    def test_a_fetch_after_an_error_in_the_file_of_accounts(self) -> None:
        """The error is shown, and the next fetch is not taken for one of two."""

        async def steps(driver: Driver) -> None:
            screen = driver.app.screen_stack[1]
            assert isinstance(screen, main_screen.MainScreen)
            action = screen._fetch_action
            file = self.mailbox.paths.accounts
            text = file.read_text()
            file.write_text("x = ")
            with self.assertRaises(AccountError):
                await action.fetch()
            file.write_text(text)
            self.assertFalse(action._is_asked)

        self.drive(steps)

"""The full screen on encrypted mail: the passphrase is asked for when the user says so."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from textual.widgets import Input, Select, Static, TextArea

from emailsys.client.accounts.values import Encrypt
from emailsys.client.archive.values import Addition, Folder
from emailsys.client.compose.protection_words import protection_words
from tests.unit.client.crypto.keyring_case import GPG, encrypted, keyring
from tests.unit.client.screen.screen_case import Driver, ScreenCase, account, tries


class ProtectedMail(ScreenCase):
    if GPG is None:
        skip = "gpg is not installed"

    @tries("unlock")
    def test_k_asks_for_the_passphrase(self) -> None:
        """Opening the message asks nothing; K starts pinentry, and the text appears."""
        keys = keyring()
        self.patch(os, "environ", {**os.environ, "GNUPGHOME": str(keys.home)})
        keys.end_agent()
        self.addCleanup(keys.end_agent)
        octets = encrypted(keys.encrypt(b"\r\nxylophone\r\n", "lock"))
        self.mailbox.archive.add(Addition(octets, Folder("alice", "Inbox")))

        async def steps(driver: Driver) -> None:
            def shows(words: str) -> bool:
                return words in str(driver.reader.query_one("#text", Static).visual)

            await driver.press("G", "equals_sign", "enter")
            await driver.until(lambda: shows("K asks for the passphrase."))
            await driver.press("K")
            await driver.until(lambda: shows("xylophone"))

        self.drive(steps)

    @tries("sign", "encrypt")
    def test_the_composer_shows_keys_and_refuses_to_send_in_clear(self) -> None:
        """F8 signs; F9 twice always encrypts. Without a key for a recipient, Ctrl-T sends nothing."""
        keys = keyring()
        self.patch(os, "environ", {**os.environ, "GNUPGHOME": str(keys.home)})

        async def steps(driver: Driver) -> None:
            await driver.press("m")
            await driver.until_screen("Composer")
            composer = driver.app.screen
            line = composer.query_one("#protection", Static)
            self.assertFalse(line.display)
            composer.query_one("#to", Input).value = "nobody@n.test"
            composer.query_one("#subject", Input).value = "s"
            composer.query_one("#body", TextArea).text = "b"
            await driver.press("f8", "f9", "f9")
            await driver.until(lambda: "nobody@n.test: no key" in str(line.visual))
            await driver.press("ctrl+t")
            await driver.until(lambda: any("key of your own" in one for one in driver.toasts))
            self.assertIs(driver.app.screen, composer)
            await driver.press("f9", "f8")
            await driver.until(lambda: not line.display)

        self.drive(steps)
        self.assertEqual(self.mailbox.outbox.list(), [])


class ChosenSenderTests(ScreenCase):
    def test_from_brings_the_protection_of_its_account(self) -> None:
        """Also if Ctrl-T follows at once. Going back to the first account takes nothing away."""
        work = replace(account("work"), sign=True, encrypt=Encrypt.ALWAYS)
        self.mailbox.accounts_file.put(work)
        # No keys of whoever runs the tests.
        home = self.folder / "gnupg"
        home.mkdir(mode=0o700, parents=True)
        self.patch(os, "environ", {**os.environ, "GNUPGHOME": str(home)})

        async def steps(driver: Driver) -> None:
            await driver.compose("nobody@n.test", "Plan", "Hello.")
            composer: Any = driver.app.screen
            sender = composer.query_one("#from", Select)
            sender.value = 1
            composer.action_send()
            await driver.until(lambda: driver.toasts)
            self.assertIs(driver.app.screen, composer)
            line = composer.query_one("#protection", Static)
            await driver.until(lambda: line.display)
            sender.value = 0
            await driver.until(lambda: composer._followed.name == "alice")
            self.assertEqual(protection_words(composer.as_written()), "sign encrypt")

        self.drive(steps)
        self.assertEqual(self.subjects("Outbox", "work") + self.subjects("Sent", "work"), [])

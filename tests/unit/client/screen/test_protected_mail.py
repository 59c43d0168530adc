"""The full screen on encrypted mail: the passphrase is asked for when the user says so."""

from __future__ import annotations

import os

from textual.widgets import Static

from emailsys.client.archive.values import Addition, Folder
from tests.unit.client.crypto.keyring_case import GPG, encrypted, keyring
from tests.unit.client.screen.screen_case import Driver, ScreenCase, tries


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

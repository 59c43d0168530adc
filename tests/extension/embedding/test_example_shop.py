"""Tests of the shop: with a mail system for tests, in memory, and with its own mail system in this process."""

from pathlib import Path

from example_shop import confirm, make_shop
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from emailsys.control.control_socket import ask
from emailsys.control.requests import Status
from emailsys.testing import MailSystemMixin, MemorySMTP

CONFIG = """hostname = "localhost"
[listen]
smtp = ["127.0.0.1:0"]
submission = []
submissions = []
pop3 = []
pop3s = []
"""


class ShopTests(MailSystemMixin, TestCase):
    def made_folder(self) -> Path:
        """Make a folder with the configuration of the shop."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "emailsys.toml").write_text(CONFIG)
        return folder

    async def test_an_order_is_confirmed(self) -> None:
        system = await self.start_mail_system()
        await confirm(7, "bob@example.com", system.host, system.port)
        message = await system.mailbox("bob").wait_for(subject="Order 7")
        self.assertEqual(message.text, "Thank you.\n")

    def test_a_slow_server_answers_in_the_end(self) -> None:
        server = MemorySMTP()
        server.fail("slow by 60 s at EHLO")
        client = server.connect()
        client.heard()
        client.say(b"EHLO shop.example\r\n")
        self.assertEqual(client.heard(), b"")
        server.clock.advance(60)
        self.assertTrue(client.heard().startswith(b"250"))

    async def test_the_shop_has_a_mail_system(self) -> None:
        folder = self.made_folder()
        shop = make_shop(str(folder))
        shop.startService()
        try:
            status = await deferToThread(ask, folder / "mail", Status())
            self.assertEqual(list(status["result"]["listening"]), ["smtp"])
        finally:
            await shop.stopService()

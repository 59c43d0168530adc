"""The trial mixin, with a client of twisted.mail on the same reactor."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.mail.smtp import ESMTPSenderFactory, SMTPClientError
from twisted.trial.unittest import TestCase

from emailsys.testing import MailSystemMixin, NoSuchMail
from emailsys.testing.trial import TrialMailSystem


def send(system: TrialMailSystem, subject: str = "Welcome") -> Deferred[Any]:
    """Send as an application on Twisted does."""
    result: Deferred[Any] = Deferred()
    letter = BytesIO(f"From: shop@example.com\nSubject: {subject}\n\nHello\n".encode())
    factory = ESMTPSenderFactory(
        b"user", b"secret", "shop@example.com", "bob@example.com", letter, result, 0, requireTransportSecurity=False
    )
    connecting: Any = reactor
    connecting.connectTCP(system.host, system.port, factory)
    return result


class MixinTests(MailSystemMixin, TestCase):
    """`MailSystemMixin`."""

    async def test_a_message_arrives(self) -> None:
        """Before the wait, and during it."""
        system = await self.start_mail_system()
        waiting = system.mailbox("bob").wait_for(subject="Welcome")
        await send(system)
        first = await waiting
        self.assertEqual((first.sender, first.login), ("shop@example.com", "user"))
        self.assertIs(await system.wait_for(sender="shop@example.com"), first)
        later = system.wait_for(after=first)
        await send(system, "Again")
        self.assertEqual((await later).subject, "Again")

    async def test_nothing_arrives(self) -> None:
        """The error says what did."""
        system = await self.start_mail_system()
        await send(system, "Welcom")
        error = await self.assertFailure(system.wait_for(subject="Welcome", timeout=0.01), NoSuchMail)
        self.assertIn("subject 'Welcom'", str(error))

    async def test_failures(self) -> None:
        """The same sentences as with pytest."""
        system = await self.start_mail_system()
        system.fail("550 at RCPT for bob@")
        await self.assertFailure(send(system), SMTPClientError)
        self.assertEqual((system.messages, len(system.failed)), ([], 1))
        system.fail("554 at connect")
        await self.assertFailure(send(system), SMTPClientError)

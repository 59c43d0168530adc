"""Mail in memory, as IMaildrop and IIntake promise, and who gets which message."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from emailsys.interfaces import ClientPassword, IIntake, IMaildrop, MaildropInUse
from emailsys.mail.address import parse
from emailsys.mail.envelope import Envelope, LocalRoute, Recipient
from emailsys.testing.contracts import IntakeContract, MaildropContract
from emailsys.testing.memory_keeping import MemoryKeeping
from emailsys.testing.memory_maildrops import MemoryMaildrop, MemoryMaildrops

ACCOUNT = 7


def envelope(*recipients: str, account_ids: Sequence[int] = (ACCOUNT,)) -> Envelope:
    """An envelope whose recipients have the same accounts."""
    routes = tuple(LocalRoute(number) for number in account_ids)
    return Envelope(
        parse("a@example.com"),
        tuple(Recipient(parse(path), routes) for path in recipients),
        arrived_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


class MaildropTests(MaildropContract, TestCase):
    """The maildrop of one account."""

    def setUp(self) -> None:
        """No mail yet."""
        self.maildrops = MemoryMaildrops()

    async def put(self, bodies: Sequence[bytes]) -> None:
        for body in bodies:
            self.maildrops.add(ACCOUNT, b"Return-Path: <>\r\n", body)

    async def open_maildrop(self) -> MemoryMaildrop:
        return self.maildrops.open(ACCOUNT)

    async def test_another_mail_system_has_other_unique_ids(self) -> None:
        """A client under test may remember those of the last one."""
        uids = set()
        for maildrops in (MemoryMaildrops(), MemoryMaildrops()):
            maildrops.add(ACCOUNT, b"", b"\r\n")
            uids.add(maildrops.open(ACCOUNT).getUidl(0))
        self.assertEqual(len(uids), 2)


class IntakeTests(IntakeContract, TestCase):
    """The intake, which hands over whole messages."""

    def setUp(self) -> None:
        """No mail yet."""
        self.found: list[bytes] = []
        self.keeping = MemoryKeeping(lambda queue_id, envelope, octets: self.found.append(octets))

    async def get_intake(self) -> IIntake:
        intake: IIntake = self.keeping.intake
        return intake

    async def make_envelope(self) -> Envelope:
        return envelope("bob@example.com")

    async def accepted(self) -> Sequence[bytes]:
        return self.found


class LoginTests(TestCase):
    """Who gets which message."""

    def setUp(self) -> None:
        """No mail yet."""
        self.keeping = MemoryKeeping(lambda queue_id, envelope, octets: None)

    def open(self, name: bytes) -> Deferred[tuple[Any, MemoryMaildrop, Any]]:
        """Log in by POP3."""
        opening: Deferred[Any] = self.keeping.portal.login(ClientPassword(name, b"x"), None, IMaildrop)
        return opening

    async def test_one_copy_for_an_account(self) -> None:
        """Two recipients of one account are one message for it, with the fields of final delivery."""
        _, maildrop, logout = await self.open(b"anything")
        logout()
        incoming = self.keeping.intake.begin()
        incoming.write(b"Subject: x\r\n\r\n")
        # The first account is the one with everything.
        await incoming.commit(envelope("bob@example.com", "carol@example.com", account_ids=(1,)))
        self.assertEqual(list(maildrop.listMessages()), [])
        _, maildrop, _ = await self.open(b"anything")
        whole = maildrop.whole_message(0)
        assert whole is not None
        self.assertEqual(
            whole[0],
            b"Return-Path: <a@example.com>\r\nDelivered-To: bob@example.com\r\nSubject: x\r\n\r\n",
        )
        self.assertEqual(len(maildrop.listMessages()), 1)

    async def test_a_maildrop_is_opened_once(self) -> None:
        """RFC 1939 §4; others are not locked with it."""
        await self.open(b"bob@example.com")
        await self.open(b"carol@example.com")
        await self.assertFailure(self.open(b"BOB@example.com"), MaildropInUse)

    async def test_only_mail_is_served(self) -> None:
        """No other avatar exists."""
        login = self.keeping.portal.login(ClientPassword(b"bob", b"x"), None, IIntake)
        await self.assertFailure(login, UnauthorizedLogin)

"""Contract of every store: reading of a maildrop without its lock."""

from __future__ import annotations

from zope.interface.verify import verifyObject

from emailsys.interfaces import BEFORE_ALL, Account, IMaildropReading, MaildropInUse, StoreError
from tests.contract.mail import ARRIVED, MailCase, envelope, local

KIB = 1024


class ReadingContract(MailCase):
    """The tests. `test_store_contract` has a subclass for each engine."""

    async def uids(self, account: Account, count: int = 50, **where: str) -> list[str]:
        """Return the unique-ids of a page."""
        return [one.uid for one in await self.store.reading.page(account.account_id, count, **where)]

    async def whole(self, account: Account, uid: str) -> bytes:
        """Return a message."""
        return b"".join([piece async for piece in self.store.reading.pieces(account.account_id, uid)])

    async def test_the_store_implements_the_interface(self) -> None:
        verifyObject(IMaildropReading, self.store.reading)

    async def test_the_newest_come_first_and_pages_lead_both_ways(self) -> None:
        """Unique-ids are those of UIDL; each page is found by the message next to it."""
        alice, bob = await self.users()
        for number in range(5):
            await self.send(b"%d\r\n" % number, envelope(local(alice)))
        await self.send(b"for bob\r\n", envelope(local(bob)))
        maildrop = await self.open(alice)
        uidl = [maildrop.getUidl(index).decode() for index in range(5)]
        self.assertEqual(await self.uids(alice), uidl[::-1])
        self.assertEqual(await self.uids(alice, 2), [uidl[4], uidl[3]])
        self.assertEqual(await self.uids(alice, 2, before=uidl[3]), [uidl[2], uidl[1]])
        self.assertEqual(await self.uids(alice, 2, after=uidl[1]), [uidl[3], uidl[2]])
        self.assertEqual(await self.uids(alice, 2, before=uidl[0]), [])
        self.assertEqual(await self.uids(alice, 2, after=BEFORE_ALL), [uidl[1], uidl[0]])
        self.assertEqual(await self.uids(alice, 2, before="nonsense"), [])
        first = (await self.store.reading.page(alice.account_id, 1))[0]
        self.assertEqual((first.octets, first.arrived_at), (maildrop.listMessages(4), ARRIVED))
        self.assertEqual(await self.store.reading.find(alice.account_id, first.uid), first)

    async def test_messages_are_read_while_a_session_has_the_maildrop(self) -> None:
        """What is read is what POP3 sends, also in several pieces."""
        alice, _bob = await self.users()
        body = b"Subject: large\r\n\r\n" + b"0123456789abcdef0123456789ab\r\n" * (40 * KIB)
        for one in (b"Subject: small\r\n\r\nx\r\n", body):
            await self.send(one, envelope(local(alice)))
        maildrop = await self.open(alice)
        large, small = await self.uids(alice)
        self.assertEqual(await self.whole(alice, small), await self.fetch(maildrop, 0))
        self.assertEqual(await self.whole(alice, large), await self.fetch(maildrop, 1))
        heads = await self.store.reading.heads(alice.account_id, [large, small, "nonsense"], 1000)
        self.assertEqual(sorted(heads), sorted([large, small]))
        self.assertEqual(heads[large], (await self.whole(alice, large))[:1000])

    async def test_no_maildrop_shows_messages_of_another(self) -> None:
        """The unique-id of another account's message is as unknown as any."""
        alice, bob = await self.users()
        await self.send(b"x\r\n", envelope(local(bob)))
        (uid,) = await self.uids(bob)
        reading, account_id = self.store.reading, alice.account_id
        self.assertIsNone(await reading.find(account_id, uid))
        self.assertEqual(dict(await reading.heads(account_id, [uid], 100)), {})
        self.assertEqual(await reading.delete(account_id, [uid]), 0)
        await reading.note_read(account_id, uid)
        self.assertEqual(await reading.read(bob.account_id, [uid]), frozenset())
        await self.refused(StoreError, self.whole(alice, uid))
        self.assertEqual(await self.uids(bob), [uid])

    async def test_messages_that_were_read_are_known(self) -> None:
        """Those that a program fetched, and those that were noted; of each account for itself."""
        alice, bob = await self.users()
        await self.send(b"1\r\n", envelope(local(alice), local(bob)))
        await self.send(b"2\r\n", envelope(local(alice)))
        await self.send(b"3\r\n", envelope(local(alice)))
        third, second, first = await self.uids(alice)
        self.assertEqual(await self.store.reading.read(alice.account_id, [first, second, third]), frozenset())
        maildrop = await self.open(alice)
        await self.fetch(maildrop, 0)
        await maildrop.sync()
        for _ in range(2):
            await self.store.reading.note_read(alice.account_id, third)
        found = await self.store.reading.read(alice.account_id, [first, second, third, "nonsense"])
        self.assertEqual(found, {first, third})
        self.assertEqual(await self.store.reading.read(bob.account_id, await self.uids(bob)), frozenset())

    async def test_messages_are_deleted_if_no_session_has_the_maildrop(self) -> None:
        """The lock is free again afterwards, and POP3 does not see them."""
        alice, _bob = await self.users()
        for number in range(3):
            await self.send(b"%d\r\n" % number, envelope(local(alice)))
        third, second, first = await self.uids(alice)
        session = await self.open(alice)
        await self.refused(MaildropInUse, self.store.reading.delete(alice.account_id, [first]))
        self.assertEqual(len(await self.uids(alice)), 3)
        session.release()
        self.assertEqual(await self.store.reading.delete(alice.account_id, [first, third, "nonsense"]), 2)
        self.assertEqual(await self.uids(alice), [second])
        self.assertEqual(await self.store.reading.delete(alice.account_id, [first]), 0)
        self.assertEqual(len((await self.open(alice)).listMessages()), 1)
        await self.refused(StoreError, self.whole(alice, first))

    async def test_a_silent_session_keeps_its_maildrop(self) -> None:
        """A new POP3 login would take it over; a browser waits."""
        alice, _bob = await self.users()
        await self.send(b"x\r\n", envelope(local(alice)))
        session = await self.open(alice)
        self.clock.advance(3600)
        await self.refused(MaildropInUse, self.store.reading.delete(alice.account_id, await self.uids(alice)))
        session.deleteMessage(0)
        await session.sync()
        self.assertEqual(await self.uids(alice), [])

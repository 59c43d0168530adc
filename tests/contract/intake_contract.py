"""Contract of every store: accepting messages."""

from __future__ import annotations

import random
from collections.abc import Sequence

from twisted.internet.defer import Deferred, gatherResults
from zope.interface.verify import verifyObject

from emailsys.interfaces import IIncoming, IIntake, StoreError
from emailsys.mail.address import Address
from emailsys.mail.envelope import Envelope, LocalRoute, Recipient
from emailsys.testing import contracts
from tests.contract.mail import ALICE, BOB, MailCase, envelope, local, remote

KIB = 1024
PREFIX = b"Return-Path: <carol@example.org>\r\nDelivered-To: alice@example.test\r\n"


class IntakeContract(contracts.IntakeContract, MailCase):
    """The public contract, and what the stores promise beyond it. `test_store_contract` has a class for each engine."""

    async def get_intake(self) -> IIntake:
        intake: IIntake = self.store.intake
        return intake

    async def make_envelope(self) -> Envelope:
        return envelope(local(await self.first_user()))

    async def accepted(self) -> Sequence[bytes]:
        maildrop = await self.open(await self.first_user())
        try:
            return [await self.fetch(maildrop, index) for index in range(len(maildrop.listMessages()))]
        finally:
            maildrop.release()

    async def test_the_store_implements_its_interfaces(self) -> None:
        verifyObject(IIntake, self.store.intake)
        incoming = self.store.intake.begin()
        verifyObject(IIncoming, incoming)
        incoming.abandon()

    async def test_an_accepted_message_lies_in_the_maildrop_at_once(self) -> None:
        alice, _bob = await self.users()
        await self.send(b"Subject: hello\r\n\r\nworld\r\n", envelope(local(alice)))
        maildrop = await self.open(alice)
        self.assertEqual(await self.fetch(maildrop, 0), PREFIX + b"Subject: hello\r\n\r\nworld\r\n")

    async def test_octets_out_are_octets_in_whatever_the_size(self) -> None:
        alice, _bob = await self.users()
        source = random.Random(1)
        sizes = (0, 1, 256 * KIB - 1, 256 * KIB, 256 * KIB + 1, 1024 * KIB, 2500 * KIB + 17)
        bodies = [source.randbytes(size) for size in sizes]
        for body in bodies:
            await self.send(body, envelope(local(alice)), chunk=source.choice((1000, 65_536, 300_000)) if body else 1)
        maildrop = await self.open(alice)
        for index, body in enumerate(bodies):
            self.assertTrue(await self.fetch(maildrop, index) == PREFIX + body, f"{len(body)} octets")
            self.assertEqual(maildrop.listMessages(index), len(PREFIX) + len(body))

    async def test_two_names_of_one_account_get_one_copy(self) -> None:
        alice, _bob = await self.users()
        names = (ALICE, Address("alice+news", "example.test"), Address("postmaster", "example.test"))
        await self.send(b"once\r\n", envelope(*(local(alice, name) for name in names)))
        maildrop = await self.open(alice)
        self.assertEqual(maildrop.listMessages(), [len(PREFIX) + 6])

    async def test_delivered_to_names_only_the_recipients_own_address(self) -> None:
        alice, bob = await self.users()
        await self.send(b"x\r\n", envelope(local(alice), local(bob, Address("bob+tag", "example.test"))))
        self.assertEqual(await self.fetch(await self.open(alice), 0), PREFIX + b"x\r\n")
        text = await self.fetch(await self.open(bob), 0)
        self.assertEqual(text, b"Return-Path: <carol@example.org>\r\nDelivered-To: bob+tag@example.test\r\nx\r\n")

    async def test_one_address_with_two_accounts_reaches_both(self) -> None:
        alice, bob = await self.users()
        both = Recipient(ALICE, (LocalRoute(alice.account_id), LocalRoute(bob.account_id)))
        await self.send(b"x\r\n", envelope(both))
        self.assertEqual(await self.fetch(await self.open(bob), 0), PREFIX + b"x\r\n")
        self.assertEqual(len((await self.open(alice)).listMessages()), 1)

    async def test_null_reverse_path_is_kept_as_such(self) -> None:
        alice, _bob = await self.users()
        await self.send(b"bounce\r\n", envelope(local(alice), reverse_path=None))
        text = await self.fetch(await self.open(alice), 0)
        self.assertTrue(text.startswith(b"Return-Path: <>\r\n"))

    async def test_a_removed_recipient_refuses_the_message_for_all(self) -> None:
        alice, bob = await self.users()
        await self.store.accounts.remove_user(BOB, False)
        await self.refused(StoreError, self.send(b"x\r\n", envelope(local(alice), local(bob))))
        self.assertEqual((await self.open(alice)).listMessages(), [])

    async def test_a_refused_message_does_not_affect_others_of_its_commit(self) -> None:
        alice, bob = await self.users()
        await self.store.accounts.remove_user(BOB, False)
        results: list[object] = []
        sending = []
        for number in range(20):
            to = envelope(local(bob if number % 5 == 0 else alice))
            one = Deferred.fromCoroutine(self.send(b"%d\r\n" % number, to))
            sending.append(one.addBoth(results.append))
        await gatherResults(sending)
        self.assertEqual(sum(isinstance(result, str) for result in results), 16)
        self.assertEqual(len((await self.open(alice)).listMessages()), 16)

    async def test_fifty_at_once_are_all_kept(self) -> None:
        alice, bob = await self.users()
        to = envelope(local(alice), local(bob))
        ids = await gatherResults([Deferred.fromCoroutine(self.send(b"%d\r\n" % n, to)) for n in range(50)])
        self.assertEqual(len(set(ids)), 50)
        for account in (alice, bob):
            maildrop = await self.open(account)
            bodies = {(await self.fetch(maildrop, index)).splitlines()[-1] for index in range(50)}
            self.assertEqual(bodies, {b"%d" % n for n in range(50)})

    async def test_a_message_to_both_sides_is_in_the_maildrop_and_in_the_queue(self) -> None:
        alice, _bob = await self.users()
        away = Address("dave", "example.net")
        queue_id = await self.send(b"x\r\n", envelope(local(alice), remote(away)))
        (row,) = await self.store.queue.lease(10, 60)
        self.assertEqual((row.queue_id, row.forward_path), (queue_id, away))
        self.assertEqual(len((await self.open(alice)).listMessages()), 1)

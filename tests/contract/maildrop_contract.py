"""Contract of every store: maildrops."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from zope.interface.verify import verifyObject

from emailsys.interfaces import IMaildrop, IMaildrops, MaildropInUse, MaildropLost
from emailsys.testing import contracts
from tests.contract.mail import MailCase, envelope, local

KIB = 1024


class MaildropContract(contracts.MaildropContract, MailCase):
    """The public contract, and what the stores promise beyond it. `test_store_contract` has a class for each engine."""

    async def put(self, bodies: Sequence[bytes]) -> None:
        alice = await self.first_user()
        for body in bodies:
            await self.send(body, envelope(local(alice)))

    async def open_maildrop(self) -> Any:
        return await self.store.maildrops.open((await self.first_user()).account_id)

    async def test_the_store_implements_its_interfaces(self) -> None:
        alice, _bob = await self.users()
        verifyObject(IMaildrops, self.store.maildrops)
        verifyObject(IMaildrop, await self.open(alice))

    async def test_a_second_login_is_told_that_the_maildrop_is_in_use(self) -> None:
        alice, bob = await self.users()
        first = await self.open(alice)
        await self.refused(MaildropInUse, self.store.maildrops.open(alice.account_id))
        await self.open(bob)
        first.release()
        first.release()
        await self.open(alice)

    async def test_a_silent_session_is_taken_over_and_its_deletes_are_void(self) -> None:
        alice, _bob = await self.users()
        await self.send(b"x\r\n", envelope(local(alice)))
        old = await self.open(alice)
        old.deleteMessage(0)
        self.clock.advance(60)
        new = await self.open(alice)
        await self.refused(MaildropLost, old.sync())
        await self.refused(MaildropLost, self.fetch(old, 0))
        # When the replaced session ends, the new session keeps its lock.
        old.release()
        await self.refused(MaildropInUse, self.store.maildrops.open(alice.account_id))
        self.assertTrue((await self.fetch(new, 0)).endswith(b"x\r\n"))

    async def test_another_process_can_ask_for_the_maildrop_of_a_silent_session(self) -> None:
        """Not for one that speaks, nor for one that nobody has open."""
        alice, bob = await self.users()
        old = await self.open(alice)
        self.assertFalse(await self.store.maildrops.give_up(bob.account_id))
        self.assertFalse(await self.store.maildrops.give_up(alice.account_id))
        self.clock.advance(60)
        self.assertTrue(await self.store.maildrops.give_up(alice.account_id))
        await self.refused(MaildropLost, old.sync())
        await self.open(alice)
        old.release()
        await self.refused(MaildropInUse, self.store.maildrops.open(alice.account_id))

    async def test_a_session_that_speaks_is_not_taken_over(self) -> None:
        alice, _bob = await self.users()
        maildrop = await self.open(alice)
        self.clock.advance(59)
        maildrop.touch()
        self.clock.advance(59)
        await self.refused(MaildropInUse, self.store.maildrops.open(alice.account_id))

    async def test_mail_is_listed_in_the_order_in_which_it_came(self) -> None:
        alice, _bob = await self.users()
        for number in range(30):
            await self.send(b"%d\r\n" % number, envelope(local(alice)))
        maildrop = await self.open(alice)
        last = [(await self.fetch(maildrop, index)).splitlines()[-1] for index in range(30)]
        self.assertEqual(last, [b"%d" % number for number in range(30)])

    async def test_quit_deletes_what_was_marked_and_nothing_else(self) -> None:
        alice, bob = await self.users()
        for number in range(5):
            await self.send(b"%d\r\n" % number, envelope(local(alice), local(bob)))
        maildrop = await self.open(alice)
        uidls = [maildrop.getUidl(index) for index in range(5)]
        for index in (0, 2, 4):
            maildrop.deleteMessage(index)
        await maildrop.sync()
        maildrop.release()
        again = await self.open(alice)
        self.assertEqual([again.getUidl(index) for index in range(2)], [uidls[1], uidls[3]])
        self.assertEqual((await self.fetch(again, 1)).splitlines()[-1], b"3")
        # Copies in other maildrops stay.
        self.assertEqual(len((await self.open(bob)).listMessages()), 5)

    async def test_a_session_that_ended_deletes_nothing(self) -> None:
        alice, _bob = await self.users()
        await self.send(b"x\r\n", envelope(local(alice)))
        maildrop = await self.open(alice)
        maildrop.deleteMessage(0)
        maildrop.release()
        await self.refused(MaildropLost, maildrop.sync())
        self.assertEqual(len((await self.open(alice)).listMessages()), 1)

    async def test_a_message_that_needs_utf8_is_known(self) -> None:
        alice, _bob = await self.users()
        await self.send(b"plain\r\n", envelope(local(alice)))
        await self.send("Subject: ä\r\n".encode(), envelope(local(alice), smtputf8=True))
        maildrop = await self.open(alice)
        self.assertEqual([maildrop.needs_utf8(0), maildrop.needs_utf8(1)], [False, True])
        await self.fetch(maildrop, 0)
        self.assertIsNone(maildrop.whole_message(1))

    async def test_messages_are_the_same_in_whatever_order_they_are_fetched(self) -> None:
        alice, _bob = await self.users()
        source = random.Random(2)
        bodies = [source.randbytes(source.choice((10, 4 * KIB, 30 * KIB, 300 * KIB))) for _ in range(40)]
        for body in bodies:
            await self.send(body, envelope(local(alice)))
        maildrop = await self.open(alice)
        order = [*range(40), *source.sample(range(40), 40), *reversed(range(40))]
        for index in order:
            self.assertTrue((await self.fetch(maildrop, index)).endswith(bodies[index]), index)

    async def test_pieces_are_bounded_and_say_where_dots_begin_lines(self) -> None:
        alice, _bob = await self.users()
        quiet = b"a line. with dots.\r\n" * 40_000
        loud = bytearray(quiet)
        # Lines that begin with a dot: at the start of each piece, and within the last.
        for at in (256 * KIB, 512 * KIB):
            loud[at - 2 : at + 1] = b"\r\n."
        loud[600 * KIB : 600 * KIB + 3] = b"\r\n."
        for body in (quiet, bytes(loud), b".\r\n"):
            await self.send(body, envelope(local(alice)))
        maildrop = await self.open(alice)
        for index in range(3):
            text = b""
            async for piece, dots in maildrop.pieces(index):
                self.assertLessEqual(len(piece), 256 * KIB)
                begins_a_line = not text or text.endswith(b"\n")
                if b"\n." in piece or (begins_a_line and piece.startswith(b".")):
                    self.assertIs(dots, True)
                text += piece
            self.assertEqual(len(text), maildrop.listMessages(index))
        self.assertFalse(any([dots async for _piece, dots in maildrop.pieces(0)]))

    async def test_a_message_that_was_read_ahead_is_the_one_that_pieces_would_return(self) -> None:
        alice, _bob = await self.users()
        bodies = [b"1\r\n", b".2\r\n..\r\n", b"3\r\n", b"line\r\n" * 60_000, b"5\r\n"]
        for body in bodies:
            await self.send(body, envelope(local(alice)))
        maildrop = await self.open(alice)
        # Nothing is in memory yet.
        self.assertIsNone(maildrop.whole_message(0))
        await self.fetch(maildrop, 0)
        whole = maildrop.whole_message(1)
        assert whole is not None
        self.assertIs(whole[1], True)
        # It is returned once, and the next one is in memory too.
        self.assertIsNone(maildrop.whole_message(1))
        # Deleted messages, and those that do not exist, are none.
        maildrop.deleteMessage(2)
        self.assertIsNone(maildrop.whole_message(2))
        maildrop.undeleteMessages()
        self.assertIsNone(maildrop.whole_message(len(bodies)))
        self.assertIsNotNone(maildrop.whole_message(2))
        self.assertEqual([piece async for piece in maildrop.pieces(1)], [whole])
        # A message of several pieces is not read ahead.
        self.assertIsNone(maildrop.whole_message(3))
        self.assertEqual(len(await self.fetch(maildrop, 3)), maildrop.listMessages(3))

    async def many(self) -> tuple[Any, list[bytes]]:
        """Open a maildrop with more messages than one read returns. Returns it with their bodies."""
        alice, _bob = await self.users()
        bodies = [b".%d\r\n" % number + b"line\r\n" * 1000 for number in range(50)]
        for body in bodies:
            await self.send(body, envelope(local(alice)))
        return await self.open(alice), bodies

    async def took(self, maildrop: Any, index: int) -> bytes:
        """Return a message, from memory if it is there."""
        whole = maildrop.whole_message(index)
        return whole[0] if whole is not None else await self.fetch(maildrop, index)

    async def test_each_of_many_messages_in_order_is_its_own(self) -> None:
        maildrop, bodies = await self.many()
        for index, body in enumerate(bodies):
            text = await self.took(maildrop, index)
            self.assertTrue(text.endswith(body), index)
            self.assertEqual(len(text), maildrop.listMessages(index))
            maildrop.deleteMessage(index)

    async def test_a_message_out_of_order_is_its_own_while_the_next_ones_are_being_read(self) -> None:
        maildrop, bodies = await self.many()
        for index in (*range(11), 40, 11, 12, 41, 42, *range(13, 20), 0, *range(30, 50)):
            self.assertTrue((await self.took(maildrop, index)).endswith(bodies[index]), index)

    async def test_a_session_that_ends_while_the_next_messages_are_being_read_has_nothing_in_memory(self) -> None:
        maildrop, _bodies = await self.many()
        for index in range(12):
            await self.took(maildrop, index)
        maildrop.release()
        # Gives the read in progress time to end.
        await self.store.directory.find_address("alice", "example.test")
        self.assertEqual([maildrop.whole_message(index) for index in range(50)], [None] * 50)

    async def test_a_session_that_lost_its_maildrop_has_nothing_in_memory(self) -> None:
        alice, _bob = await self.users()
        for number in range(3):
            await self.send(b"%d\r\n" % number, envelope(local(alice)))
        old = await self.open(alice)
        await self.fetch(old, 0)
        self.clock.advance(60)
        new = await self.open(alice)
        self.assertIsNone(old.whole_message(1))
        await self.fetch(new, 0)
        new.release()
        self.assertIsNone(new.whole_message(1))

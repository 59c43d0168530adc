"""Contract of a maildrop that POP3 serves (`IMaildrop`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zope.interface.verify import verifyObject

from emailsys.interfaces import IMaildrop, MaildropInUse
from emailsys.testing.contracts.case import KIB, Contract


class MaildropContract(Contract):
    """Tests of one maildrop. A subclass overrides `put` and `open_maildrop`.

    Each test begins with an empty maildrop. The messages have CRLF lines. In front of them, a maildrop may have header
    fields of its own, such as Return-Path.
    """

    async def put(self, bodies: Sequence[bytes]) -> None:
        """Add messages to the maildrop. A session that is open does not see them."""
        raise AssertionError(f"{type(self).__name__} puts no messages into a maildrop")

    async def open_maildrop(self) -> Any:
        """Log in, and return the maildrop. It is released at the end of the test, at the latest.

        @raise MaildropInUse: a session has it open.
        """
        raise AssertionError(f"{type(self).__name__} opens no maildrop")

    async def opened(self, *bodies: bytes) -> Any:
        """Return a new session of a maildrop with these messages more."""
        if bodies:
            await self.put(bodies)
        maildrop = await self.open_maildrop()
        self.addCleanup(maildrop.release)
        return maildrop

    async def message(self, maildrop: Any, index: int) -> bytes:
        """Return a message as RETR sends it, but without dot-stuffing."""
        whole = maildrop.whole_message(index)
        if whole is not None:
            octets: bytes = whole[0]
            return octets
        return b"".join([piece async for piece, _dots in maildrop.pieces(index)])

    async def test_a_maildrop_has_all_of_its_interface(self) -> None:
        verifyObject(IMaildrop, await self.opened())

    async def test_a_maildrop_without_mail_can_be_read_and_synced(self) -> None:
        maildrop = await self.opened()
        self.assertEqual(list(maildrop.listMessages()), [])
        maildrop.undeleteMessages()
        maildrop.touch()
        await maildrop.sync()

    async def test_messages_have_their_order_and_their_octets(self) -> None:
        bodies = [b"Subject: %d\r\n\r\n.\r\n..dots\r\n%d\r\n" % (number, number) for number in range(12)]
        maildrop = await self.opened(*bodies)
        sizes = maildrop.listMessages()
        self.assertEqual(len(sizes), 12)
        for index in (*range(12), 5, 0, 11):
            octets = await self.message(maildrop, index)
            self.assertTrue(octets.endswith(bodies[index]), index)
            self.assertGreater(maildrop.listMessages(index), 0)
            self.assertEqual(maildrop.listMessages(index), sizes[index])
            if maildrop.has_exact_sizes:
                self.assertEqual(len(octets), sizes[index])

    async def test_a_large_message_comes_in_pieces_of_at_most_256_kib(self) -> None:
        lines = [b"." * (number % 3) + b"x" * (number * 37 % 900) for number in range(2000)]
        body = b"Subject: large\r\n\r\n" + b"".join(b"%b\r\n" % line for line in lines)
        maildrop = await self.opened(body, b"Subject: small\r\n\r\nx\r\n")
        octets = b""
        async for piece, dots in maildrop.pieces(0):
            self.assertLessEqual(len(piece), 256 * KIB)
            is_at_line = not octets or octets.endswith(b"\n")
            if b"\n." in piece or (is_at_line and piece.startswith(b".")):
                self.assertIs(dots, True)
            octets += piece
        self.assertTrue(octets.endswith(body))

    async def test_a_message_is_also_a_file(self) -> None:
        maildrop = await self.opened(b"Subject: file\r\n\r\n" + b"line\r\n" * 60_000)
        file = await maildrop.getMessage(0)
        try:
            self.assertEqual(file.read(), await self.message(maildrop, 0))
        finally:
            file.close()

    async def test_a_number_without_a_message_raises_value_error(self) -> None:
        maildrop = await self.opened(b"Subject: one\r\n\r\nx\r\n")
        for index in (-1, 1, 10**20):
            asked = maildrop.listMessages, maildrop.getUidl, maildrop.deleteMessage, maildrop.needs_utf8
            for ask in asked:
                with self.assertRaises(ValueError):
                    ask(index)
            await self.refused(ValueError, self.message(maildrop, index))
        self.assertGreater(maildrop.listMessages(0), 0)

    async def test_unique_ids_differ_and_stay(self) -> None:
        """RFC 1939 §7: identical messages have different ones, and no session gives a message another one."""
        same = b"Subject: same\r\n\r\nsame\r\n"
        maildrop = await self.opened(same, same, same)
        uids = [maildrop.getUidl(index) for index in range(3)]
        self.assertEqual(len(set(uids)), 3)
        for uid in uids:
            self.assertRegex(uid.decode("ascii"), r"\A[!-~]{1,70}\Z")
        maildrop.deleteMessage(2)
        await maildrop.sync()
        maildrop.release()
        again = await self.opened(same)
        self.assertEqual([again.getUidl(0), again.getUidl(1)], uids[:2])
        self.assertNotIn(again.getUidl(2), uids)

    async def test_a_session_that_is_cut_off_deletes_nothing(self) -> None:
        """RFC 1939 §6: only QUIT deletes."""
        maildrop = await self.opened(b"Subject: one\r\n\r\nx\r\n")
        maildrop.deleteMessage(0)
        maildrop.release()
        # A second call does nothing.
        maildrop.release()
        self.assertEqual(len((await self.opened()).listMessages()), 1)

    async def test_sync_deletes_the_marked_messages_and_no_others(self) -> None:
        maildrop = await self.opened(*(b"Subject: %d\r\n\r\n%d\r\n" % (number, number) for number in range(5)))
        for index in (0, 2, 4):
            maildrop.deleteMessage(index)
        await maildrop.sync()
        maildrop.release()
        again = await self.opened()
        found = [(await self.message(again, index)).splitlines()[-1] for index in range(len(again.listMessages()))]
        self.assertEqual(found, [b"1", b"3"])

    async def test_a_deleted_message_has_no_octets_until_it_is_undeleted(self) -> None:
        maildrop = await self.opened(b"Subject: one\r\n\r\nx\r\n", b"Subject: two\r\n\r\nyy\r\n")
        sizes = list(maildrop.listMessages())
        maildrop.deleteMessage(0)
        self.assertEqual(list(maildrop.listMessages()), [0, sizes[1]])
        self.assertEqual(maildrop.listMessages(0), 0)
        maildrop.undeleteMessages()
        self.assertEqual(list(maildrop.listMessages()), sizes)

    async def test_no_reset_restores_what_sync_has_deleted(self) -> None:
        maildrop = await self.opened(b"Subject: one\r\n\r\nx\r\n")
        maildrop.deleteMessage(0)
        await maildrop.sync()
        maildrop.undeleteMessages()
        self.assertEqual(list(maildrop.listMessages()), [0])
        await maildrop.sync()

    async def test_mail_that_arrives_during_a_session_waits_for_the_next_one(self) -> None:
        maildrop = await self.opened(b"Subject: one\r\n\r\nx\r\n")
        await self.put([b"Subject: two\r\n\r\nx\r\n"])
        self.assertEqual(len(maildrop.listMessages()), 1)
        self.assertIn(b"Subject: one\r\n", await self.message(maildrop, 0))
        maildrop.release()
        self.assertEqual(len((await self.opened()).listMessages()), 2)

    async def test_one_session_at_a_time_has_the_maildrop(self) -> None:
        """RFC 1939 §4."""
        maildrop = await self.opened(b"Subject: one\r\n\r\nx\r\n")
        await self.refused(MaildropInUse, self.open_maildrop())
        maildrop.release()
        self.assertEqual(len((await self.opened()).listMessages()), 1)

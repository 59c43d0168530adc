"""What was accepted and has changed on the disk is never given away, and nothing else suffers from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from emailsys.interfaces import Settlement, StoreDamaged
from emailsys.mail.address import Address
from emailsys.store.commit.ids import id_number
from emailsys.store.engine.sqlite_connections import PAGE_OCTETS
from tests.contract.engines import PostgreSQLCase, SQLiteCase
from tests.contract.mail import ALICE, CAROL, MailCase, envelope, local, remote

SMALL = b"Subject: small\r\n\r\nTHE-AMOUNT-IS-1000-EURO\r\n"
# Three pieces, told apart by their letters.
LARGE = b"".join(letter * 1022 + b"\r\n" for letter in (b"a", b"b", b"c") for _ in range(256))


def is_leaf(page: bytes) -> bool:
    """Whether a page has rows of a table (sqlite.org/fileformat2.html §1.6): others may bear what they once had."""
    return page[0] == 13


class DamageCase(MailCase):
    """On both engines, by SQL."""

    async def change(self, *statements: str) -> None:
        """Do to the store what nobody should."""

        def run(connection: Connection) -> None:
            for statement in statements:
                connection.execute(text(statement))

        await self.store.database.run("test", run)

    def flipped(self, at: int) -> str:
        """The content with one octet changed, in SQL; `at` counts from 1."""
        if self.engine == "postgresql":
            return f"overlay(content placing 'X'::bytea from {at} for 1)"
        return f"CAST(substr(content, 1, {at} - 1) || CAST('X' AS BLOB) || substr(content, {at} + 1) AS BLOB)"

    async def given(self, reading: Any) -> bytes:
        """What comes before damage is found, which must be."""
        got = b""
        try:
            async for piece in reading:
                got += piece[0] if isinstance(piece, tuple) else piece
        except StoreDamaged:
            return got
        raise self.failureException("nothing was found")

    async def damaged(self, statement: str, first: int = 0, body: bytes = LARGE) -> list[str]:
        """Change a message that lies between two others; nobody gets more of it than its first pieces, which are
        whole, and the others are as they were. What `verify` says of it.

        @param first: how many octets may be given before the damage is met.
        """
        alice = await self.account(ALICE)
        before = await self.send(SMALL, envelope(local(alice), remote(CAROL)))
        hit = await self.send(body, envelope(local(alice), remote(CAROL)))
        behind = await self.send(SMALL, envelope(local(alice), remote(CAROL)))
        await self.change(statement.format(id=id_number(hit)))
        maildrop = await self.open(alice)
        sizes = maildrop.listMessages()
        start = len(sizes) - 3
        self.assertTrue((await self.fetch(maildrop, start)).endswith(SMALL))
        got = await self.given(maildrop.pieces(start + 1))
        self.assertTrue(len(got) <= first + 200 and got.endswith(body[:first]), len(got))
        # Where it has been met, nothing of it is given any more: else a client would be cut off there each time.
        self.assertEqual(await self.given(maildrop.pieces(start + 1)), b"")
        self.assertTrue((await self.fetch(maildrop, start + 2)).endswith(SMALL))
        for row in await self.store.queue.lease(10, 60):
            reading = self.store.queue.pieces(row)
            if row.queue_id == hit:
                self.assertEqual(await self.given(reading), b"")
            else:
                self.assertIn(row.queue_id, (before, behind))
                self.assertEqual(b"".join([piece async for piece in reading]), SMALL)
            await self.store.queue.settle([Settlement(row)])
        flaws = (await self.store.verification.check(None, 60)).flaws
        self.assertEqual({flaw.queue_id for flaw in flaws}, {hit})
        self.assertIn(id_number(hit), self.store.database.damage.known)
        # Its owner can delete it, and then its room comes back.
        maildrop.deleteMessage(start + 1)
        await maildrop.sync()
        maildrop.release()
        while await self.store.sweeper.step():
            pass
        found = f"SELECT count(*) FROM bodies WHERE body_id = {id_number(hit)}"
        self.assertEqual(await self.store.database.read("test", lambda c: c.execute(text(found)).scalar()), 0)
        self.assertEqual(self.store.database.damage.known, {})
        return [flaw.what for flaw in flaws]

    async def test_an_octet_of_any_piece(self) -> None:
        await self.users()
        piece = 256 * 1024
        for statement, first, body in (
            (f"UPDATE bodies SET content = {self.flipped(30)} WHERE body_id = {{id}}", 0, SMALL),
            (f"UPDATE bodies SET content = {self.flipped(200_000)} WHERE body_id = {{id}}", 0, LARGE),
            (
                f"UPDATE body_pieces SET content = {self.flipped(7)} WHERE body_id = {{id}} AND number = 1",
                piece,
                LARGE,
            ),
            (
                f"UPDATE body_pieces SET content = {self.flipped(200_000)} WHERE body_id = {{id}} AND number = 2",
                2 * piece,
                LARGE,
            ),
        ):
            [flaw] = await self.damaged(statement, first, body)
            self.assertIn("the digest of piece", flaw)

    async def test_the_flag_that_says_whether_dots_begin_lines(self) -> None:
        """With it lost, a line that is a dot alone would end the message for the client."""
        await self.users()
        [flaw] = await self.damaged(
            "UPDATE bodies SET dots = false WHERE body_id = {id}", 0, b"Subject: dots\r\n\r\n.\r\nbehind\r\n"
        )
        self.assertIn("flag", flaw)

    async def test_pieces_that_are_missing_or_too_many_or_of_another_place(self) -> None:
        await self.users()
        piece = 256 * 1024
        pieces = "WHERE body_id = {id} AND number"
        for statement, first, flaw in (
            (f"DELETE FROM body_pieces {pieces} = 2", 2 * piece, "piece 2 of its body is missing"),
            ("UPDATE messages SET pieces = 1 WHERE message_id = {id}", 0, "octets"),
            ("UPDATE messages SET pieces = 2 WHERE message_id = {id}", piece, "octets"),
            ("UPDATE messages SET pieces = 4 WHERE message_id = {id}", 3 * piece, "piece 3 of its body is missing"),
            (
                f"UPDATE body_pieces SET content = (SELECT content FROM body_pieces {pieces} = 2), digest = "
                f"(SELECT digest FROM body_pieces {pieces} = 2), checksum = (SELECT checksum FROM body_pieces "
                f"{pieces} = 2) {pieces} = 1",
                piece,
                "checksum of piece 1",
            ),
        ):
            found = await self.damaged(statement, first)
            self.assertTrue(any(flaw in one for one in found), (flaw, found))

    async def test_a_piece_without_a_checksum_is_compared_with_its_digest(self) -> None:
        alice, _bob = await self.users()
        queue_id = await self.send(LARGE, envelope(local(alice)))
        await self.change("UPDATE bodies SET checksum = NULL", "UPDATE body_pieces SET checksum = NULL")
        maildrop = await self.open(alice)
        self.assertTrue((await self.fetch(maildrop, 0)).endswith(LARGE))
        self.assertEqual((await self.store.verification.check(None, 60)).flaws, ())
        await self.change(f"UPDATE body_pieces SET content = {self.flipped(9)} WHERE number = 2")
        got = await self.given(maildrop.pieces(0))
        self.assertTrue(got.endswith(LARGE[: 2 * 256 * 1024]))
        [flaw] = (await self.store.verification.check(None, 60)).flaws
        self.assertEqual(flaw.queue_id, queue_id)

    async def test_a_message_that_is_mended_is_given_again(self) -> None:
        alice, _bob = await self.users()
        await self.send(LARGE, envelope(local(alice)))
        maildrop = await self.open(alice)
        which = "WHERE number = 2"
        await self.change(f"UPDATE body_pieces SET content = {self.flipped(1)} {which}")
        await self.given(maildrop.pieces(0))
        self.assertEqual(len(self.store.database.damage.first_known()), 1)
        mended = self.flipped(1).replace("'X'", "'c'")
        await self.change(f"UPDATE body_pieces SET content = {mended} {which}")
        self.assertTrue((await self.fetch(maildrop, 0)).endswith(LARGE))
        self.assertEqual(self.store.database.damage.first_known(), [])


class SQLiteDamageTests(DamageCase, SQLiteCase):
    """On SQLite."""


class PostgreSQLDamageTests(DamageCase, PostgreSQLCase):
    """On PostgreSQL."""


del DamageCase


class PageTests(MailCase, SQLiteCase):
    """A page of the file is all zeros: SQLite calls it malformed and reads nothing in it."""

    async def zeroed(self, wanted: Callable[[bytes], bool]) -> int:
        """Close the store, overwrite the pages that are wanted, open it again; how many."""
        await self.store.close()
        path = Path(self.state) / "mail.sqlite"
        octets = path.read_bytes()
        pages = [octets[start : start + PAGE_OCTETS] for start in range(0, len(octets), PAGE_OCTETS)]
        hit = [number for number, page in enumerate(pages) if number and wanted(page)]
        with path.open("r+b") as file:
            for number in hit:
                file.seek(number * PAGE_OCTETS)
                file.write(bytes(PAGE_OCTETS))
        self.store = self.open_again(None)
        return len(hit)

    async def flaws(self) -> dict[str, str]:
        return {flaw.queue_id: flaw.what for flaw in (await self.store.verification.check(None, 60)).flaws}

    async def test_a_page_of_bodies(self) -> None:
        """Those that lie on it are named, the others are served, sent and deleted, and new mail is taken."""
        alice, _bob = await self.users()
        texts = [b"Subject: %d\r\n\r\nTHE-%d-END " % (number, number) + b"x" * 4000 + b"\r\n" for number in range(40)]
        sent = [await self.send(octets, envelope(local(alice), remote(CAROL))) for octets in texts]
        self.assertEqual(await self.zeroed(lambda page: b"THE-20-END" in page), 1)
        maildrop = await self.open(alice)
        served, damaged = [], []
        for number in range(40):
            try:
                octets = await self.fetch(maildrop, number)
            except StoreDamaged:
                damaged.append(sent[number])
            else:
                self.assertTrue(octets.endswith(texts[number]))
                served.append(sent[number])
        self.assertIn(sent[20], damaged)
        # Four of them share a page.
        self.assertLess(len(damaged), 6)
        rows = await self.store.queue.lease(100, 60)
        refused = set()
        for row in rows:
            try:
                octets = b"".join([piece async for piece in self.store.queue.pieces(row)])
            except StoreDamaged:
                refused.add(row.queue_id)
            else:
                self.assertEqual(octets, texts[sent.index(row.queue_id)])
        self.assertEqual(refused, set(damaged))
        self.assertEqual({entry["queue_id"] for entry in self.store.database.damage.first_known()}, set(damaged))
        flaws = await self.flaws()
        self.assertEqual(set(flaws), set(damaged))
        await self.store.queue.settle([Settlement(row) for row in rows])
        for number in range(40):
            maildrop.deleteMessage(number)
        await maildrop.sync()
        while await self.store.sweeper.step():
            pass
        # All room comes back but that of the page, and of those beside it that SQLite would join with it.
        left = await self.store.database.read(
            "test", lambda connection: connection.execute(text("SELECT message_id FROM reclaim")).scalars().all()
        )
        self.assertTrue({id_number(queue_id) for queue_id in damaged} <= set(left))
        self.assertLess(len(set(left)), 20)
        queue_id = await self.send(SMALL, envelope(local(alice)))
        maildrop.release()
        maildrop = await self.open(alice)
        self.assertTrue((await self.fetch(maildrop, 0)).endswith(SMALL))
        self.assertNotIn(queue_id, await self.flaws())

    async def test_a_page_within_a_large_body(self) -> None:
        alice, _bob = await self.users()
        large = await self.send(LARGE.replace(b"b" * 1022, b"THE-MIDDLE" + b"b" * 1012), envelope(local(alice)))
        await self.send(SMALL, envelope(local(alice)))
        seen = 0

        def once(page: bytes) -> bool:
            nonlocal seen
            seen += b"THE-MIDDLE" in page
            return b"THE-MIDDLE" in page and seen == 3

        self.assertEqual(await self.zeroed(once), 1)
        maildrop = await self.open(alice)
        with self.assertRaises(StoreDamaged):
            await self.fetch(maildrop, 0)
        self.assertTrue((await self.fetch(maildrop, 1)).endswith(SMALL))
        self.assertEqual(await self.flaws(), {large: "piece 1 of its body cannot be read"})

    async def test_a_page_of_the_messages_themselves(self) -> None:
        """`verify` goes on behind it, and names who was on it by what other tables know."""
        alice, _bob = await self.users()
        sent = [
            await self.send(b"%d\r\n" % number, envelope(local(alice), remote(Address("r" * 60, f"{number}.example"))))
            for number in range(400)
        ]
        marker = b"@200.example"
        self.assertGreater(
            await self.zeroed(lambda page: is_leaf(page) and page.count(b".example") > 20 and marker in page), 0
        )
        flaws = await self.flaws()
        self.assertIn(sent[200], flaws)
        self.assertLess(len(flaws), 300)
        self.assertTrue(set(flaws) <= set(sent))

    async def test_mail_beside_a_job_that_meets_the_page_is_accepted(self) -> None:
        """A group commit that fails for one of its members is made anew without it."""
        alice, _bob = await self.users()
        await self.send(b"THE-PAGE " + b"x" * 9000 + b"\r\n", envelope(local(alice)))
        for _ in range(20):
            await self.send(b"y" * 9000 + b"\r\n", envelope(local(alice)))
        self.assertEqual(await self.zeroed(lambda page: is_leaf(page) and b"THE-PAGE" in page), 1)
        database = self.store.database
        first = "DELETE FROM bodies WHERE body_id = (SELECT min(message_id) FROM messages)"
        incoming = self.store.intake.begin()
        incoming.write(SMALL)
        failing = database.run("meets it", lambda connection: connection.execute(text(first)).rowcount)
        await incoming.commit(envelope(local(alice)))
        await self.refused(StoreDamaged, failing)
        maildrop = await self.open(alice)
        self.assertTrue((await self.fetch(maildrop, 21)).endswith(SMALL))

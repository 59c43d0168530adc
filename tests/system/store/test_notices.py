"""Notices between nodes on PostgreSQL."""

from __future__ import annotations

from emailsys.interfaces.operators import QueueChange, QueueFilter
from tests.contract.engines import PostgreSQLCase
from tests.contract.mail import MailCase, envelope, local, remote


class NoticesTests(PostgreSQLCase, MailCase):
    async def test_other_nodes_hear_a_notice_and_the_sender_does_not(self) -> None:
        heard: list[tuple[str, str]] = []
        other = self.open_again(self.url.render_as_string(hide_password=False))
        for name, store in (("sender", self.store), ("other", other)):
            for word in ("one", "two"):
                store.notices.hear(word, lambda rest, name=name, word=word: heard.append((name, f"{word}: {rest}")))
        await self.store.notices.send("one", "first text")
        await self.store.notices.send("unknown", "text")
        await self.store.notices.send("two", "second\ntext")
        for store in (self.store, other):
            # The next check of the node number.
            self.clock.advance(1)
            await store._locks.settle()
        self.assertEqual(heard, [("other", "one: first text"), ("other", "two: second\ntext")])

    async def test_other_nodes_look_into_the_queue_when_rows_are_due_there(self) -> None:
        other = self.open_again(self.url.render_as_string(hide_password=False))
        woken: list[str] = []
        self.store.queue.on_returned = lambda: woken.append("sender")
        other.queue.on_returned = lambda: woken.append("other")

        async def hear() -> list[str]:
            for store in (self.store, other):
                # The next check of the node number.
                self.clock.advance(1)
                await store._locks.settle()
            return woken

        # A node has no room for what is due, or stops.
        self.store.queue.share()
        await self.store._locks.settle()
        self.assertEqual(await hear(), ["other"])
        alice, bob = await self.users()
        await self.send(b"Subject: one\r\n\r\n", envelope(local(alice), remote(bob.address)))
        changes = (QueueChange.HOLD, 1), (QueueChange.RELEASE, 2), (QueueChange.RETRY, 3)
        for change, times in changes:
            self.assertEqual(await self.store.queue_operations.change(QueueFilter(), change), 1)
            self.assertEqual(await hear(), ["other"] * times, change)

    async def test_a_store_that_was_closed_sends_nothing(self) -> None:
        await self.store.close()
        await self.store.notices.send("one", "text")

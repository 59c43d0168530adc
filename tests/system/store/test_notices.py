"""Notices between nodes on PostgreSQL."""

from __future__ import annotations

from tests.contract.engines import PostgreSQLCase


class NoticesTests(PostgreSQLCase):
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

    async def test_a_store_that_was_closed_sends_nothing(self) -> None:
        await self.store.close()
        await self.store.notices.send("one", "text")

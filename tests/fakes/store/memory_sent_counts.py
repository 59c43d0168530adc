"""Counts of sent mail, in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from zope.interface import implementer

from emailsys.interfaces import ISentCounts, SentCount

T = TypeVar("T")


@implementer(ISentCounts)
class MemorySentCounts:
    """The counts. `fails` makes the next call of `add` raise."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], SentCount] = {}
        self.fails: Exception | None = None
        self.is_shared = False

    async def load(self, since: int) -> Sequence[SentCount]:
        return [row for row in self.rows.values() if row.hour >= since]

    async def add(self, counts: Sequence[SentCount], since: int) -> None:
        error, self.fails = self.fails, None
        if error is not None:
            raise error
        self.rows = {key: row for key, row in self.rows.items() if row.hour >= since}
        for new in counts:
            old = self.rows.get((new.sender, new.hour), SentCount(new.sender, new.hour, 0, 0))
            self.rows[new.sender, new.hour] = SentCount(
                new.sender,
                new.hour,
                old.messages + new.messages,
                old.recipients + new.recipients,
                max(old.told, new.told),
            )

    async def count(
        self,
        senders: Sequence[str],
        hour: int,
        since: int,
        decide: Callable[[Sequence[SentCount]], tuple[Sequence[SentCount], T]],
    ) -> T:
        found = [row for row in self.rows.values() if row.sender in senders and row.hour >= since]
        for row in found:
            if row.hour > hour + 1:
                del self.rows[row.sender, row.hour]
                await self.add([replace(row, hour=hour)], 0)
        added, result = decide(found)
        await self.add(added, since)
        return result

"""Counts of sent mail, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from emailsys.interfaces import ISentCounts, SentCount


@implementer(ISentCounts)
class MemorySentCounts:
    """The counts. `fails` makes the next call of `add` raise."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, int], SentCount] = {}
        self.fails: Exception | None = None

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

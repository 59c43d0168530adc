"""Which conversation each new message belongs to, by the ids it bears and mentions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence


class Conversations:
    """The conversations of one account while messages are entered: read at once, written at once.

    A conversation is called by a number, that of its first message; where two meet, the lesser stands for both.
    """

    def __init__(self, connection: sqlite3.Connection, account: str, ids: Iterable[str]) -> None:
        """@param ids: all that the new messages bear and mention."""
        self._connection = connection
        self._account = account
        rows = connection.execute(
            """SELECT message_id, thread FROM mentions
            WHERE account = ? AND message_id IN (SELECT value FROM json_each(?))""",
            (account, json.dumps(list(ids))),
        )
        self._of_id: dict[str, int] = dict(rows.fetchall())
        self._fresh: list[str] = []
        # Of a conversation that has become part of another, that other one.
        self._merged: dict[int, int] = {}

    def _now(self, thread: int) -> int:
        while thread in self._merged:
            thread = self._merged[thread]
        return thread

    def enter(self, number: int, ids: Sequence[str]) -> None:
        """A message of that number bears and mentions these."""
        threads = sorted({self._now(self._of_id[one]) for one in ids if one in self._of_id})
        thread = threads[0] if threads else number
        for other in threads[1:]:
            self._merged[other] = thread
        for one in ids:
            if one not in self._of_id:
                self._of_id[one] = thread
                self._fresh.append(one)

    def of(self, number: int, ids: Sequence[str]) -> int:
        """The conversation of a message, when all are entered."""
        return self._now(self._of_id[ids[0]]) if ids else number

    def write(self) -> None:
        """Record what has changed."""
        for other in self._merged:
            thread = self._now(other)
            self._connection.execute("UPDATE messages SET thread = ? WHERE thread = ?", (thread, other))
            self._connection.execute(
                "UPDATE mentions SET thread = ? WHERE account = ? AND thread = ?", (thread, self._account, other)
            )
        self._connection.executemany(
            "INSERT OR IGNORE INTO mentions VALUES (?, ?, ?)",
            [(self._account, one, self._now(self._of_id[one])) for one in self._fresh],
        )

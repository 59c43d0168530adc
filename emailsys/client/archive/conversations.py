"""Assignment of new messages to conversations, by their message ids and references."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence


class Conversations:
    """The conversations of one account during a batch of new messages. They are read and written once per batch.

    A conversation has the number of its first message. When two are merged, the smaller number is kept.
    """

    def __init__(self, connection: sqlite3.Connection, account: str, ids: Iterable[str]) -> None:
        """@param ids: the message ids and references of all new messages."""
        self._connection = connection
        self._account = account
        rows = connection.execute(
            """SELECT message_id, thread FROM mentions
            WHERE account = ? AND message_id IN (SELECT value FROM json_each(?))""",
            (account, json.dumps(list(ids))),
        )
        self._of_id: dict[str, int] = dict(rows.fetchall())
        self._fresh: list[str] = []
        # Merged conversations: the one that each became part of.
        self._merged: dict[int, int] = {}

    def _current(self, thread: int) -> int:
        while thread in self._merged:
            thread = self._merged[thread]
        return thread

    def add(self, number: int, ids: Sequence[str]) -> None:
        """Add a message. @param ids: its message id and references."""
        threads = sorted({self._current(self._of_id[one]) for one in ids if one in self._of_id})
        thread = threads[0] if threads else number
        for other in threads[1:]:
            self._merged[other] = thread
        for one in ids:
            if one not in self._of_id:
                self._of_id[one] = thread
                self._fresh.append(one)

    def of(self, number: int, ids: Sequence[str]) -> int:
        """Return the conversation of a message. Call it after all messages were added."""
        return self._current(self._of_id[ids[0]]) if ids else number

    def write(self) -> None:
        """Write the changes to the index."""
        for other in self._merged:
            thread = self._current(other)
            self._connection.execute("UPDATE messages SET thread = ? WHERE thread = ?", (thread, other))
            self._connection.execute(
                "UPDATE mentions SET thread = ? WHERE account = ? AND thread = ?", (thread, self._account, other)
            )
        self._connection.executemany(
            "INSERT OR IGNORE INTO mentions VALUES (?, ?, ?)",
            [(self._account, one, self._current(self._of_id[one])) for one in self._fresh],
        )
